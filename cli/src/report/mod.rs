//! How a run ended: for people, and for programs.

pub(crate) mod human;
pub(crate) mod json;
