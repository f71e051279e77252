//! Programs as functions: JSON in, JSON out ([`Vm::exec`](crate::Vm::exec)).
//!
//! The file that was checked is the one that runs; input and output are bounded; what goes wrong is one of twelve errors, each with a
//! code of its own, and none of which holds what went in or came out.

mod captured;
mod errno;
mod failure;
mod guest_calls;
mod stdin;
mod transport;

pub use guest_calls::VmExec;
