//! The conformance kit held against right ones, which must pass, and against ones with one fault each, which must not.

mod bridges;
mod mutant_bridges;
mod mutant_plane;
mod mutant_planes;
mod planes;
