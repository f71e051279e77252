//! The wire protocol: the bridge between processes, for planes in any language.
//!
//! Everything here is a pure state machine: bytes and messages go in, messages and faults come out, and nothing is read, written or
//! waited for. `docs/wire-protocol.md` tells the same for people who write the other side in another language.
//!
//! - [`data`]: the values that cross, in two encodings ([`json`], [`cbor`]) with one meaning.
//! - [`frame`]: bytes become frames, within bounds.
//! - [`message`]: frames are requests, notifications and replies of JSON-RPC 2.0.
//! - [`hello`]: versions, encodings, features and bounds are agreed.
//! - [`kernel_session`] and [`plane_session`]: which message may come when, on either side.
//! - [`fault`]: everything that can be wrong with what the other side sends, each with its name.

mod base64;
pub mod cbor;
mod credit;
pub mod data;
pub mod fault;
pub mod frame;
pub mod hello;
pub mod json;
pub mod kernel_session;
pub mod message;
pub mod method;
mod name;
pub mod plane_session;
pub mod typed;

pub use name::Name;
