//! What came of an action.

use super::step::StepEnd;
use crate::audit::Figures;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::event::ChangeSummary;
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_bridge::own_process::OwnProcess;
use cofferdam_bridge::usage::Usage;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// As much of what a program wrote to standard error is told, in bytes: its last ones.
const TAIL: usize = 4096;

/// What came of an action. One that failed in its validation or its execution has one, too.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct ActionResult {
    /// The job's id.
    pub job_id: String,
    /// The action's name.
    pub action: String,
    /// The session that the job joined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Whether it did what it was asked.
    pub success: bool,
    /// The action's own result; after a failure only where there is something to tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<BridgeError>,
    /// The programs that ran, in order.
    pub steps: Vec<StepReport>,
    /// Figures about the machine, before and after.
    pub telemetry: Telemetry,
    /// The processes that it had of its own.
    pub processes: OwnProcesses,
    /// From beginning to end, in milliseconds.
    pub elapsed_ms: u64,
    /// The number of the record that tells of its beginning, where there is a log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_sequence: Option<u64>,
}

/// Output and what programs printed stay out of logs.
impl std::fmt::Debug for ActionResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ActionResult")
            .field("job_id", &self.job_id)
            .field("action", &self.action)
            .field("success", &self.success)
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

/// Figures about the machine, before and after.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Telemetry {
    /// Before anything of it ran.
    pub before: Figures,
    /// When nothing of it was left.
    pub after: Figures,
}

/// The processes of one job, and nobody else's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct OwnProcesses {
    /// Processes and threads that it started, as the plane counted them; absent where it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<u64>,
    /// Those among them that lived long enough to be seen, program by program; at most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seen: Vec<OwnProcess>,
    /// How many are left: none, for an execution ends with everything in it.
    pub left: u64,
}

/// A program that ran for an action.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct StepReport {
    /// The program, as it was named.
    pub program: String,
    /// Why it ended.
    pub cause: ExitCause,
    /// What it used.
    pub usage: Usage,
    /// What it changed, where changes are kept apart; none where it changed nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<ChangeSummary>,
    /// After a failure: the end of what it wrote to standard error. These are the program's words, not ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stderr_tail: Option<String>,
}

/// What a program prints stays out of logs.
impl std::fmt::Debug for StepReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StepReport").field("program", &self.program).field("cause", &self.cause).finish_non_exhaustive()
    }
}

impl StepReport {
    pub(super) fn of(end: &StepEnd) -> Self {
        let from = end.stderr.len().saturating_sub(TAIL);
        let tail = String::from_utf8_lossy(end.stderr.get(from..).unwrap_or_default()).into_owned();
        Self {
            program: end.program.clone(),
            cause: end.report.cause.clone(),
            usage: end.report.usage.clone(),
            changes: end.report.changes.clone(),
            stderr_tail: (!end.report.cause.success() && !tail.is_empty()).then_some(tail),
        }
    }
}
