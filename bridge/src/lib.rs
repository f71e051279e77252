//! The bridge between a secure-execution kernel and its execution planes.
//!
//! This crate holds what both sides must agree on and nothing else: the traits that a plane or a host
//! implements, the requests and answers that cross between them, the error codes, and the
//! [`ExecutionProfile`](profile::ExecutionProfile) a plane is handed.
//!
//! It never does input or output, never starts a thread, knows no runtime and no operating system, and
//! contains no `unsafe`. It builds for targets without an operating system.

#![forbid(unsafe_code)]

pub mod action;
pub mod address_class;
pub mod audit;
pub mod call;
pub mod clock;
pub mod contract;
pub mod decide;
pub mod descriptor;
pub mod dispatch;
pub mod enforcement;
pub mod environment;
pub mod error;
pub mod error_code;
pub mod event;
pub mod exclusive;
pub mod exec;
pub mod execution;
pub mod exit_cause;
pub mod filesystem;
pub mod guard;
pub mod host;
pub mod host_traffic;
pub mod ids;
pub mod in_memory;
pub mod json_fault;
pub mod limits;
pub mod metric;
pub mod module;
pub mod network_rules;
pub mod network_scope;
mod operations;
pub mod own_process;
pub mod path_pattern;
pub mod permission;
pub mod persistence;
pub mod policy_line;
pub mod profile;
pub mod prompt;
pub mod published_port;
pub mod random;
pub mod rehearsal;
mod request;
pub mod sandbox_event;
pub mod telemetry;
pub mod trace_context;
pub mod usage;
pub mod verdict;
