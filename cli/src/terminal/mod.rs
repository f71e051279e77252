//! Between the host's terminal and the run: bytes, sizes, signals, stops.

pub(crate) mod after_guest;
pub(crate) mod questions;
pub(crate) mod raw;
pub(crate) mod relay;
pub(crate) mod signals;
