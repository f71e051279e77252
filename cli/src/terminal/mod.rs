//! Between the host's terminal and the run: bytes, sizes, signals, stops.

mod raw;
pub(crate) mod relay;
mod signals;
