//! What is recorded: one kind of event each, with its facts.
//!
//! Nothing here holds output, standard input, environment values or secrets. A program's arguments are counted, and shown only where
//! the host asked for it, and then redacted.

use super::action_event::{ActionEnded, ActionStarted};
use super::own_event::{Checkpoint, Recovered, Retired, SegmentBegin, SegmentEnd};
use super::prompt_event::{Answered, GrantUsed, Granted, Prompted, Revoked};
use cofferdam_bridge::enforcement::Enforcement;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::event::ChangeSummary;
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_bridge::limits::Limits;
use cofferdam_bridge::own_process::OwnProcess;
use cofferdam_bridge::usage::Usage;
use cofferdam_bridge::verdict::{Denial, RuleRef, Verdict};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "kind")]
#[non_exhaustive]
pub enum Event {
    /// A program is about to be started. On disk before it is.
    Started(Box<Started>),
    /// A program ended by itself, with whatever code.
    Completed(Box<Ended>),
    /// A program was not started after all, or was ended by a signal, a limit, its host or a fault.
    Failed(Box<Ended>),
    /// An action is about to be validated and executed. On disk before it is.
    ActionStarted(Box<ActionStarted>),
    /// An action did what it was asked.
    ActionCompleted(Box<ActionEnded>),
    /// An action did not.
    ActionFailed(Box<ActionEnded>),
    /// A request was refused before anything was started.
    Refused(Box<Refused>),
    /// The policy, or somebody whom it asked, decided about one access.
    Decision(Box<Decided>),
    /// Somebody is asked.
    Prompted(Box<Prompted>),
    /// Somebody answered, or nobody did in time.
    Answered(Box<Answered>),
    /// An answer is remembered.
    Granted(Box<Granted>),
    /// What is remembered allowed something.
    GrantUsed(Box<GrantUsed>),
    /// What was remembered is no longer.
    Revoked(Box<Revoked>),
    /// A threshold of the guard was passed, in either direction. What is refused because of it is told besides.
    Guard(Box<Guarded>),
    /// A commit of kept changes is about to be made. On disk before it is.
    ChangesCommitting(Box<ChangesTouched>),
    /// Kept changes were made in their workspace.
    ChangesCommitted(Box<ChangesTouched>),
    /// Kept changes were thrown away.
    ChangesDiscarded(Box<ChangesTouched>),
    /// Anything else that is worth keeping.
    Note(Box<Note>),
    /// The log itself: a segment begins.
    SegmentBegin(Box<SegmentBegin>),
    /// The log itself: a segment ends, and another follows.
    SegmentEnd(Box<SegmentEnd>),
    /// The log itself: all before this is signed.
    Checkpoint(Box<Checkpoint>),
    /// The log itself: what a crash left at its end was cut.
    Recovered(Box<Recovered>),
    /// The log itself: segments were removed because they were old.
    Retired(Box<Retired>),
    /// Of a kind that this release does not know.
    #[serde(other)]
    Unknown,
}

impl Event {
    /// A note.
    pub fn note(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Note(Box::new(Note { code: code.into(), message: message.into(), facts: BTreeMap::new() }))
    }

    /// The kind, as it stands in the record.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Started(_) => "started",
            Self::Completed(_) => "completed",
            Self::Failed(_) => "failed",
            Self::ActionStarted(_) => "action_started",
            Self::ActionCompleted(_) => "action_completed",
            Self::ActionFailed(_) => "action_failed",
            Self::Refused(_) => "refused",
            Self::Decision(_) => "decision",
            Self::Prompted(_) => "prompted",
            Self::Answered(_) => "answered",
            Self::Granted(_) => "granted",
            Self::GrantUsed(_) => "grant_used",
            Self::Revoked(_) => "revoked",
            Self::Guard(_) => "guard",
            Self::ChangesCommitting(_) => "changes_committing",
            Self::ChangesCommitted(_) => "changes_committed",
            Self::ChangesDiscarded(_) => "changes_discarded",
            Self::Note(_) => "note",
            Self::SegmentBegin(_) => "segment_begin",
            Self::SegmentEnd(_) => "segment_end",
            Self::Checkpoint(_) => "checkpoint",
            Self::Recovered(_) => "recovered",
            Self::Retired(_) => "retired",
            Self::Unknown => "unknown",
        }
    }
}

