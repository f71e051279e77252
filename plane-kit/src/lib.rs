//! What every plane that owns processes needs, so that planes neither copy it nor depend on each other.
//!
//! - [`standard_streams`], [`captured_output`], [`guest_input`]: the three streams; output is bounded, both drained together.
//! - [`held_program`]: a program's file from its check to its execution, and the interpreters of scripts.
//! - [`environment`]: what may cross from the host to a program.
//! - [`process`]: a child by its pidfd; no signal ever meets a process id that was reaped.
//! - [`process_mark`]: a process remembered beyond the life of whoever started it.
//! - [`proc_text`]: what /proc tells of a process, whatever that calls itself.
//! - [`keeper`]: starts plain programs so that nothing which they start outlives them, nor the host.
//! - [`process_tree`]: what all descendants of a process use together, and at which ports they listen.
//! - [`cgroup_place`], [`task_groups`]: where cgroups may be made, and those that hold a limit on processes.
//! - [`exit_status`], [`deadline`], [`wakeup`]: why a run ended, when it must, and how its supervisor waits.
//!
//! - `network`, with the feature of that name: names, decisions and connections for planes that stand between a run and the network.
//! - `host`, with the feature of that name: files, clock, random bytes and a log of the operating system, behind the small bridges.
//!
//! It decides nothing about policies and isolates nothing. It never forks the host, never makes it a subreaper, changes none of its
//! signal handlers, and runs no program that it was not asked to run.

#![deny(unsafe_code)]

pub mod captured_output;
pub mod cgroup_place;
pub mod deadline;
pub mod environment;
pub mod exit_status;
pub mod guest_input;
pub mod held_program;
#[cfg(feature = "host")]
pub mod host;
pub mod keeper;
mod keeper_ahead;
#[path = "../keeper/src/format.rs"]
#[expect(unreachable_pub, dead_code, reason = "the keeper includes the same file, where every item is used")]
mod keeper_format;
mod keeper_plan;
mod keeper_spawn;
mod listening;
#[cfg(feature = "network")]
pub mod network;
pub mod output_wait;
pub mod proc_text;
pub mod process;
pub mod process_mark;
pub mod process_tree;
mod shared_memory;
pub mod standard_streams;
pub mod task_groups;
pub mod terminal;
pub mod wakeup;
