//! The questions that wait for the host, as figures.

use super::instruments::{PROMPT_DURATION, PROMPTS_PENDING};
use super::listeners::Listeners;
use super::spans::to_be_asked;
use cofferdam_bridge::ids::PromptId;
use cofferdam_bridge::prompt::{Prompt, PromptAccess, PromptOutcome};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use tokio::time::Instant;

/// Knows since when each question waits, where somebody wants to know.
pub(crate) struct Pending {
    listeners: Listeners,
    since: Mutex<HashMap<PromptId, (Instant, PromptAccess)>>,
}

impl Pending {
    pub(crate) fn new(listeners: Listeners) -> Self {
        Self { listeners, since: Mutex::default() }
    }

    /// The policy says to ask about such an access.
    pub(crate) fn asked(&self, access: PromptAccess) {
        to_be_asked(&self.listeners, access);
    }

    /// A question waits from now on.
    pub(crate) fn put(&self, prompt: &Prompt) {
        if !self.listeners.want_figures() {
            return;
        }
        let access = prompt.question.access;
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        since.insert(prompt.id.clone(), (Instant::now(), access));
        self.listeners.add(&PROMPTS_PENDING, 1, &[("cofferdam.access", access.as_str())]);
    }

    /// It waits no longer. Told twice, it counts once.
    pub(crate) fn settled(&self, id: &PromptId, outcome: PromptOutcome) {
        let waited = self.since.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        let Some((since, access)) = waited else { return };
        let access = ("cofferdam.access", access.as_str());
        self.listeners.add(&PROMPTS_PENDING, -1, &[access]);
        let outcome = match outcome {
            PromptOutcome::Allowed => "allowed",
            PromptOutcome::Granted => "granted",
            PromptOutcome::Denied => "denied",
            PromptOutcome::TimedOut => "timed_out",
            PromptOutcome::Cancelled => "cancelled",
            _ => "other",
        };
        self.listeners.took(&PROMPT_DURATION, since.elapsed(), &[access, ("cofferdam.outcome", outcome)]);
    }
}
