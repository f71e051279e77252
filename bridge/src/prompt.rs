//! Asking the host whether something may be, while what asks waits.
//!
//! A policy names what is to be asked (`[prompt]`). The kernel asks its [`Prompter`], which may answer at once, block, or answer later; no
//! answer in time is a no. An answer that is remembered is a [`Grant`]: on a named object, listed, revocable while things run. Nothing that a
//! guest says can make one.

use crate::error::BridgeError;
use crate::ids::{ExecutionId, GrantId, PromptId, VmId};
use crate::verdict::RuleRef;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// What is to be done with the subject of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub enum PromptAccess {
    /// Reading a file, or listing a directory.
    #[serde(rename = "filesystem.read")]
    Read,
    /// Changing, making or removing a file or directory.
    #[serde(rename = "filesystem.write")]
    Write,
    /// Starting a program.
    #[serde(rename = "command.execute")]
    Execute,
    /// Connecting to a host and port.
    #[serde(rename = "network.connect")]
    Connect,
}

impl PromptAccess {
    /// As it stands in JSON, in refusals and in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "filesystem.read",
            Self::Write => "filesystem.write",
            Self::Execute => "command.execute",
            Self::Connect => "network.connect",
        }
    }
}

/// How long an answer holds. Ordered: later is longer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Remember {
    /// For the request that was asked about.
    Once,
    /// As long as the VM lives.
    #[default]
    Session,
    /// Until it is revoked or expires.
    Always,
}

/// What something that must be asked about wants to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct PromptQuestion {
    /// What is to be done.
    pub access: PromptAccess,
    /// To what: a canonical path, or `host:port`.
    pub subject: String,
    /// The line of the policy that says to ask.
    pub rule: RuleRef,
    /// The program that asks, by the name that it gave itself, which a guest chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
}

impl PromptQuestion {
    /// A question that names no program.
    pub fn new(access: PromptAccess, subject: impl Into<String>, rule: RuleRef) -> Self {
        Self { access, subject: subject.into(), rule, program: None }
    }
}

/// A question as the host gets it. Subject and program are a guest's choice: escape them before they are shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Prompt {
    /// By which it is answered.
    pub id: PromptId,
    /// The tenant.
    pub vm_id: VmId,
    /// The run that asked first; none where the start of one is asked about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_id: Option<ExecutionId>,
    /// What is asked.
    pub question: PromptQuestion,
    /// The longest that an answer may hold, by the policy.
    pub remember: Remember,
    /// After so many milliseconds without an answer it is a no.
    pub limit_ms: u64,
}

impl Prompt {
    /// A prompt.
    pub fn new(id: PromptId, vm_id: VmId, question: PromptQuestion, remember: Remember, limit_ms: u64) -> Self {
        Self { id, vm_id, execution_id: None, question, remember, limit_ms }
    }
}

/// What the host says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "answer")]
#[non_exhaustive]
pub enum PromptAnswer {
    /// No.
    Deny,
    /// Yes.
    Allow {
        /// For how long; cut down to what the policy lets be remembered.
        remember: Remember,
        /// An end of what is remembered, in milliseconds from now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_ms: Option<u64>,
    },
}

impl PromptAnswer {
    /// Yes, for this once.
    pub fn once() -> Self {
        Self::Allow { remember: Remember::Once, expires_ms: None }
    }

    /// Yes, as long as the VM lives.
    pub fn session() -> Self {
        Self::Allow { remember: Remember::Session, expires_ms: None }
    }

    /// Yes, until it is revoked.
    pub fn always() -> Self {
        Self::Allow { remember: Remember::Always, expires_ms: None }
    }
}

/// What a question came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PromptOutcome {
    /// It may be: the host said so now.
    Allowed,
    /// It may be: a grant covers it, and nobody was asked.
    Granted,
    /// The host said no.
    Denied,
    /// Nobody answered in time, which is a no.
    TimedOut,
    /// There is nobody to ask, which is a no.
    NobodyToAsk,
    /// Too many questions wait, or the run has asked too many, which is a no.
    QueueFull,
    /// The host said yes, which could not be recorded, so that it is a no.
    Unrecorded,
    /// Whatever asked has ended.
    Cancelled,
}

