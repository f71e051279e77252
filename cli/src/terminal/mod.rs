//! Between the host's terminal and the run: bytes, sizes, signals, stops.

pub(crate) mod questions;
mod raw;
pub(crate) mod relay;
mod signals;
