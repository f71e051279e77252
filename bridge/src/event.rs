//! What an execution tells the kernel while it runs and when it ends.

use crate::enforcement::Enforcement;
use crate::exit_cause::ExitCause;
use crate::host_traffic::HostTraffic;
use crate::ids::{CallId, PromptId};
use crate::own_process::OwnProcess;
use crate::prompt::{Prompt, PromptOutcome, PromptQuestion, PromptTicket, PromptWaiter};
use crate::published_port::PublishedPort;
use crate::usage::Usage;
use crate::verdict::Denial;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::task::Waker;

/// An event of one execution. Exactly one `Exited` ends the stream, after all output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "event")]
#[non_exhaustive]
pub enum ExecutionEvent {
    /// Bytes the guest wrote to standard output (or to its terminal).
    Stdout {
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Bytes the guest wrote to standard error.
    Stderr {
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// The program was stopped by a job-control signal.
    Stopped {
        /// The signal's number.
        signal: i32,
    },
    /// The program goes on after a stop.
    Continued,
    /// The plane refused something at run time.
    Violation {
        /// The refusal.
        denial: Box<Denial>,
    },
    /// A guest calls the kernel.
    GuestRequest {
        /// The call, for the reply.
        call_id: CallId,
        /// The operation's name in the contract.
        operation: String,
        /// Its arguments.
        payload: serde_json::Value,
    },
    /// The host is asked whether something may be; the run waits for the answer with that one call.
    Prompted {
        /// The question.
        prompt: Box<Prompt>,
    },
    /// A question that was told waits no longer.
    PromptSettled {
        /// Which one.
        id: PromptId,
        /// What it came to.
        outcome: PromptOutcome,
    },
    /// The run has ended and nothing of it is left.
    Exited(Box<ExecutionReport>),
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct ExecutionReport {
    /// Why it ended.
    pub cause: ExitCause,
    /// What it used.
    pub usage: Usage,
    /// What held.
    pub enforcement: Enforcement,
    /// What was refused at run time, as far as it is known for certain; at most 64 distinct ones, or
    /// 512 where everything is explained.
    pub denials: Vec<Denial>,
    /// Files made or changed during the run that another tool may execute later; at most 256.
    pub executable_later: Vec<String>,
    /// What the run changed, where changes are kept apart; none where it changed nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<ChangeSummary>,
    /// What it did over the network, by host and port, where the plane carries it; at most 256.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub network: Vec<HostTraffic>,
    /// Its own processes, those among them that lived long enough to be seen; at most 64. How many there were in all, `usage.tasks` tells.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub processes: Vec<OwnProcess>,
    /// Its ports that the host's loopback had, and what came there. Of ports that runs share: since another run told them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub published: Vec<PublishedPort>,
}

/// The changes of one run that are kept apart: which set, and how many of each kind. None of any kind: they could not be counted, or
/// there is nothing but sockets; whoever asks for the set is told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct ChangeSummary {
    /// The id of the change set, by which it is shown, committed and discarded.
    pub id: String,
    /// Entries that were not there before.
    pub created: u64,
    /// Entries with other contents or of another kind.
    pub changed: u64,
    /// Entries that are gone.
    pub deleted: u64,
    /// Entries that have another name.
    pub renamed: u64,
    /// Entries whose mode is another, and nothing else.
    pub mode_changed: u64,
    /// Entries whose times are others, and nothing else.
    pub touched: u64,
}

impl ChangeSummary {
    /// No changes yet, in the set `id`.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), ..Self::default() }
    }

    /// How many there are in all.
    pub fn total(&self) -> u64 {
        self.created + self.changed + self.deleted + self.renamed + self.mode_changed + self.touched
    }
}

impl ExecutionReport {
    /// A report of `cause` under `enforcement`.
    pub fn new(cause: ExitCause, usage: Usage, enforcement: Enforcement) -> Self {
        Self {
            cause,
            usage,
            enforcement,
            denials: Vec::new(),
            executable_later: Vec::new(),
            changes: None,
            network: Vec::new(),
            processes: Vec::new(),
            published: Vec::new(),
        }
    }
}

/// Where a plane puts the events of one execution. Implemented by the kernel.
pub trait ExecutionEventSink: Send + Sync {
    /// Hands over one event. Blocks while the kernel's queue is full (that is the back-pressure a slow
    /// reader puts on a guest); answers `false` when nobody will read any more, after which a plane ends the execution.
    fn push(&self, event: ExecutionEvent) -> bool;

    /// As [`push`](Self::push), but hands the event back instead of blocking when the queue is full.
    ///
    /// # Errors
    /// The event itself, when there is no room.
    fn try_push(&self, event: ExecutionEvent) -> Result<bool, Box<ExecutionEvent>>;

    /// Wakes `waker` once, as soon as there is room or nobody reads any more; at once when that is so already.
    /// For planes that serve many executions from one thread.
    fn wake_when_room(&self, waker: &Waker);

    /// Asks the host on behalf of the execution. Never blocks: `waiter` is called once with what it came to, before this returns where that is
    /// known at once. Dropping the ticket takes the question back, as when what asked is gone. By default there is nobody to ask.
    fn ask(&self, question: PromptQuestion, waiter: PromptWaiter) -> PromptTicket {
        let _ = question;
        waiter(PromptOutcome::NobodyToAsk);
        PromptTicket::settled()
    }
}
