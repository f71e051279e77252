//! The host plane with real programs, looked at from outside. Modules are named after the behaviours they hold.

#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test that cannot go on fails")]

mod c2_environment;
mod c3_processes;
mod c4_output;
mod c9_ends;
mod fork_bomb;
mod host;
mod limits;
mod prepared;
mod refusals;
mod terminal;
