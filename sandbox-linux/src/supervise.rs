//! Stays with one sandbox from its start to its end: carries output, holds limits, and tells how it ended.
//!
//! One thread for each execution, which waits in poll(2). It never blocks on the kernel's queue: a reader
//! that is slow holds up its own guest and nothing else, and limits still act.

use crate::account::Account;
use crate::execution::Shared;
use crate::format::message;
use crate::limit_watch::{LimitWatch, Struck};
use crate::network::OneNetwork;
use crate::start::{Running, receive};
use cofferdam_bridge::enforcement::Enforcement;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::event::{ExecutionEvent, ExecutionEventSink, ExecutionReport};
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_bridge::limits::LimitName;
use cofferdam_bridge::usage::Usage;
use cofferdam_plane_kit::captured_output::{CapturedOutput, Moved};
use cofferdam_plane_kit::exit_status::cause_of;
use cofferdam_plane_kit::output_wait::OutputWait;
use cofferdam_plane_kit::process::Process;
use cofferdam_plane_kit::wakeup::{Wakeup, readable};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

/// One execution under supervision.
pub(crate) struct Supervision {
    pub(crate) running: Running,
    pub(crate) outputs: Vec<CapturedOutput>,
    pub(crate) sink: Arc<dyn ExecutionEventSink>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) limits: LimitWatch,
    pub(crate) enforcement: Enforcement,
    pub(crate) started: Instant,
    /// Called at the very end for what was refused at run time, and for the files to report.
    pub(crate) finish: Finish,
    pub(crate) network: OneNetwork,
    /// The launcher is the first process of a pid namespace: when it tells the program's end, everything else has ended.
    pub(crate) alone: bool,
    pub(crate) output_wait: OutputWait,
    /// What it told with that end.
    pub(crate) account: Option<Account>,
}

/// A run asked its network for something, and nobody could be had to answer.
fn unserved(error: &std::io::Error) -> BridgeError {
    BridgeError::new(
        ErrorCode::PlaneFault,
        format!(
            "nothing could be had to answer what the run asked of its network, so it was ended: {error}; give the host more descriptors (ulimit -n) or processes (ulimit -u)"
        ),
    )
    .with("errno", error.raw_os_error().unwrap_or(0))
}

/// What is told at the end: into the report, and of what the network was asked.
type Finish = Box<dyn FnOnce(&mut ExecutionReport, OneNetwork) + Send>;

/// How long output may still come after everything has ended: what is in a pipe then is all there is.
const WHOLE_SECOND: Duration = Duration::from_secs(1);

impl Supervision {
    /// Supervises until the end, then hands over the last event.
    pub(crate) fn run(mut self) {
        let cause = match self.until_ended() {
            Ok(cause) => cause,
            Err(error) => ExitCause::PlaneFault {
                error: BridgeError::new(
                    ErrorCode::PlaneFault,
                    "the supervisor could not wait for the sandbox; it was ended",
                )
                .with("io_error", error.kind().to_string()),
            },
        };
        let nobody_left = self.nobody_left();
        if !nobody_left {
            self.shared.kill();
        }
        let Self { running, sink, shared, outputs, limits, enforcement, started, finish, network, .. } = self;
        let Running { process, temporary, .. } = running;
        let mut account = self.account.unwrap_or_default();
        // Where the launcher has told that nobody is left, only its namespaces remain to be cleared up: nobody need wait for that.
        let remaining = if nobody_left {
            Some(process)
        } else {
            account.reaped(process.reap().unwrap_or_default());
            None
        };
        drop(temporary);
        shared.end();
        let cause = limits.classify(cause, &account);
        let usage = usage(&outputs, &limits, account, started);
        let mut report = ExecutionReport::new(cause, usage, enforcement);
        report.processes = limits.processes();
        finish(&mut report, network);
        sink.push(ExecutionEvent::Exited(Box::new(report)));
        drop(remaining.map(Process::reap));
        // Clearing up the cgroup takes a moment that nobody needs to wait for; when the host ends meanwhile, it is done anyway.
        drop(limits);
    }

    /// Whether the launcher has told that it has ended and reaped everything.
    fn nobody_left(&self) -> bool {
        self.alone && self.account.is_some()
    }

