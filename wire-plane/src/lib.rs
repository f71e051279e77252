//! Planes that are processes of their own, in whatever language.
//!
//! - [`WirePlane`] is a plane like any other, which another process enforces: it is started from a [`PlaneCommand`], or listens on a
//!   Unix socket. When that process crashes, hangs or talks nonsense, its executions end with `plane_fault`, everything that it
//!   started is ended, and the next call starts it anew, with growing pauses.
//! - [`RemoteBridges`] are the small bridges of such a plane, where it answers the groups of small operations.
//! - [`serve()`] is the other end: it lets a plane in Rust be used by a kernel in another process.
//!
//! The protocol itself is in `cofferdam_contract::wire`; here are the processes, sockets and threads that it lacks. Nothing here
//! decides about policies or isolates anything.

#![forbid(unsafe_code)]

mod backoff;
mod complaints;
mod connection;
mod contexts;
mod ending;
mod greeting;
mod inbox;
mod outlet;
mod plane;
mod plane_command;
mod process;
mod pump;
mod remote;
mod serve;
mod source;
mod turn;
mod writer;

pub use plane::WirePlane;
pub use plane_command::PlaneCommand;
pub use remote::RemoteBridges;
pub use serve::operations::{Notices, Operations, SmallBridges};
pub use serve::{Transport, serve};
