//! The host plane: plain processes of the host, with no isolation at all, none of which outlives its execution.
//!
//! A program here sees and changes what its user may: files, network. Its signals reach its own run alone, where the kernel can hold
//! that, since its end depends on it. What holds beside is an environment of its
//! own, a session and group of its own, bounded output, limits, and its end: everything that it started ends with it,
//! with its time limit, with the plane, and with the host, whatever killed that.
//!
//! So that nobody gets this by accident, the plane is made only with a token of the module [`danger`], which can be searched
//! for, and refuses every policy that requires isolation.
//!
//! ```
//! use cofferdam_exec_plane::{HostPlane, danger};
//!
//! let plane = HostPlane::new(danger::i_know_programs_run_unisolated())?;
//! # Ok::<(), cofferdam_bridge::error::BridgeError>(())
//! ```

#![forbid(unsafe_code)]

pub mod danger;
mod plane;
mod preflight;
mod user_tasks;

pub use plane::HostPlane;
