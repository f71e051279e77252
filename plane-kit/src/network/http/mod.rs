//! Requests of HTTP/1 (RFC 9112), read where rules say which may be made. Bytes are handed on as they came, and only such as every
//! server reads alike: what could be taken for another request, or for more than one, is refused and ends the connection. A request with a
//! body is the last of its connection, and says so to its server: one that leaves a body unread is not to take it for a request.

mod begin;
mod body;
mod carry;
mod hand_on;
mod head;
mod requests;

#[cfg(feature = "https")]
pub(super) use begin::{end, first};
#[cfg(feature = "https")]
pub(super) use carry::answer;
pub(super) use carry::answer_to;
pub use carry::pass;
#[cfg(feature = "https")]
pub(super) use hand_on::{bring_back, hand_on};
pub use requests::{Refusal, Requests};
