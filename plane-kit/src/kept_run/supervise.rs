//! Stays with one execution from its start to its end: carries output, holds limits, and tells how it ended.
//!
//! One thread for each execution, which waits in poll(2). It never blocks on the kernel's queue while the program runs: a
//! reader that is slow holds up its own program and nothing else, and limits still act.

use crate::captured_output::{CapturedOutput, Moved};
use crate::deadline::Deadline;
use crate::exit_status::cause_of;
use crate::keeper::{Keeper, Kept, Told};
use crate::kept_run::execution::{Shared, Wish};
use crate::kept_run::limit_watch::LimitWatch;
use crate::kept_run::running::Place;
use crate::output_wait::OutputWait;
use crate::process::Resources;
use crate::wakeup::Wakeup;
use cofferdam_bridge::enforcement::{Enforcement, Mechanism};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::event::{ExecutionEvent, ExecutionEventSink, ExecutionReport};
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_bridge::limits::LimitName;
use cofferdam_bridge::usage::Usage;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// One execution under supervision.
pub(crate) struct Supervision {
    pub(crate) kept: Kept,
    pub(crate) outputs: Vec<CapturedOutput>,
    pub(crate) sink: Arc<dyn ExecutionEventSink>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) deadline: Deadline,
    pub(crate) output_wait: OutputWait,
    pub(crate) limits: LimitWatch,
    pub(crate) enforcement: Enforcement,
    pub(crate) started: Instant,
    pub(crate) wakeup: Wakeup,
    /// Called when nothing is left, before that is told.
    pub(crate) finish: super::Finish,
    /// Left when nothing runs any more, before that is told.
    pub(crate) place: Place,
    /// What is to hold a keeper ready for the next run.
    pub(crate) next: Option<Arc<Keeper>>,
}

/// What a program has to end in order when its time is over: not so long that the limit would be none.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// How long output may still wait for room after everything has ended before it is looked at again.
const WHOLE_SECOND: Duration = Duration::from_secs(1);

impl Supervision {
    /// Supervises until the end, then hands over the last event.
    pub(crate) fn run(mut self) {
        let cause = self.until_ended().unwrap_or_else(|error| ExitCause::PlaneFault {
            error: BridgeError::new(
                ErrorCode::PlaneFault,
                "the supervisor could not wait for the program; it was ended",
            )
            .with("io_error", error.kind().to_string()),
        });
        let Self { kept, sink, shared, outputs, limits, enforcement, started, finish, place, next, .. } = self;
        // A keeper that told the end has nothing left and told what was used, so nobody waits for its own end but this thread.
        let (resources, kept) = match kept.used() {
            Some(used) => (used, Some(kept)),
            None => {
                shared.kill();
                (kept.reap(), None)
            }
        };
        shared.input.end();
        let usage = usage(&outputs, &limits, resources, started);
        let mut report = ExecutionReport::new(limits.classify(cause), usage, enforcement);
        finish(&mut report);
        place.running.remove(&place.id);
        sink.push(ExecutionEvent::Exited(Box::new(report)));
        // Who waits for it was perhaps put onto this thread's processor, and need not wait for what is cleared up from here on.
        thread::yield_now();
        drop(sink);
        drop(kept);
        // A group is used again when its keeper has left it.
        drop(limits);
        if let Some(keeper) = next {
            keeper.prepare();
        }
        place.running.gone();
    }

    fn until_ended(&mut self) -> io::Result<ExitCause> {
        let mut cause = None;
        loop {
            let now = Instant::now();
            let deadline = if cause.is_none() { self.deadline.remaining(now) } else { None };
            let most =
                [deadline, self.limits.next_look(now), self.output_wait.remaining(now)].into_iter().flatten().min();
            self.wait(most)?;
            if let Some(struck) = self.advance()? {
                self.shared.kill();
                cause.get_or_insert(struck);
            }
            let told = self.kept.told();
            // What has ended passes no limit any more, and nothing is there to be looked at.
            if cause.is_none() && !matches!(told, Some(Told::Ended(_) | Told::Gone)) {
                cause = self.past_limit(Instant::now());
            }
            match told {
                Some(Told::Ended(status)) => {
                    let ended = cause_of(status);
                    let cause = cause.unwrap_or_else(|| self.wished(ended));
                    return self.drain(cause);
                }
                Some(Told::Gone) => {
                    let cause = self.keeper_gone();
                    return self.drain(cause);
                }
                Some(Told::Stopped(signal)) => self.tell(ExecutionEvent::Stopped { signal }),
                Some(Told::Continued) => self.tell(ExecutionEvent::Continued),
                Some(Told::Left) => self.output_wait.begin(Instant::now()),
                _ => {}
            }
            // Where the host ends it, the output is released by that.
            let released = self.outputs.iter().all(CapturedOutput::finished);
            if self.shared.wish() == Wish::Nothing && self.output_wait.is_over(Instant::now(), released) {
                self.shared.kill();
            }
        }
    }

