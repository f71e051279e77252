//! The conformance kit held against right ones, which must pass, and against ones with one fault each, which must not.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod additive;
mod bridges;
mod compatibility;
mod mutant_bridges;
mod mutant_plane;
mod mutant_planes;
mod planes;
mod sessions;
