//! The Linux plane: runs programs in namespaces of their own, under Landlock and seccomp, without root.
//!
//! The files tell the story in the order in which things happen: a profile is resolved to a view of the host
//! and turned into a plan (`plan`); the embedded `launcher` is started in fresh namespaces (`spawn`, `start`), builds the sandbox from the plan,
//! and is its pid 1; the supervisor carries streams, holds limits and tells the end (`supervise`).
//!
//! It never forks the host, never runs an external program, and leaves nothing on the host but the [`changes`] that are asked for.

#![deny(unsafe_code)]

mod account;
mod broker;
mod cgroup;
pub mod changes;
mod context;
mod counting;
mod disk_watch;
pub mod doctor;
mod execution;
#[path = "../launcher/src/format.rs"]
#[expect(
    unreachable_pub,
    dead_code,
    reason = "the launcher includes the same file, where every item is public and used"
)]
mod format;
mod given_streams;
mod handles;
mod inner_sockets;
mod launcher;
mod limit_watch;
mod mountinfo;
mod network;
mod parked;
mod plan;
mod plane;
mod pool;
mod preflight;
mod prepared;
mod processes_seen;
mod program;
mod random;
mod seccomp;
mod shared_network;
mod spawn;
mod start;
mod step_report;
mod supervise;
mod temporary;
mod terminal_streams;
mod tree_usage;
mod underway;

/// What names lead to outside, for hosts that answer some of them.
pub mod names {
    pub use cofferdam_plane_kit::network::resolver::{FixedName, FixedNames, LookupFault, Resolve, SystemResolver};
    pub use cofferdam_plane_kit::network::upstream::Upstream;
}

pub use plane::LinuxPlane;
pub use pool::PoolOptions;
