//! Stays with one sandbox from its start to its end: carries output, holds limits, and tells how it ended.
//!
//! One thread for each execution, which waits in poll(2). It never blocks on the kernel's queue: a reader
//! that is slow holds up its own guest and nothing else, and limits still act.

use crate::execution::Shared;
use crate::format::message;
use crate::limit_watch::{LimitWatch, Struck};
use crate::output::{Moved, Output};
use crate::reap::{Resources, reap};
use crate::start::{Running, receive};
use cofferdam_bridge::enforcement::Enforcement;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::event::{ExecutionEvent, ExecutionEventSink, ExecutionReport};
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_bridge::limits::LimitName;
use cofferdam_bridge::usage::Usage;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

/// One execution under supervision.
pub(crate) struct Supervision {
    pub(crate) running: Running,
    pub(crate) outputs: Vec<Output>,
    pub(crate) sink: Arc<dyn ExecutionEventSink>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) limits: LimitWatch,
    pub(crate) enforcement: Enforcement,
    pub(crate) started: Instant,
    /// Called at the very end for what was refused at run time, and for the files to report.
    pub(crate) finish: Box<dyn FnOnce(&mut ExecutionReport) + Send>,
}

struct Wakeup(EventFd);

impl Wake for Wakeup {
    fn wake(self: Arc<Self>) {
        // A counter that is full has not been read yet, so the thread wakes anyway.
        let _ = self.0.write(1);
    }
}

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
        self.shared.kill();
        let resources = reap(self.running.process.pid).unwrap_or_default();
        drop(self.running.temporary.take());
        self.shared.end();
        let Self { sink, outputs, limits, enforcement, started, finish, .. } = self;
        let cause = limits.classify(cause);
        let usage = usage(&outputs, &limits, resources, started);
        let mut report = ExecutionReport::new(cause, usage, enforcement);
        finish(&mut report);
        sink.push(ExecutionEvent::Exited(Box::new(report)));
        // Clearing up the cgroup takes a moment that nobody needs to wait for; when the host ends meanwhile, it is done anyway.
        drop(limits);
    }

    fn until_ended(&mut self) -> std::io::Result<ExitCause> {
        let wakeup = Arc::new(Wakeup(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?));
        let waker = Waker::from(wakeup.clone());
        let mut cause = None;
        loop {
            let wait = self.limits.next_look(Instant::now());
            self.wait(&wakeup, wait)?;
            let _ = wakeup.0.read();
            if let Some(struck) = self.advance(&waker)? {
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
                return self.drain(cause, &wakeup, &waker);
            }
        }
    }

    /// Waits for a message, output, room in the queue, or the time to look at limits.
    fn wait(&self, wakeup: &Wakeup, most: Option<Duration>) -> std::io::Result<()> {
        let mut watched = vec![
            PollFd::new(self.running.control.as_fd(), PollFlags::POLLIN),
            PollFd::new(wakeup.0.as_fd(), PollFlags::POLLIN),
        ];
        watched
            .extend(self.outputs.iter().filter_map(|output| Some(PollFd::new(output.waits_on()?, PollFlags::POLLIN))));
        let timeout = most.map_or(PollTimeout::NONE, |most| {
            // Rounded up, so that a time that has almost come does not turn this into a busy loop.
            PollTimeout::try_from(most + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
        });
        match poll(&mut watched, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Moves output along. A stream past its limit, or one that nobody wants, ends the execution.
    fn advance(&mut self, waker: &Waker) -> std::io::Result<Option<ExitCause>> {
        let mut struck = None;
        for output in &mut self.outputs {
            if output.finished() {
                continue;
            }
            match output.advance(self.sink.as_ref(), waker)? {
                Moved::Some | Moved::Full | Moved::Ended => {}
                Moved::Unwanted => struck = Some(ExitCause::Killed),
                Moved::PastLimit { observed } => {
                    struck = Some(ExitCause::Limit {
                        limit: output.name(),
                        value: output.limit(),
                        observed,
                        held_by: "supervisor".to_owned(),
                    });
                }
            }
        }
        Ok(struck)
    }

    /// Reads a message of pid 1, if there is one; answers the cause when it was the end.
    fn control(&mut self) -> std::io::Result<Option<ExitCause>> {
        let mut ready = [PollFd::new(self.running.control.as_fd(), PollFlags::POLLIN)];
        if poll(&mut ready, PollTimeout::ZERO).unwrap_or(0) == 0 {
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
            message::EXITED => return Ok(Some(from_wait_status(message.value))),
            message::STOPPED => {
                ExecutionEvent::Stopped { signal: i32::try_from(message.value).unwrap_or(libc::SIGSTOP) }
            }
            message::CONTINUED => ExecutionEvent::Continued,
            _ => return Ok(None),
        };
        // A stop that finds the queue full is told late rather than never: the queue has room again after at most one read.
        if let Err(event) = self.sink.try_push(event) {
            self.sink.push(*event);
        }
        Ok(None)
    }

    /// Everything has ended, or is about to: what is still in the pipes is handed over, and nothing waits for more.
    fn drain(&mut self, mut cause: ExitCause, wakeup: &Wakeup, waker: &Waker) -> std::io::Result<ExitCause> {
        self.shared.kill();
        let _ = wait_readable(&self.running.process.pidfd);
        loop {
            let before: u64 = self.outputs.iter().map(Output::seen).sum();
            if let Some(struck) = self.advance(waker)? {
                if matches!(cause, ExitCause::Exited { .. } | ExitCause::Signalled { .. }) {
                    cause = struck;
                }
                return Ok(cause);
            }
            if self.outputs.iter().all(Output::finished) {
                return Ok(cause);
            }
            let after: u64 = self.outputs.iter().map(Output::seen).sum();
            let held = self.outputs.iter().any(|output| output.waits_on().is_none() && !output.finished());
            if after == before && !held {
                // Somebody outside holds the pipe open; the guest is gone, so nothing of its will come.
                return Ok(cause);
            }
            if held {
                self.wait(wakeup, Some(WHOLE_SECOND))?;
                let _ = wakeup.0.read();
            }
        }
    }
}

fn wait_readable(pidfd: &impl AsFd) -> nix::Result<()> {
    let mut watched = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    loop {
        match poll(&mut watched, PollTimeout::NONE) {
            Err(nix::errno::Errno::EINTR) => {}
            other => return other.map(|_| ()),
        }
    }
}

/// A wait status (waitpid(2)) as an exit cause.
fn from_wait_status(status: u64) -> ExitCause {
    let status = i32::try_from(status & 0xffff).unwrap_or(0);
    if libc::WIFSIGNALED(status) {
        ExitCause::Signalled { signal: libc::WTERMSIG(status), core_dumped: libc::WCOREDUMP(status) }
    } else {
        ExitCause::Exited { code: libc::WEXITSTATUS(status) }
    }
}

fn usage(outputs: &[Output], limits: &LimitWatch, resources: Resources, started: Instant) -> Usage {
    let seen = |name| outputs.iter().filter(|output| output.name() == name).map(Output::seen).sum();
    let mut usage = Usage::default();
    usage.wall_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    usage.user_us = Some(resources.user_us);
    usage.system_us = Some(resources.system_us);
    usage.peak_memory_bytes = Some(limits.peak_memory().unwrap_or(resources.peak_bytes).max(resources.peak_bytes));
    usage.stdout_bytes = seen(LimitName::Stdout);
    usage.stderr_bytes = seen(LimitName::Stderr);
    usage
}
