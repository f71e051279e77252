//! How a command that stays is kept.

use super::readiness::Readiness;
use super::restart::RestartPolicy;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long a command may take to be ready where nothing else is said.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// What is left between SIGTERM and SIGKILL where nothing else is said.
const GRACE: Duration = Duration::from_secs(5);

/// Where a persistent command's standard input comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StandardInput {
    /// From nowhere: reading gives end of file.
    #[default]
    Null,
    /// From whoever writes to it through the session.
    Open,
}

/// How a persistent command is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub struct Persistence {
    /// By what it is known to be ready; from its start where nothing is said.
    pub readiness: Option<Readiness>,
    /// How long that may take.
    pub ready_within: Duration,
    /// Whether it is started again.
    pub restart: RestartPolicy,
    /// Whether it has a terminal in place of the three streams.
    pub terminal: bool,
    /// Where its input comes from, without a terminal.
    pub stdin: StandardInput,
    /// What is left between SIGTERM and SIGKILL when it is stopped.
    pub grace: Duration,
}

impl Default for Persistence {
    fn default() -> Self {
        Self {
            readiness: None,
            ready_within: READY_WITHIN,
            restart: RestartPolicy::default(),
            terminal: false,
            stdin: StandardInput::Null,
            grace: GRACE,
        }
    }
}

impl Persistence {
    /// Sets by what it is known to be ready.
    pub fn ready_when(mut self, readiness: Readiness) -> Self {
        self.readiness = Some(readiness);
        self
    }

    /// Sets how long that may take; 30 s unless set.
    pub fn ready_within(mut self, time: Duration) -> Self {
        self.ready_within = time;
        self
    }

    /// Starts it again when it ends.
    pub fn restart(mut self, policy: RestartPolicy) -> Self {
        self.restart = policy;
        self
    }

    /// Gives it a terminal.
    pub fn terminal(mut self) -> Self {
        self.terminal = true;
        self
    }

    /// Lets others write to its standard input.
    pub fn open_stdin(mut self) -> Self {
        self.stdin = StandardInput::Open;
        self
    }

    /// Sets what is left between SIGTERM and SIGKILL; 5 s unless set.
    pub fn grace(mut self, time: Duration) -> Self {
        self.grace = time;
        self
    }
}
