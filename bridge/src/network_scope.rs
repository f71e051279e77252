//! Who shares a network of its own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How far the network of a run reaches where it has one of its own (mode `deny` or `allowlist`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NetworkScope {
    /// Each execution has one for itself: no other reaches what it listens on.
    #[default]
    Execution,
    /// The executions of one context share one, and reach what each other listens on. Nothing else of theirs is shared by this.
    Context,
}
