//! What the kernel tells through `tracing`: spans, events and figures, by names that are documented in `docs/telemetry.md`.
//!
//! Nothing is told of arguments, environment values, input, output or paths beneath a workspace: names of policies, planes, actions and
//! programs, ids, codes and numbers alone. Without a subscriber each of these costs one look at an atomic number.
//!
//! Fields that begin with `monotonic_counter.` and `histogram.` are metrics by the convention of the crate `tracing-opentelemetry`, which
//! a host's subscriber may follow; to every other subscriber they are fields like any.

use crate::action::JobRecord;
use crate::error::KernelError;
use crate::policy::{Access, Decision};
use crate::vm::SharedVm;
use cofferdam_bridge::event::ExecutionReport;
use cofferdam_bridge::execution::ExecutionRef;
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_bridge::ids::ExecutionId;
use cofferdam_bridge::verdict::Verdict;
use std::time::Duration;
use tracing::{Level, Span, event, field};

/// The target of everything that is told here.
const TARGET: &str = "cofferdam";

/// The span of a start: from the first check until the program runs or is refused.
pub(crate) fn starting(vm: &SharedVm) -> Span {
    tracing::info_span!(
        target: TARGET,
        "cofferdam.execution.start",
        vm = %vm.id,
        policy = %vm.compiled.profile.name,
        execution = field::Empty,
        plane = field::Empty,
        outcome = field::Empty,
    )
}

/// Whether anybody listens: the plane's description is not asked for otherwise.
fn listened_to() -> bool {
    tracing::enabled!(target: TARGET, Level::INFO)
}

/// How a start came out.
pub(crate) fn started(vm: &SharedVm, execution: &ExecutionId, outcome: Result<(), &KernelError>, took: Duration) {
    if !listened_to() {
        return;
    }
    let plane = vm.plane.describe().name;
    let outcome = outcome.map_or_else(|error| error.code().as_str(), |()| "started");
    let span = Span::current();
    span.record("execution", field::display(execution));
    span.record("plane", plane.as_str());
    span.record("outcome", outcome);
    event!(
        name: "cofferdam.execution.started",
        target: TARGET,
        Level::INFO,
        plane,
        outcome,
        monotonic_counter.cofferdam.execution.starts = 1_u64,
        histogram.cofferdam.execution.start.duration = took.as_secs_f64(),
    );
}

/// How a run ended.
pub(crate) fn ended(execution: &ExecutionRef, report: &ExecutionReport) {
    if !listened_to() {
        return;
    }
    let cause = match &report.cause {
        ExitCause::Exited { code: 0 } => "exited",
        ExitCause::Exited { .. } => "exited_with_failure",
        ExitCause::Signalled { .. } => "signalled",
        ExitCause::Killed => "killed",
        ExitCause::TimedOut { .. } => "timed_out",
        ExitCause::Limit { .. } => "limit",
        ExitCause::RefusedByPolicy { .. } => "refused_by_policy",
        ExitCause::PlaneFault { .. } => "plane_fault",
        _ => "other",
    };
    let limited = matches!(report.cause, ExitCause::TimedOut { .. } | ExitCause::Limit { .. });
    let seconds = Duration::from_micros(report.usage.wall_us).as_secs_f64();
    event!(
        name: "cofferdam.execution.ended",
        target: TARGET,
        Level::INFO,
        execution = %execution.execution_id,
        cause,
        denials = report.denials.len() as u64,
        tasks = report.usage.tasks,
        peak_memory_bytes = report.usage.peak_memory_bytes,
        monotonic_counter.cofferdam.execution.ends = 1_u64,
        histogram.cofferdam.execution.duration = seconds,
    );
    if let Some(limit) = report.cause.code().filter(|_| limited).map(|code| code.as_str()) {
        event!(
        name: "cofferdam.limit",
        target: TARGET,
        Level::INFO, limit, monotonic_counter.cofferdam.limits = 1_u64);
    }
}

/// What the policy said to one access. Its subject is not told: a path may say more than its owner likes.
pub(crate) fn decided(access: &Access, decision: &Decision) {
    let verdict = match decision.verdict {
        Verdict::Allow => "allow",
        Verdict::Prompt => "prompt",
        _ => "deny",
    };
    event!(
        name: "cofferdam.decision",
        target: TARGET,
        Level::DEBUG,
        access = access.told().0,
        verdict,
        monotonic_counter.cofferdam.decisions = 1_u64,
    );
}

/// A plane waits for the reader of a run, whose queue is full.
pub(crate) fn queue_full(events: usize, bytes: usize) {
    event!(
        name: "cofferdam.queue.full",
        target: TARGET,
        Level::DEBUG,
        events = events as u64,
        bytes = bytes as u64,
        monotonic_counter.cofferdam.queue.waits = 1_u64,
    );
}

/// The span of an action, from its first figures to its last record.
pub(crate) fn action(name: &str, vm: &SharedVm) -> Span {
    tracing::info_span!(target: TARGET, "cofferdam.action.run", action = name, vm = %vm.id, job = field::Empty, outcome = field::Empty)
}

/// How an action ended.
pub(crate) fn action_ended(record: &JobRecord) {
    if !listened_to() {
        return;
    }
    let outcome = record.code.map_or("done", |code| code.as_str());
    let span = Span::current();
    span.record("job", record.job.job_id.as_str());
    span.record("outcome", outcome);
    event!(
        name: "cofferdam.action.ended",
        target: TARGET,
        Level::INFO,
        action = record.job.action,
        outcome,
        monotonic_counter.cofferdam.actions = 1_u64,
        histogram.cofferdam.action.duration = Duration::from_millis(record.elapsed_ms).as_secs_f64(),
    );
}
