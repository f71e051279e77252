//! How a command of a session fares.

use cofferdam_bridge::published_port::PublishedPort;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a persistent command does now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CommandState {
    /// It was not started yet.
    #[default]
    NeverStarted,
    /// It runs.
    Running,
    /// It ended, and is about to be started again.
    Restarting,
    /// It ended.
    Ended,
}

/// How a persistent command fares. What the guest printed is in it, so it has no place in a log.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommandStatus {
    /// Its name.
    pub name: String,
    /// What it does now.
    pub state: CommandState,
    /// The host's number of its first process, while it runs.
    pub pid: Option<u32>,
    /// Which ports of its network the host's loopback has, and where, while it runs.
    pub published: Vec<PublishedPort>,
    /// Whether it is ready to be used.
    pub ready: bool,
    /// The exit code of its last run that ended by itself.
    pub exit_code: Option<i32>,
    /// The signal that ended its last run: what killed it from within, or SIGKILL where it was ended from outside.
    pub exit_signal: Option<i32>,
    /// The code of what ended its last run, where that was neither itself nor a signal of its own: a limit, a time, its host.
    pub ended_by: Option<String>,
    /// Milliseconds since it was started, while it runs; how long it ran, once it ended.
    pub uptime_ms: u64,
    /// How often it was started again by itself.
    pub restarts: u32,
    /// The last 64 KiB of its standard output, or of what its terminal showed.
    pub stdout: Vec<u8>,
    /// The last 64 KiB of its standard error.
    pub stderr: Vec<u8>,
}

impl CommandStatus {
    /// Whether it runs.
    pub fn running(&self) -> bool {
        self.state == CommandState::Running
    }
}

/// What a guest prints stays out of logs.
impl fmt::Debug for CommandStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandStatus")
            .field("name", &self.name)
            .field("state", &self.state)
            .field("pid", &self.pid)
            .field("exit_code", &self.exit_code)
            .field("exit_signal", &self.exit_signal)
            .finish_non_exhaustive()
    }
}