/// How a program's arguments are recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct RecordedArguments {
    /// How many there are.
    pub count: u64,
    /// What they are, redacted; absent unless the host asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redacted: Option<Vec<String>>,
}

/// Figures about host and kernel, by name, such as `running` (runs of this kernel) or `memory_available_bytes`.
pub type Figures = BTreeMap<String, u64>;

/// A program is about to be started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Started {
    /// The program as it was named.
    pub program: String,
    /// Its arguments.
    pub arguments: RecordedArguments,
    /// Where it starts, inside.
    pub working_directory: String,
    /// The plane.
    pub plane: String,
    /// The policy's name.
    pub policy: String,
    /// SHA-256 of the profile's JSON, in hexadecimal: equal where the same is enforced.
    pub profile_sha256: String,
    /// What was decided about the program: `prompt` never stands here.
    pub verdict: Verdict,
    /// The rule that allowed it; absent where the plane decides when it has found the program by its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleRef>,
    /// What is enforced here, as far as the plane knows before it starts.
    pub enforcement: Enforcement,
    /// The limits.
    pub limits: Limits,
    /// The time limit that holds, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Figures before it starts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub telemetry: Figures,
}

/// A program ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Ended {
    /// The sequence number of its `started`.
    pub started: u64,
    /// Why it ended.
    pub cause: ExitCause,
    /// What it used: `tasks` are exactly its own processes and threads.
    pub usage: Usage,
    /// Those among its own processes that lived long enough to be seen; at most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub processes: Vec<OwnProcess>,
    /// What held.
    pub enforcement: Enforcement,
    /// How many distinct accesses were refused on the way. Each of the first 64 has a record of its own, of kind `decision`.
    pub denials: u64,
    /// How many files it made or changed that other tools may execute later.
    pub executable_later: u64,
    /// What it changed, where changes are kept apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<ChangeSummary>,
    /// Figures after it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub telemetry: Figures,
}

/// A request was refused before anything was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Refused {
    /// The program or action as it was named.
    pub subject: String,
    /// Why, as a stable code.
    pub code: ErrorCode,
    /// The same as a sentence.
    pub message: String,
    /// The refusal, where it was the policy's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denial: Option<Denial>,
}

/// One access was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Decided {
    /// How.
    pub verdict: Verdict,
    /// What was asked for: `filesystem.write`, `network.connect`, `command.execute` …
    pub access: String,
    /// The path, host or program it was asked of.
    pub subject: String,
    /// The rule that decided; absent where none matched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleRef>,
    /// The program inside that asked, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// How often, where that was counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
}

/// What the guard saw and did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Guarded {
    /// The figure's name, such as `cpu_percent`.
    pub figure: String,
    /// What it was.
    pub observed: u64,
    /// What it may be.
    pub limit: u64,
    /// What comes of it: from now on starts are `refused`, or they are `resumed`.
    pub outcome: String,
}

/// Kept changes, and what was done with them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct ChangesTouched {
    /// The workspace.
    pub workspace: String,
    /// Which set; with how many changes of each kind, once that is known.
    pub changes: ChangeSummary,
}

impl ChangesTouched {
    /// What is done with `changes` of `workspace`.
    pub fn new(workspace: impl Into<String>, changes: ChangeSummary) -> Self {
        Self { workspace: workspace.into(), changes }
    }
}

/// Anything else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Note {
    /// What kind, as `snake_case`.
    pub code: String,
    /// A sentence for people.
    pub message: String,
    /// Facts by name. Never payloads, output, environment values or secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub facts: BTreeMap<String, serde_json::Value>,
}
