//! Questions to the host, as figures.

use super::instruments::{PROMPT_DURATION, PROMPTS_PENDING};
use super::listeners::Listeners;
use super::spans::tell;
use cofferdam_bridge::prompt::{PromptAccess, PromptOutcome};
use std::time::Duration;

/// The policy says to ask.
pub(crate) fn asked(listeners: &Listeners, access: PromptAccess) {
    tell(listeners, access.as_str(), "prompt", 1);
}

/// A question waits from now on.
pub(crate) fn put(listeners: &Listeners, access: PromptAccess) {
    listeners.add(&PROMPTS_PENDING, 1, &[("cofferdam.access", access.as_str())]);
}

/// It has waited so long, and waits no longer.
pub(crate) fn settled(listeners: &Listeners, access: PromptAccess, outcome: PromptOutcome, waited: Duration) {
    let access = ("cofferdam.access", access.as_str());
    listeners.add(&PROMPTS_PENDING, -1, &[access]);
    let outcome = match outcome {
        PromptOutcome::Allowed => "allowed",
        PromptOutcome::Granted => "granted",
        PromptOutcome::Denied => "denied",
        PromptOutcome::TimedOut => "timed_out",
        PromptOutcome::Cancelled => "cancelled",
        _ => "other",
    };
    listeners.took(&PROMPT_DURATION, waited, &[access, ("cofferdam.outcome", outcome)]);
}
