//! The records of one run: after its `started`, what was refused on the way, and its end, however it comes.

use super::{Recording, numbered};
use crate::audit::{About, Decided, Durability, Ended, Event, Recorder, Ticket};
use crate::wall_timer::Passed;
use cofferdam_bridge::enforcement::{Enforcement, Tier};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::event::ExecutionReport;
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_bridge::own_process::OwnProcess;
use cofferdam_bridge::usage::Usage;
use cofferdam_bridge::verdict::{Denial, Verdict};
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// As many refusals of one run have records of their own.
const MOST_DENIALS: usize = 64;

/// Records the end of a run, once. Dropped before that, it records that the end was never told.
pub(crate) struct RunRecord {
    recording: Recording,
    recorder: Recorder,
    about: About,
    /// The sequence number of `started`, or why there is none.
    started: Result<u64, BridgeError>,
    timer: OnceLock<Passed>,
    end: Mutex<End>,
}

#[derive(Default)]
enum End {
    #[default]
    Ahead,
    Told(Ticket),
    /// Nothing is recorded of this run.
    Unrecorded,
}

impl fmt::Debug for RunRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunRecord").field("started", &self.started).finish_non_exhaustive()
    }
}

impl RunRecord {
    pub(super) fn new(recording: Recording, recorder: Recorder, about: About, started: u64) -> Self {
        recording.running.fetch_add(1, Ordering::Relaxed);
        Self { recording, recorder, about, started: Ok(started), timer: OnceLock::new(), end: Mutex::default() }
    }

    /// The record of a run whose start could not be recorded.
    pub(super) fn failed(recording: Recording, recorder: Recorder, about: About, error: BridgeError) -> Self {
        recording.running.fetch_add(1, Ordering::Relaxed);
        let end = Mutex::new(End::Unrecorded);
        Self { recording, recorder, about, started: Err(error), timer: OnceLock::new(), end }
    }

    /// The sequence number of `started`; none where it could not be recorded.
    pub(crate) fn sequence(&self) -> Option<u64> {
        self.started.as_ref().ok().copied()
    }

    /// The time limit that may turn out to have ended the run.
    pub(crate) fn limited_by(&self, passed: Passed) {
        // There is one timer for each run.
        let _ = self.timer.set(passed);
    }

    /// Records the end of the run. What comes after the first is not recorded.
    pub(crate) fn end(&self, report: &ExecutionReport) {
        let mut end = self.lock();
        let (End::Ahead, Ok(started)) = (&*end, &self.started) else { return };
        let timed_out = self.timer.get().and_then(Passed::milliseconds);
        let cause = match (&report.cause, timed_out) {
            (ExitCause::Killed, Some(limit_ms)) => ExitCause::TimedOut { limit_ms },
            (cause, _) => cause.clone(),
        };
        for denial in report.denials.iter().take(MOST_DENIALS) {
            let event = Event::Decision(Box::new(decided(denial)));
            // What is wrong with the log the last of these records is told.
            drop(self.recorder.record(self.about.clone(), event, Durability::Written));
        }
        let by_itself = matches!(cause, ExitCause::Exited { .. });
        let ended = Box::new(Ended {
            started: *started,
            cause,
            usage: report.usage.clone(),
            processes: report.processes.iter().take(OwnProcess::MOST).cloned().collect(),
            enforcement: report.enforcement.clone(),
            denials: report.denials.len() as u64,
            executable_later: report.executable_later.len() as u64,
            changes: report.changes.clone(),
            telemetry: self.recording.figures(),
        });
        let event = if by_itself { Event::Completed(ended) } else { Event::Failed(ended) };
        *end = End::Told(self.recorder.record(self.about.clone(), event, Durability::Written));
    }

    /// Records that the plane did not start it, and answers why, with the number of its `started`.
    pub(crate) async fn not_started(&self, error: BridgeError) -> BridgeError {
        self.never_ran(&error);
        // The start failed whether or not that can be recorded.
        let _ = self.recorded().await;
        match self.sequence() {
            Some(sequence) => numbered(error, sequence),
            None => error,
        }
    }

    fn never_ran(&self, error: &BridgeError) {
        let cause = match error.denial() {
            Some(denial) => ExitCause::RefusedByPolicy { denial: Box::new(denial) },
            None => ExitCause::PlaneFault { error: error.clone() },
        };
        let mut report = ExecutionReport::new(cause, Usage::default(), Enforcement::new(Tier::None));
        report.denials.extend(error.denial());
        self.end(&report);
    }

    /// Waits until the end is recorded; answers why it, or the start, could not be.
    pub(crate) async fn recorded(&self) -> Option<BridgeError> {
        let ticket = match &*self.lock() {
            End::Told(ticket) => ticket.clone(),
            End::Ahead | End::Unrecorded => return self.started.as_ref().err().cloned(),
        };
        ticket.await.err()
    }

    fn lock(&self) -> MutexGuard<'_, End> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for RunRecord {
    fn drop(&mut self) {
        let message = "nobody told the end of this run: its start was given up, or its plane is gone";
        self.never_ran(&BridgeError::new(ErrorCode::Cancelled, message));
        self.recording.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What was refused at run time, as a decision.
fn decided(denial: &Denial) -> Decided {
    Decided {
        verdict: Verdict::Deny,
        access: denial.access.clone(),
        subject: denial.subject.clone(),
        rule: denial.rule.clone(),
        program: denial.program.clone(),
        times: denial.times,
    }
}