    fn until_ended(&mut self) -> std::io::Result<ExitCause> {
        let wakeup = Wakeup::new()?;
        let mut cause = None;
        loop {
            let now = Instant::now();
            let wait = [self.limits.next_look(now), self.output_wait.remaining(now)].into_iter().flatten().min();
            self.wait(&wakeup, wait)?;
            if let Err(error) = self.network.serve() {
                return Ok(ExitCause::PlaneFault { error: unserved(&error) });
            }
            if let Some(struck) = self.advance(wakeup.waker())? {
                self.shared.kill();
                cause.get_or_insert(struck);
            }
            if cause.is_none()
                && let Some(struck) = self.limits.look(Instant::now())
            {
                self.shared.kill();
                cause = Some(Struck::into_cause(struck));
            }
            if let Some(ended) = self.control()? {
                let cause = cause.unwrap_or(ended);
                return self.drain(cause, &wakeup);
            }
            let released = self.outputs.iter().all(CapturedOutput::finished);
            // Where the host ends it, the output is released by that.
            if !self.shared.was_killed() && self.output_wait.is_over(Instant::now(), released) {
                self.shared.finish();
            }
        }
    }

    /// Waits for a message, output, room in the queue, or the time to look at limits.
    fn wait(&self, wakeup: &Wakeup, most: Option<Duration>) -> std::io::Result<()> {
        let outputs = self.outputs.iter().filter_map(CapturedOutput::waits_on);
        wakeup.wait(outputs.chain([self.running.control.as_fd()]).chain(self.network.waits_on()), most)
    }

    /// Moves output along. A stream past its limit, or one that nobody wants, ends the execution.
    fn advance(&mut self, waker: &Waker) -> std::io::Result<Option<ExitCause>> {
        let mut struck = None;
        for output in self.outputs.iter_mut().filter(|output| !output.finished()) {
            match output.advance(self.sink.as_ref(), waker)? {
                Moved::Unwanted => struck = Some(ExitCause::Killed),
                Moved::PastLimit { observed } => struck = Some(output.past_limit(observed)),
                _ => {}
            }
        }
        Ok(struck)
    }

    /// Reads a message of pid 1, if there is one; answers the cause when it was the end.
    fn control(&mut self) -> std::io::Result<Option<ExitCause>> {
        if !readable(self.running.control.as_fd(), Some(Duration::ZERO)).unwrap_or(false) {
            return Ok(None);
        }
        let Ok(Some(message)) = receive(self.running.control.as_fd()) else {
            // Pid 1 is gone without a word: killed, by us or from outside.
            return Ok(Some(if self.shared.was_killed() {
                ExitCause::Killed
            } else {
                ExitCause::Signalled { signal: libc::SIGKILL, core_dumped: false }
            }));
        };
        let event = match message.kind {
            message::EXITED => {
                self.account = Some(Account::of(&message.values));
                return Ok(Some(cause_of(i32::try_from(message.value() & 0xffff).unwrap_or(0))));
            }
            message::STOPPED => {
                ExecutionEvent::Stopped { signal: i32::try_from(message.value()).unwrap_or(libc::SIGSTOP) }
            }
            message::CONTINUED => ExecutionEvent::Continued,
            message::LEFT => {
                self.output_wait.begin(Instant::now());
                return Ok(None);
            }
            _ => return Ok(None),
        };
        // A stop that finds the queue full is told late rather than never: the queue has room again after at most one read.
        if let Err(event) = self.sink.try_push(event) {
            self.sink.push(*event);
        }
        Ok(None)
    }

    /// Everything has ended, or is about to: what is still in the pipes is handed over, and nothing waits for more.
    fn drain(&mut self, mut cause: ExitCause, wakeup: &Wakeup) -> std::io::Result<ExitCause> {
        if !self.nobody_left() {
            self.shared.kill();
            let _ = readable(self.running.process.as_fd(), None);
        }
        loop {
            let before: u64 = self.outputs.iter().map(CapturedOutput::seen).sum();
            if let Some(struck) = self.advance(wakeup.waker())? {
                if matches!(cause, ExitCause::Exited { .. } | ExitCause::Signalled { .. }) {
                    cause = struck;
                }
                return Ok(cause);
            }
            if self.outputs.iter().all(CapturedOutput::finished) {
                return Ok(cause);
            }
            let after: u64 = self.outputs.iter().map(CapturedOutput::seen).sum();
            let held = self.outputs.iter().any(CapturedOutput::holds_back);
            if after == before && !held {
                // Somebody outside holds the pipe open; the guest is gone, so nothing of its will come.
                return Ok(cause);
            }
            if held {
                self.wait(wakeup, Some(WHOLE_SECOND))?;
            }
        }
    }
}

fn usage(outputs: &[CapturedOutput], limits: &LimitWatch, account: Account, started: Instant) -> Usage {
    let seen = |name| outputs.iter().filter(|output| output.name() == name).map(CapturedOutput::seen).sum();
    let mut usage = Usage::default();
    usage.wall_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    account.into_usage(&mut usage);
    usage.peak_memory_bytes = usage.peak_memory_bytes.max(limits.peak_memory());
    usage.stdout_bytes = seen(LimitName::Stdout);
    usage.stderr_bytes = seen(LimitName::Stderr);
    usage
}
