//! The reviewed list of system calls: what a sandboxed program may do, group by group, each with its reason.
//!
//! Calls stand here by name and mean the same on every architecture that has them. A call in no group is unknown here and answers
//! ENOSYS, so that a libc falls back to an older one. Calls whose arguments matter are in `rules`.

mod allowed;
mod compute;
mod refused;

use super::bpf::{ENOSYS, EPERM, Verdict};

/// Calls that a group of programs needs, or none does, and why.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    /// Why they are in it.
    pub(crate) reason: &'static str,
    /// Their names.
    pub(crate) calls: &'static [&'static str],
}

/// Groups with what becomes of their calls.
pub(super) const GROUPS: [(&[Group], Verdict); 3] = [
    (allowed::ALLOWED, Verdict::Allow),
    (refused::REFUSED, Verdict::Errno(EPERM)),
    (refused::ABSENT, Verdict::Errno(ENOSYS)),
];

/// What the profile `compute` leaves.
pub(super) const COMPUTE: &[Group] = compute::COMPUTE;

/// System V and POSIX IPC: objects that no path names.
pub(super) const SHARED_OBJECTS: &[&str] = &[
    "shmget",
    "shmat",
    "shmdt",
    "shmctl",
    "semget",
    "semop",
    "semtimedop",
    "semctl",
    "msgget",
    "msgsnd",
    "msgrcv",
    "msgctl",
    "mq_open",
    "mq_unlink",
    "mq_timedsend",
    "mq_timedreceive",
    "mq_notify",
    "mq_getsetattr",
];

/// Tracing and reading other processes: harmless where a pid namespace bounds who can be named, refused elsewhere.
pub(super) const TRACING: &[&str] = &["ptrace", "process_vm_readv", "process_vm_writev"];
