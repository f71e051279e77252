//! Requests of HTTP/1 (RFC 9112), read where rules say which may be made. Bytes are handed on as they came, and only such as every
//! server reads alike: what could be taken for another request, or for more than one, is refused and ends the connection.

mod begin;
mod body;
mod carry;
mod head;
mod requests;

#[cfg(feature = "https")]
pub(super) use begin::{end, first};
pub use carry::pass;
#[cfg(feature = "https")]
pub(super) use carry::{answer, answer_to};
pub use requests::{Refusal, Requests};