impl PromptOutcome {
    /// Whether it may be. An outcome of a kind that is not known yet is a no.
    pub fn is_allowed(self) -> bool {
        matches!(self, Self::Allowed | Self::Granted)
    }

    /// Why it may not be, as part of a sentence.
    pub fn why(self) -> &'static str {
        match self {
            Self::Allowed | Self::Granted => "the host allowed it",
            Self::Denied => "the host was asked and said no",
            Self::TimedOut => "the host was asked and did not answer in time",
            Self::NobodyToAsk => "the policy says to ask, and there is nobody to ask",
            Self::QueueFull => "the policy says to ask, and too many questions wait, or were asked, already",
            Self::Unrecorded => "the host allowed it, and that could not be recorded in the audit log",
            Self::Cancelled => "what asked has ended",
        }
    }
}

/// Takes the answer to one prompt. Implemented by the kernel.
pub trait AnswerSink: Send + Sync {
    /// Takes an answer.
    ///
    /// # Errors
    /// `invalid_state` when the prompt waits no longer; what kept a yes from being remembered, which then holds for this once.
    fn answer(&self, id: &PromptId, answer: PromptAnswer) -> Result<(), BridgeError>;

    /// Whether the prompt still waits.
    fn waits(&self, id: &PromptId) -> bool;
}

/// How one prompt is answered. Dropping it answers nothing: the prompt waits until its time is up.
#[derive(Clone)]
pub struct PromptReply {
    id: PromptId,
    sink: Arc<dyn AnswerSink>,
}

impl fmt::Debug for PromptReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PromptReply").field("id", &self.id).finish_non_exhaustive()
    }
}

impl PromptReply {
    /// A reply to the prompt `id`.
    pub fn new(id: PromptId, sink: Arc<dyn AnswerSink>) -> Self {
        Self { id, sink }
    }

    /// Answers.
    ///
    /// # Errors
    /// `invalid_state` when it is too late: the time is up, what asked has ended, or somebody else has answered; what kept a yes from being
    /// remembered, which then holds for this once.
    pub fn answer(self, answer: PromptAnswer) -> Result<(), BridgeError> {
        self.sink.answer(&self.id, answer)
    }

    /// Whether an answer is still waited for.
    pub fn is_wanted(&self) -> bool {
        self.sink.waits(&self.id)
    }
}

/// Whoever can be asked: a person at a terminal, a dialogue, a service.
pub trait Prompter: Send + Sync {
    /// Puts one question. Called on a thread that may wait, one question after the other: whoever blocks until the answer holds up the
    /// questions behind it, whose time runs meanwhile; whoever keeps `reply` and returns has them all at once.
    fn ask(&self, prompt: Prompt, reply: PromptReply);

    /// What it is called in records of its answers: what it is, such as `terminal`, not who sits there.
    fn name(&self) -> &str {
        "host"
    }

    /// A prompt that was put waits no longer, and why.
    fn settled(&self, id: &PromptId, outcome: PromptOutcome) {
        let _ = (id, outcome);
    }
}

/// Called once with what a question came to, from any thread. It must not block.
pub type PromptWaiter = Box<dyn FnOnce(PromptOutcome) + Send>;

/// A question that was put. Dropping it takes the question back: its waiter is called with `cancelled` where it was not called before.
#[must_use]
pub struct PromptTicket(Option<Box<dyn FnOnce() + Send>>);

impl fmt::Debug for PromptTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PromptTicket").finish_non_exhaustive()
    }
}

impl PromptTicket {
    /// A ticket that does `take_back` when it is dropped.
    pub fn new(take_back: impl FnOnce() + Send + 'static) -> Self {
        Self(Some(Box::new(take_back)))
    }

    /// The ticket of a question that is settled already.
    pub fn settled() -> Self {
        Self(None)
    }
}

