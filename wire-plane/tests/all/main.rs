//! Planes behind the wire: ours, one in Python, and some that crash, hang or talk nonsense.

mod behaves;
mod breaches;
mod fixture;
mod mutated_frames;
mod python;
mod restarts;
