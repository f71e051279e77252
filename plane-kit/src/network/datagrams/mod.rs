//! Datagrams between a run and the hosts that rules name for them, by flows: all that goes between one socket of the run and one address
//! that it sends to. Each flow has a socket of its own outside, which hears that very address and nobody else.
//!
//! Nothing waits: what there is no room for is lost, as datagrams are.

mod flow;
mod relay;
mod table;

pub use relay::{Inside, Relay};
pub use table::{Ends, Table};
