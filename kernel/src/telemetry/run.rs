//! One run, from its first check to its end: a span around the whole, one around its start, and its figures.

use super::TARGET;
use super::instruments::{ACTIVE, DURATION, LIMITS, START_DURATION, STARTS};
use super::listeners::Listeners;
use super::spans::refused_at_run_time;
use crate::error::KernelError;
use crate::vm::SharedVm;
use cofferdam_bridge::event::ExecutionReport;
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_bridge::ids::ExecutionId;
use std::time::Duration;
use tracing::{Level, Span, event, field};

/// What is told of one run. Dropped, it ends the run's span.
#[derive(Debug)]
pub(crate) struct Run {
    span: Span,
    id: ExecutionId,
    listeners: Listeners,
    active: bool,
}

impl Run {
    /// The run `id` is about to be checked.
    pub(crate) fn new(vm: &SharedVm, id: &ExecutionId) -> Self {
        let span = tracing::info_span!(
            target: TARGET,
            "cofferdam.execution",
            vm = %vm.id,
            policy = %vm.compiled.profile.name,
            execution = %id,
            plane = field::Empty,
            cause = field::Empty,
            denials = field::Empty,
            "error.type" = field::Empty,
            "otel.status_code" = field::Empty,
        );
        Self { span, id: id.clone(), listeners: vm.listeners.clone(), active: false }
    }

    /// The span of its start: from the first check until the program runs or is refused.
    pub(crate) fn start(&self, vm: &SharedVm) -> Span {
        tracing::info_span!(
            target: TARGET,
            parent: &self.span,
            "cofferdam.execution.start",
            vm = %vm.id,
            policy = %vm.compiled.profile.name,
            execution = %self.id,
            plane = field::Empty,
            outcome = field::Empty,
            "error.type" = field::Empty,
            "otel.status_code" = field::Empty,
        )
    }

    /// Whether anybody listens: the plane's description is not asked for otherwise.
    fn is_listened_to(&self) -> bool {
        self.listeners.want_figures() || tracing::enabled!(target: TARGET, Level::INFO)
    }

    /// How the start came out.
    pub(crate) fn started(&mut self, start: &Span, vm: &SharedVm, came: Result<(), &KernelError>, took: Duration) {
        if !self.is_listened_to() {
            return;
        }
        let plane = vm.plane.describe().name;
        let outcome = came.map_or_else(|error| error.code().as_str(), |()| "started");
        for span in [start, &self.span] {
            span.record("plane", plane.as_str());
            if came.is_err() {
                failed(span, outcome);
            }
        }
        start.record("outcome", outcome);
        start.in_scope(|| {
            event!(
                name: "cofferdam.execution.started",
                target: TARGET,
                Level::INFO,
                plane,
                outcome,
                seconds = took.as_secs_f64(),
            );
        });
        let attributes = [("cofferdam.plane.name", plane.as_str()), ("cofferdam.outcome", outcome)];
        self.listeners.add(&STARTS, 1, &attributes);
        self.listeners.took(&START_DURATION, took, &attributes);
        if came.is_ok() {
            self.active = true;
            self.listeners.add(&ACTIVE, 1, &[]);
        }
    }

    /// How the run ended.
    pub(crate) fn ended(self, report: &ExecutionReport) {
        if !self.is_listened_to() {
            return;
        }
        let cause = cause(&report.cause);
        let limited = matches!(report.cause, ExitCause::TimedOut { .. } | ExitCause::Limit { .. });
        let limit = report.cause.code().filter(|_| limited).map(|code| code.as_str());
        let time = Duration::from_micros(report.usage.wall_us);
        self.span.record("cause", cause);
        self.span.record("denials", report.denials.len() as u64);
        if let Some(code) = report.cause.code() {
            failed(&self.span, code.as_str());
        }
        self.span.in_scope(|| {
            event!(
                name: "cofferdam.execution.ended",
                target: TARGET,
                Level::INFO,
                execution = %self.id,
                cause,
                denials = report.denials.len() as u64,
                tasks = report.usage.tasks,
                peak_memory_bytes = report.usage.peak_memory_bytes,
                seconds = time.as_secs_f64(),
            );
            if let Some(limit) = limit {
                event!(name: "cofferdam.limit", target: TARGET, Level::INFO, limit);
            }
            for denial in &report.denials {
                refused_at_run_time(&self.listeners, denial);
            }
        });
        self.listeners.took(&DURATION, time, &[("cofferdam.cause", cause)]);
        if let Some(limit) = limit {
            self.listeners.add(&LIMITS, 1, &[("cofferdam.limit", limit)]);
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if self.active {
            self.listeners.add(&ACTIVE, -1, &[]);
        }
    }
}

/// Says of a span that what it spans failed, by the conventions of OpenTelemetry and of `tracing-opentelemetry`.
pub(super) fn failed(span: &Span, code: &'static str) {
    span.record("error.type", code);
    span.record("otel.status_code", "ERROR");
}

fn cause(cause: &ExitCause) -> &'static str {
    match cause {
        ExitCause::Exited { code: 0 } => "exited",
        ExitCause::Exited { .. } => "exited_with_failure",
        ExitCause::Signalled { .. } => "signalled",
        ExitCause::Killed => "killed",
        ExitCause::TimedOut { .. } => "timed_out",
        ExitCause::Limit { .. } => "limit",
        ExitCause::RefusedByPolicy { .. } => "refused_by_policy",
        ExitCause::PlaneFault { .. } => "plane_fault",
        _ => "other",
    }
}