    /// Looks at time and limits; begins the end when one is passed.
    fn past_limit(&mut self, now: Instant) -> Option<ExitCause> {
        if let Some(cause) = self.deadline.passed(now) {
            self.shared.stop(LAST_WORDS);
            return Some(cause);
        }
        let cause = self.limits.look(now)?;
        self.shared.kill();
        Some(cause)
    }

    /// The cause as the host sees it: an end that it wished is told as such, one that came by itself before is not.
    fn wished(&self, ended: ExitCause) -> ExitCause {
        match (self.shared.wish(), &ended) {
            // The program had ended, and what was to be waited for was not.
            (Wish::Kill, _) if self.output_wait.is_cut_short() => ExitCause::Killed,
            (Wish::Stop, _) | (Wish::Kill, ExitCause::Signalled { signal: libc::SIGKILL, .. }) => ExitCause::Killed,
            _ => ended,
        }
    }

    fn keeper_gone(&mut self) -> ExitCause {
        let message = "the keeper of this program was killed from elsewhere; the program ended with it, but what the program had started may still run: look for it, and run such programs on a plane that isolates";
        for report in &mut self.enforcement.mechanisms {
            if report.mechanism == Mechanism::Containment {
                report.held = false;
                report.why_not = Some("the keeper was killed".to_owned());
            }
        }
        ExitCause::PlaneFault { error: BridgeError::new(ErrorCode::PlaneFault, message) }
    }

    /// Waits for word of the keeper, output, room in the queue, or the time to look at limits.
    fn wait(&self, most: Option<Duration>) -> io::Result<()> {
        let outputs = self.outputs.iter().filter_map(CapturedOutput::waits_on);
        self.wakeup.wait(outputs.chain([self.kept.waits_on()]), most)
    }

    /// Moves output along, each stream in its turn. One past its limit, or that nobody wants, ends the execution.
    fn advance(&mut self) -> io::Result<Option<ExitCause>> {
        let mut struck = None;
        for output in self.outputs.iter_mut().filter(|output| !output.finished()) {
            match output.advance(self.sink.as_ref(), self.wakeup.waker())? {
                Moved::Unwanted => struck = Some(ExitCause::Killed),
                Moved::PastLimit { observed } => struck = Some(output.past_limit(observed)),
                _ => {}
            }
        }
        Ok(struck)
    }

    /// A word that finds the queue full is told late rather than never: the queue has room again after at most one read.
    fn tell(&self, event: ExecutionEvent) {
        if let Err(event) = self.sink.try_push(event) {
            self.sink.push(*event);
        }
    }

    /// Everything has ended: what is still in the pipes is handed over, and nothing waits for more.
    fn drain(&mut self, mut cause: ExitCause) -> io::Result<ExitCause> {
        let seen = |outputs: &[CapturedOutput]| outputs.iter().map(CapturedOutput::seen).sum::<u64>();
        loop {
            let before = seen(&self.outputs);
            if let Some(struck) = self.advance()? {
                if matches!(cause, ExitCause::Exited { .. } | ExitCause::Signalled { .. }) {
                    cause = struck;
                }
                return Ok(cause);
            }
            if self.outputs.iter().all(CapturedOutput::finished) {
                return Ok(cause);
            }
            let held = self.outputs.iter().any(CapturedOutput::holds_back);
            if held {
                self.wait(Some(WHOLE_SECOND))?;
            } else if seen(&self.outputs) == before {
                // Somebody outside holds the pipe open; the program is gone, so nothing of its will come.
                return Ok(cause);
            }
        }
    }
}

fn usage(outputs: &[CapturedOutput], limits: &LimitWatch, resources: Resources, started: Instant) -> Usage {
    let seen = |name| outputs.iter().filter(|output| output.name() == name).map(CapturedOutput::seen).sum();
    let mut usage = Usage::default();
    usage.wall_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    usage.user_us = Some(resources.user_us);
    usage.system_us = Some(resources.system_us);
    usage.peak_memory_bytes = Some(limits.peak_memory().max(resources.peak_bytes));
    usage.stdout_bytes = seen(LimitName::Stdout);
    usage.stderr_bytes = seen(LimitName::Stderr);
    usage
}
