//! What the kernel tells of itself: spans and events through `tracing`, figures to the host's sink; by names that are documented in
//! `docs/telemetry.md`.
//!
//! Nothing is told of arguments, environment values, input, output or paths beneath a workspace: names of policies, planes and actions,
//! ids, codes and numbers alone. Without anybody who listens each of these costs a look or two.

pub mod instruments;
mod listeners;
mod questions;
mod run;
mod spans;
mod waits;

pub(crate) use listeners::Listeners;
pub(crate) use questions::{asked, put, settled};
pub(crate) use run::Run;
pub(crate) use spans::{action, action_ended, decided, prompt, queue_full, refused_by_plane};
pub(crate) use waits::{committing, queueing};

/// The target of all spans and events.
const TARGET: &str = "cofferdam";
