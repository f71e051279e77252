//! Requests of plain HTTP/1 (RFC 9112), read where rules say which may be made. Bytes are handed on as they came, and only such as every
//! server reads alike: what could be taken for another request, or for more than one, is refused and ends the connection.

mod body;
mod carry;
mod head;
mod requests;

pub use carry::pass;
pub use requests::{Refusal, Requests};
