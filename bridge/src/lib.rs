//! The bridge between a secure-execution kernel and its execution planes.
//!
//! This crate holds what both sides must agree on and nothing else: the traits that a plane or a host
//! implements, the requests and answers that cross between them, the error codes, and the
//! [`ExecutionProfile`](profile::ExecutionProfile) a plane is handed.
//!
//! It never does input or output, never starts a thread, knows no runtime and no operating system, and
//! contains no `unsafe`. It builds for targets without an operating system.

#![forbid(unsafe_code)]

pub mod decide;
pub mod descriptor;
pub mod enforcement;
pub mod error;
pub mod error_code;
pub mod event;
pub mod execution;
pub mod exit_cause;
pub mod ids;
pub mod limits;
pub mod path_pattern;
pub mod profile;
pub mod usage;
pub mod verdict;
