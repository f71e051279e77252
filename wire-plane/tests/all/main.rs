//! Planes behind the wire: ours, one in Python, and some that crash, hang or talk nonsense.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

mod additive;
mod behaves;
mod breaches;
mod fixture;
mod hostile_processes;
mod mutated_frames;
mod python;
mod restarts;
mod small_bridges;
