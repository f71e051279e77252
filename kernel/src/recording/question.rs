//! What a kernel records of what it decides for its host, and of questions to it: that one is put, what it came to, and what becomes of answers that are remembered. What
//! cannot be recorded is not allowed.

use super::{Recording, Unrecorded};
use crate::audit::{About, Answered, Decided, Durability, Event, GrantUsed, Granted, Prompted, Revoked};
use crate::policy::Access;
use crate::vm::SharedVm;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::ids::{ExecutionId, VmId};
use cofferdam_bridge::prompt::{Grant, Prompt, PromptOutcome, PromptQuestion, Remember};
use cofferdam_bridge::trace_context::TraceContext;
use cofferdam_bridge::verdict::Verdict;
use std::time::Duration;

/// Who is meant: a VM, its session, and the run that asked.
#[derive(Clone, Copy)]
pub(crate) struct Asking<'a> {
    pub(crate) vm: &'a VmId,
    pub(crate) session: Option<&'a str>,
    pub(crate) execution: Option<&'a ExecutionId>,
}

/// How a question came to its end.
pub(crate) struct Settled<'a> {
    pub(crate) outcome: PromptOutcome,
    pub(crate) by: &'a str,
    pub(crate) lasts: Option<Remember>,
    pub(crate) waited: Duration,
    pub(crate) requests: usize,
}

impl SharedVm {
    /// Records what the policy says to `access`, which an action asks for.
    pub(crate) fn recorded_decision(&self, access: &Access) {
        let Ok(decision) = self.compiled.decide(access) else { return };
        let (name, subject) = access.told();
        let (verdict, rule, access) = (decision.verdict, decision.rule, name.to_owned());
        let decided = Decided { verdict, access, subject, rule, program: None, times: None };
        let asking = Asking { vm: &self.id, session: self.session.as_deref(), execution: None };
        self.recording.hand_in(asking, Event::Decision(Box::new(decided)));
    }
}

impl Recording {
    /// Records that somebody is asked. Nothing waits for it: what the question comes to stands behind it, and is waited for where it allows.
    /// `trace` is what the host's source said: it is not asked here, where locks may be held.
    pub(crate) fn prompted(&self, asking: Asking<'_>, prompt: &Prompt, trace: Option<TraceContext>) {
        let event = Event::Prompted(Box::new(Prompted {
            prompt: prompt.id.to_string(),
            access: prompt.question.access.as_str().to_owned(),
            subject: prompt.question.subject.clone(),
            rule: Some(prompt.question.rule.clone()),
            program: prompt.question.program.clone(),
            remember: prompt.remember,
            timeout_ms: prompt.limit_ms,
        }));
        if let Some(recorder) = &self.recorder {
            drop(recorder.record(about(asking).trace(trace), event, Durability::Written));
        }
    }

    /// Records what a question came to. A yes is on disk when this returns.
    ///
    /// # Errors
    /// For a yes, `audit_unavailable` or `audit_damaged`, unless the host lets run what cannot be recorded: then it is none.
    pub(crate) fn answered(
        &self,
        asking: Asking<'_>,
        prompt: &Prompt,
        settled: &Settled<'_>,
    ) -> Result<(), BridgeError> {
        let allowed = settled.outcome.is_allowed();
        let event = Event::Answered(Box::new(Answered {
            prompt: prompt.id.to_string(),
            verdict: if allowed { Verdict::Allow } else { Verdict::Deny },
            outcome: settled.outcome,
            by: settled.by.to_owned(),
            lasts: settled.lasts.filter(|_| allowed),
            waited_ms: u64::try_from(settled.waited.as_millis()).unwrap_or(u64::MAX),
            requests: settled.requests as u64,
            access: prompt.question.access.as_str().to_owned(),
            subject: prompt.question.subject.clone(),
        }));
        if allowed {
            return self.insist(asking, event, Durability::Synced);
        }
        self.hand_in(asking, event);
        Ok(())
    }

    /// Records that the answer to `prompt` is remembered as `grant`. It is on disk when this returns.
    ///
    /// # Errors
    /// As [`answered`](Self::answered): then it must not come to hold.
    pub(crate) fn granted(
        &self,
        asking: Asking<'_>,
        prompt: &Prompt,
        grant: &Grant,
        (lasts, expires_ms): (Remember, Option<u64>),
    ) -> Result<(), BridgeError> {
        let event = Event::Granted(Box::new(Granted {
            grant: grant.id.to_string(),
            prompt: prompt.id.to_string(),
            access: grant.access.as_str().to_owned(),
            subject: grant.subject.clone(),
            workspace: grant.workspace.clone(),
            lasts,
            expires_ms,
        }));
        self.insist(asking, event, Durability::Synced)
    }

    /// Records that `grant` answers `question`. It is in the log when this returns.
    ///
    /// # Errors
    /// As [`answered`](Self::answered).
    pub(crate) fn grant_used(
        &self,
        asking: Asking<'_>,
        grant: &Grant,
        question: &PromptQuestion,
    ) -> Result<(), BridgeError> {
        let event = Event::GrantUsed(Box::new(GrantUsed {
            grant: grant.id.to_string(),
            access: question.access.as_str().to_owned(),
            subject: question.subject.clone(),
            rule: Some(question.rule.clone()),
        }));
        self.insist(asking, event, Durability::Written)
    }

    /// Records that `grant` holds no more. It does not, whether or not that can be recorded.
    pub(crate) fn revoked(&self, asking: Asking<'_>, grant: &Grant, why: &str) {
        self.hand_in(asking, Event::Revoked(Box::new(Revoked::new(grant, why))));
    }

    fn hand_in(&self, asking: Asking<'_>, event: Event) {
        if let Some(recorder) = &self.recorder {
            // It takes nothing from anybody that this is recorded, and gives nothing that it is not.
            drop(recorder.record(about(asking).trace(self.listeners.trace()), event, Durability::Written));
        }
    }

    fn insist(&self, asking: Asking<'_>, event: Event, durability: Durability) -> Result<(), BridgeError> {
        let Some(recorder) = &self.recorder else { return Ok(()) };
        match recorder.record(about(asking).trace(self.listeners.trace()), event, durability).wait() {
            Err(error) if self.unrecorded == Unrecorded::Refused => Err(error),
            _ => Ok(()),
        }
    }
}

fn about(asking: Asking<'_>) -> About {
    let Asking { vm, session, execution } = asking;
    let mut about = About::vm(vm);
    if let Some(session) = session {
        about = about.session(session);
    }
    match execution {
        Some(execution) => about.execution(execution),
        None => about,
    }
}
