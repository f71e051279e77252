//! What is recorded of actions, beside the runs that they have.

use super::event::Figures;
use cofferdam_bridge::error_code::ErrorCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An action is about to be validated and executed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct ActionStarted {
    /// The action's name.
    pub action: String,
    /// The job's id.
    pub job: String,
    /// How long its arguments are, as JSON, in bytes. What they are is not recorded.
    pub arguments_bytes: u64,
    /// Figures before it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub telemetry: Figures,
}

/// An action has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct ActionEnded {
    /// The sequence number of its beginning.
    pub started: u64,
    /// The action's name.
    pub action: String,
    /// The job's id.
    pub job: String,
    /// Why it failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<ErrorCode>,
    /// How many programs it ran.
    pub steps: u64,
    /// From beginning to end, in milliseconds.
    pub elapsed_ms: u64,
    /// Figures after it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub telemetry: Figures,
}
