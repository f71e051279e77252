//! What is said over a session's socket: one JSON object a line, a request first, then its answers. `docs/sessions.md` tells it all.

use crate::base64;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::published_port::PublishedPort;
use cofferdam_kernel::session::{CommandFailure, CommandState, CommandStatus};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The version that is spoken.
pub(crate) const VERSION: u32 = 1;

/// Longest line of a request or an answer, in bytes.
pub(crate) const LONGEST_LINE: usize = 32 << 20;

/// Bytes, in base64 (RFC 4648, section 4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl TryFrom<String> for Bytes {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        base64::decode(&text).map(Self).ok_or("this is no base64")
    }
}

impl From<Bytes> for String {
    fn from(bytes: Bytes) -> Self {
        base64::encode(&bytes.0)
    }
}

/// What is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Request {
    /// Who is there.
    Hello {},
    /// All commands, and how they fare.
    List {},
    /// Runs a one-shot.
    Run {
        command: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stdin: Option<Bytes>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timeout_ms: Option<u64>,
    },
    /// Starts a persistent command.
    Start { command: String },
    /// How a persistent command fares.
    Status { command: String },
    /// What it prints, from what is kept on.
    Follow { command: String },
    /// Writes to its input, and closes that afterwards where `close` says so.
    Write {
        command: String,
        bytes: Bytes,
        #[serde(default)]
        close: bool,
    },
    /// Stops it.
    Stop { command: String },
    /// Waits until it is ready.
    WaitReady { command: String },
    /// Sits down at its terminal. What comes afterwards are [`Keys`].
    Attach { command: String, rows: u16, columns: u16 },
    /// Closes the session and ends its host.
    Close {},
}

/// What somebody at a terminal does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Keys {
    /// They typed.
    Typed(Bytes),
    /// Their terminal has another size.
    Size { rows: u16, columns: u16 },
}

/// What is answered. All but `output`, `screen` and `shown` are the last.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// Who is there.
    Hello { version: u32, session: String, pid: u32 },
    /// All commands.
    Commands(Vec<CommandReport>),
    /// The value of a one-shot.
    Value(Value),
    /// It runs; the host's number of its first process.
    Started { pid: Option<u32> },
    /// How it fares.
    Status(Box<CommandReport>),
    /// It was printed.
    Output { stream: String, lost: u64, bytes: Bytes },
    /// It has ended, and comes back by itself no more.
    Ended(Box<CommandReport>),
    /// What the terminal has shown before.
    Screen(Bytes),
    /// What it shows now.
    Shown(Bytes),
    /// Somebody else sits at the terminal now, or the command has ended.
    Detached {},
    /// It is done.
    Done {},
    /// It is not.
    Failed {
        error: BridgeError,
        /// What is known of a one-shot that ran.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<Failed>,
    },
}

/// What is known of a one-shot that ran and failed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Failed {
    /// Its exit code.
    pub(crate) exit_code: Option<i32>,
    /// The signal that ended it.
    pub(crate) signal: Option<i32>,
    /// The end of its standard error: the guest's words.
    pub(crate) guest_stderr_tail: String,
}

impl Failed {
    pub(crate) fn of(failure: &CommandFailure) -> Self {
        let tail = failure.stderr_tail.as_str().to_owned();
        Self { exit_code: failure.exit_code, signal: failure.signal, guest_stderr_tail: tail }
    }
}

/// How a command fares.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CommandReport {
    pub(crate) name: String,
    /// Whether it stays until it is stopped. Of a one-shot nothing else is told.
    pub(crate) persistent: bool,
    pub(crate) state: CommandState,
    pub(crate) pid: Option<u32>,
    pub(crate) running: bool,
    pub(crate) ready: bool,
    /// Which ports of its network the host's loopback has, and where.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) published: Vec<PublishedPort>,
    pub(crate) exit_code: Option<i32>,
    pub(crate) exit_signal: Option<i32>,
    pub(crate) ended_by: Option<String>,
    pub(crate) uptime_ms: u64,
    pub(crate) restarts: u32,
    /// The last 64 KiB of each stream; not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stdout: Option<Bytes>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stderr: Option<Bytes>,
}

impl CommandReport {
    /// A persistent command, with what it printed.
    pub(crate) fn of(status: CommandStatus) -> Self {
        let running = status.running();
        Self {
            name: status.name,
            persistent: true,
            state: status.state,
            pid: status.pid,
            running,
            ready: status.ready,
            published: status.published,
            exit_code: status.exit_code,
            exit_signal: status.exit_signal,
            ended_by: status.ended_by,
            uptime_ms: status.uptime_ms,
            restarts: status.restarts,
            stdout: Some(Bytes(status.stdout)),
            stderr: Some(Bytes(status.stderr)),
        }
    }

    /// The same without what it printed.
    pub(crate) fn quiet(mut self) -> Self {
        (self.stdout, self.stderr) = (None, None);
        self
    }

    /// A one-shot.
    pub(crate) fn of_one_shot(name: &str) -> Self {
        let status = CommandStatus::default();
        Self { name: name.to_owned(), persistent: false, ..Self::of(status).quiet() }
    }
}
