//! What every plane that owns processes needs, so that planes neither copy it nor depend on each other.
//!
//! - [`standard_streams`], [`captured_output`], [`guest_input`]: the three streams; output is bounded, both drained together.
//! - [`held_program`]: a program's file from its check to its execution, and the interpreters of scripts.
//! - [`environment`]: what may cross from the host to a program.
//! - [`process`]: a child by its pidfd; no signal ever meets a process id that was reaped.
//! - [`process_mark`]: a process remembered beyond the life of whoever started it.
//! - [`proc_text`]: what /proc tells of a process, whatever that calls itself.
//! - [`keeper`]: starts plain programs so that nothing which they start outlives them, nor the host.
//! - [`kept_run`]: what runs under keepers for a plane, each from its start to its last event.
//! - [`process_tree`]: what all descendants of a process use together, and at which ports they listen.
//! - [`cgroup_place`], [`task_groups`]: where cgroups may be made, and those that hold a limit on processes.
//! - [`exit_status`], [`deadline`], [`wakeup`]: why a run ended, when it must, and how its supervisor waits.
//!
//! - `network`, with the feature of that name: names, decisions and connections for planes that stand between a run and the network.
//! - `host`, with the feature of that name: files, clock, random bytes and a log of the operating system, behind the small bridges.
//!
//! On macOS the modules of the same names lie in `apple/`: there is no subreaper, so the keeper follows processes itself, and its program is
//! the host's own ([`keeper`] tells how a host offers it).
//!
//! It decides nothing about policies and isolates nothing. It never forks the host, never makes it a subreaper, changes none of its
//! signal handlers, and runs no program that it was not asked to run.

#![deny(unsafe_code)]

#[cfg(any(test, not(target_os = "linux")))]
mod apple;
pub mod captured_output;
pub mod cgroup_place;
pub mod deadline;
pub mod environment;
pub mod exit_status;
pub mod guest_input;
#[cfg(target_os = "linux")]
pub mod held_program;
#[cfg(not(target_os = "linux"))]
#[path = "apple/held_program.rs"]
pub mod held_program;
#[cfg(feature = "host")]
pub mod host;
#[cfg(target_os = "linux")]
pub mod keeper;
#[cfg(not(target_os = "linux"))]
#[path = "apple/keeper.rs"]
pub mod keeper;
#[cfg(target_os = "linux")]
mod keeper_ahead;
#[cfg(target_os = "linux")]
mod keeper_begin;
mod keeper_failure;
#[path = "../keeper/src/format.rs"]
#[expect(unreachable_pub, dead_code, reason = "the keeper includes the same file, where every item is used")]
mod keeper_format;
#[cfg(target_os = "linux")]
mod keeper_line;
mod keeper_plan;
#[cfg(target_os = "linux")]
pub mod keeper_program;
#[cfg(not(target_os = "linux"))]
#[path = "apple/keeper_program.rs"]
pub mod keeper_program;
#[cfg(target_os = "linux")]
mod keeper_spawn;
pub mod kept_run;
#[cfg(target_os = "linux")]
mod listening;
#[cfg(feature = "network")]
pub mod network;
pub mod output_wait;
mod pipe_room;
pub mod proc_text;
#[cfg(target_os = "linux")]
pub mod process;
#[cfg(not(target_os = "linux"))]
#[path = "apple/process.rs"]
pub mod process;
#[cfg(target_os = "linux")]
pub mod process_mark;
#[cfg(not(target_os = "linux"))]
#[path = "apple/process_mark.rs"]
pub mod process_mark;
#[cfg(target_os = "linux")]
pub mod process_tree;
#[cfg(not(target_os = "linux"))]
#[path = "apple/process_tree.rs"]
pub mod process_tree;
mod resources;
#[cfg(target_os = "linux")]
mod shared_memory;
pub mod standard_streams;
#[cfg(target_os = "linux")]
mod start_mark;
pub mod task_groups;
pub mod terminal;
mod tree_usage;
#[cfg(target_os = "linux")]
mod wake_counter;
#[cfg(not(target_os = "linux"))]
#[path = "apple/wake_counter.rs"]
mod wake_counter;
pub mod wakeup;
