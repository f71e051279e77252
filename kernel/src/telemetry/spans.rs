//! Decisions, full queues, questions and actions, as spans, events and figures.

use super::TARGET;
use super::instruments::{ACTION_DURATION, DECISIONS, OUTPUT_WAITS};
use super::listeners::Listeners;
use super::run::failed;
use crate::action::JobRecord;
use crate::policy::{Access, Decision};
use crate::vm::SharedVm;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::prompt::PromptAccess;
use cofferdam_bridge::verdict::{Denial, Verdict};
use std::time::Duration;
use tracing::{Level, Span, event, field};

/// What the policy said to one access. Its subject is not told: a path may say more than its owner likes. What is to be asked about is told
/// when it is asked.
pub(crate) fn decided(listeners: &Listeners, access: &Access, decision: &Decision) {
    let verdict = match decision.verdict {
        Verdict::Allow => "allow",
        Verdict::Prompt => return,
        _ => "deny",
    };
    tell(listeners, access.told().0, verdict, 1);
}

/// A program was refused by its plane, which alone knew what its name meant.
pub(crate) fn refused_by_plane(listeners: &Listeners, error: &BridgeError) {
    if let Some(denial) = error.denial() {
        tell(listeners, kind(&denial.access), "deny", 1);
    }
}

/// What a run was refused.
pub(super) fn refused_at_run_time(listeners: &Listeners, denial: &Denial) {
    tell(listeners, kind(&denial.access), "deny", denial.times.unwrap_or(1));
}

pub(super) fn tell(listeners: &Listeners, access: &str, verdict: &'static str, times: u64) {
    event!(name: "cofferdam.decision", target: TARGET, Level::DEBUG, access, verdict, times);
    let times = i64::try_from(times).unwrap_or(i64::MAX);
    listeners.add(&DECISIONS, times, &[("cofferdam.access", access), ("cofferdam.verdict", verdict)]);
}

/// The kind of access as a plane calls it. A plane may be anybody's, and what it says is told only where it can be such a name.
fn kind(access: &str) -> &str {
    const LONGEST: usize = 32;
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte == b'.' || byte == b'_';
    if access.len() <= LONGEST && access.bytes().all(fits) { access } else { "other" }
}

/// A plane waits for the reader of a run, whose queue is full.
pub(crate) fn queue_full(listeners: &Listeners, events: usize, bytes: usize) {
    event!(
        name: "cofferdam.queue.full",
        target: TARGET,
        Level::DEBUG,
        events = events as u64,
        bytes = bytes as u64,
    );
    listeners.add(&OUTPUT_WAITS, 1, &[]);
}

/// The span of a question that a start or a host's own request waits for.
pub(crate) fn prompt(access: PromptAccess) -> Span {
    tracing::info_span!(target: TARGET, "cofferdam.prompt", access = access.as_str())
}

/// The span of an action, from its first figures to its last record.
pub(crate) fn action(name: &str, vm: &SharedVm) -> Span {
    tracing::info_span!(
        target: TARGET,
        "cofferdam.action.run",
        action = name,
        vm = %vm.id,
        job = field::Empty,
        outcome = field::Empty,
        "error.type" = field::Empty,
        "otel.status_code" = field::Empty,
    )
}

/// How an action ended.
pub(crate) fn action_ended(listeners: &Listeners, record: &JobRecord) {
    let outcome = record.code.map_or("done", |code| code.as_str());
    let took = Duration::from_millis(record.elapsed_ms);
    let span = Span::current();
    span.record("job", record.job.job_id.as_str());
    span.record("outcome", outcome);
    if record.code.is_some() {
        failed(&span, outcome);
    }
    event!(
        name: "cofferdam.action.ended",
        target: TARGET,
        Level::INFO,
        action = record.job.action,
        outcome,
        seconds = took.as_secs_f64(),
    );
    let attributes = [("cofferdam.action.name", record.job.action.as_str()), ("cofferdam.outcome", outcome)];
    listeners.took(&ACTION_DURATION, took, &attributes);
}

#[cfg(test)]
mod tests {
    use super::kind;

    #[test]
    fn what_a_plane_calls_an_access_is_told_only_where_it_can_be_a_kind() {
        assert_eq!(kind("filesystem.read"), "filesystem.read");
        for odd in ["/home/me/token", "hunter2", "a_very_long_kind_of_access_that_is_none", "two words"] {
            assert_eq!(kind(odd), "other");
        }
    }
}
