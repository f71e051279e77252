//! A run under way.

use crate::command::Output;
use crate::error::KernelError;
use crate::queue::EventQueue;
use crate::vm::SharedVm;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::event::{ExecutionEvent, ExecutionReport};
use cofferdam_bridge::execution::{ExecutionRef, ExecutionSignal, TerminalSize};
use cofferdam_bridge::exit_cause::ExitCause;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// A run under way. Dropping it ends the run.
#[derive(Debug)]
pub struct Execution {
    controller: Controller,
    queue: Arc<EventQueue>,
    deadline: Option<(Instant, Duration)>,
    timed_out: bool,
    report: Option<ExecutionReport>,
}

/// Acts on a run from elsewhere than its reader. Clones act on the same run; they do not keep it alive.
#[derive(Clone, Debug)]
pub struct Controller {
    vm: Arc<SharedVm>,
    execution: ExecutionRef,
    written: Arc<AtomicU64>,
}

impl Execution {
    pub(crate) fn new(
        vm: Arc<SharedVm>,
        execution: ExecutionRef,
        queue: Arc<EventQueue>,
        timeout: Option<Duration>,
    ) -> Self {
        let deadline = timeout.and_then(|time| Some((Instant::now().checked_add(time)?, time)));
        let controller = Controller { vm, execution, written: Arc::default() };
        Self { controller, queue, deadline, timed_out: false, report: None }
    }

    /// The next event; `None` after the last, which is `Exited`.
    pub async fn next_event(&mut self) -> Option<ExecutionEvent> {
        if self.report.is_some() {
            return None;
        }
        let mut event = self.until_deadline().await;
        if let ExecutionEvent::Exited(report) = &mut event {
            // A run that ended by itself, or by another limit, in the same moment keeps its own cause.
            if let (true, Some((_, time)), ExitCause::Killed) = (self.timed_out, self.deadline, &report.cause) {
                let limit_ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
                report.cause = ExitCause::TimedOut { limit_ms };
            }
            self.report = Some((**report).clone());
        }
        Some(event)
    }

    async fn until_deadline(&mut self) -> ExecutionEvent {
        if let (false, Some((deadline, _))) = (self.timed_out, self.deadline) {
            match tokio::time::timeout_at(deadline, self.queue.next()).await {
                Ok(event) => return event,
                Err(_) => {
                    self.timed_out = true;
                    self.kill();
                }
            }
        }
        self.queue.next().await
    }

    /// Waits for the end; output on the way is dropped.
    pub async fn wait(&mut self) -> ExecutionReport {
        loop {
            if let Some(report) = &self.report {
                return report.clone();
            }
            self.next_event().await;
        }
    }

    /// Ends everything in the run at once. Its end still comes as an event.
    pub fn kill(&self) {
        let Controller { vm, execution, .. } = &self.controller;
        // An execution that has ended is no error, and a plane that cannot be reached tells its own end.
        let _ = vm.plane.kill_execution(execution, ExecutionSignal::Kill);
    }

    /// A handle to write, signal and resize while this one is read.
    pub fn controller(&self) -> Controller {
        self.controller.clone()
    }

    pub(crate) async fn gather(mut self) -> Output {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        while let Some(event) = self.next_event().await {
            match event {
                ExecutionEvent::Stdout { bytes } => stdout.extend(bytes),
                ExecutionEvent::Stderr { bytes } => stderr.extend(bytes),
                _ => {}
            }
        }
        let report = self.wait().await;
        Output::new(stdout, stderr, report)
    }
}

impl Drop for Execution {
    fn drop(&mut self) {
        if self.report.is_none() {
            self.kill();
        }
        self.queue.abandon();
    }
}

impl Controller {
    /// Writes to standard input, or types on the terminal; waits while the program does not read.
    ///
    /// # Errors
    /// `input_limit_exceeded` past the policy's limit, `io_failed` when the program does not read any more.
    pub async fn write_stdin(&self, bytes: Vec<u8>) -> Result<(), KernelError> {
        let length = bytes.len() as u64;
        let before = self.written.fetch_add(length, Ordering::Relaxed);
        if let Some(limit) = self.vm.compiled.profile.limits.stdin_bytes
            && before.saturating_add(length) > limit
        {
            let message = format!(
                "more than {limit} bytes were written to standard input; `limits.stdin` of the policy sets the limit"
            );
            return Err(BridgeError::new(ErrorCode::InputLimitExceeded, message).with("limit_bytes", limit).into());
        }
        self.blocking(move |vm, execution| vm.plane.write_stdin(execution, &bytes)).await
    }

    /// Closes standard input.
    ///
    /// # Errors
    /// What the plane met.
    pub async fn close_stdin(&self) -> Result<(), KernelError> {
        self.blocking(|vm, execution| vm.plane.close_stdin(execution)).await
    }

    /// Sends a signal. A run that has ended is no error.
    ///
    /// # Errors
    /// `unsupported_operation` for a signal that the plane does not know.
    pub fn signal(&self, signal: ExecutionSignal) -> Result<(), KernelError> {
        Ok(self.vm.plane.kill_execution(&self.execution, signal)?)
    }

    /// Changes the size of the terminal.
    ///
    /// # Errors
    /// `invalid_state` for a run without a terminal.
    pub fn resize(&self, size: TerminalSize) -> Result<(), KernelError> {
        Ok(self.vm.plane.resize_terminal(&self.execution, size)?)
    }

    /// Runs a call that may wait for the guest on a thread that may wait.
    async fn blocking(
        &self,
        call: impl FnOnce(&SharedVm, &ExecutionRef) -> Result<(), BridgeError> + Send + 'static,
    ) -> Result<(), KernelError> {
        let (vm, execution) = (self.vm.clone(), self.execution.clone());
        let done = tokio::task::spawn_blocking(move || call(&vm, &execution)).await;
        Ok(done
            .unwrap_or_else(|_| Err(BridgeError::new(ErrorCode::PlaneFault, "the plane failed while it was called")))?)
    }
}