impl Drop for PromptTicket {
    fn drop(&mut self) {
        if let Some(take_back) = self.0.take() {
            take_back();
        }
    }
}

/// A yes that is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Grant {
    /// By which it is revoked.
    pub id: GrantId,
    /// What may be done.
    pub access: PromptAccess,
    /// With what: a canonical path and all beneath it, a program, or `host:port`.
    pub subject: String,
    /// The workspace of the VM that it was given for, which it holds in alone; none: in VMs without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    /// When it was given, in seconds since 1970-01-01 UTC, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted_at: Option<u64>,
    /// When it ends, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
}

impl Grant {
    /// A grant without times.
    pub fn new(id: GrantId, access: PromptAccess, subject: impl Into<String>, workspace: Option<String>) -> Self {
        Self { id, access, subject: subject.into(), workspace, granted_at: None, expires_at: None }
    }

    /// Whether it covers `access` to `subject` in a VM of `workspace`. A path covers what lies beneath it, and writing covers reading.
    pub fn covers(&self, access: PromptAccess, subject: &str, workspace: Option<&str>) -> bool {
        let same_access = self.access == access || (self.access == PromptAccess::Write && access == PromptAccess::Read);
        let is_path = matches!(access, PromptAccess::Read | PromptAccess::Write);
        let beneath = |rest: &str| rest.is_empty() || (is_path && rest.starts_with('/'));
        same_access
            && self.workspace.as_deref() == workspace
            && subject.strip_prefix(&*self.subject).is_some_and(beneath)
    }
}

/// Keeps the grants that outlive the kernel, for all kernels of one host.
pub trait GrantStore: Send + Sync {
    /// Those that hold now: what is revoked or expired is not among them.
    ///
    /// # Errors
    /// `io_failed`, `grants_damaged`: then none holds.
    fn grants(&self) -> Result<Vec<Grant>, BridgeError>;

    /// Adds one, with its times set; `expires_ms`: how long it holds. When this answers, it is on disk.
    ///
    /// # Errors
    /// As [`grants`](Self::grants): then it does not hold.
    fn add(&self, grant: Grant, expires_ms: Option<u64>) -> Result<Grant, BridgeError>;

    /// Takes one away; `false` when there is none of that id. When this answers, it holds nowhere any more.
    ///
    /// # Errors
    /// As [`grants`](Self::grants).
    fn revoke(&self, id: &GrantId) -> Result<bool, BridgeError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(access: PromptAccess, subject: &str) -> Grant {
        Grant::new(GrantId::new("g"), access, subject, Some("/w".to_owned()))
    }

    #[test]
    fn a_grant_covers_what_it_names_and_beneath_in_its_workspace_alone() {
        let grant = grant(PromptAccess::Write, "/p/a");
        let covers = |access, subject| grant.covers(access, subject, Some("/w"));
        assert!(covers(PromptAccess::Write, "/p/a") && covers(PromptAccess::Read, "/p/a/b/c"));
        assert!(!covers(PromptAccess::Write, "/p/ab") && !covers(PromptAccess::Write, "/p"));
        assert!(!covers(PromptAccess::Execute, "/p/a"));
        assert!(!grant.covers(PromptAccess::Write, "/p/a", None));
        assert!(!grant.covers(PromptAccess::Write, "/p/a", Some("/w/x")));
    }

    #[test]
    fn reading_covers_no_writing_and_a_host_is_no_directory() {
        assert!(!grant(PromptAccess::Read, "/p").covers(PromptAccess::Write, "/p", Some("/w")));
        assert!(grant(PromptAccess::Connect, "a:443").covers(PromptAccess::Connect, "a:443", Some("/w")));
        assert!(!grant(PromptAccess::Connect, "a:443").covers(PromptAccess::Connect, "a:443/x", Some("/w")));
        assert!(!grant(PromptAccess::Execute, "/bin").covers(PromptAccess::Execute, "/bin/sh", Some("/w")));
    }
}
