//! A run under way.

use crate::command::Output;
use crate::error::KernelError;
use crate::queue::EventQueue;
use crate::recording::RunRecord;
use crate::telemetry;
use crate::vm::SharedVm;
use crate::wall_timer::WallTimer;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::event::{ExecutionEvent, ExecutionReport};
use cofferdam_bridge::execution::{ExecutionRef, ExecutionSignal, StartedExecution, TerminalSize};
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_bridge::published_port::PublishedPort;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// A run under way. It keeps its VM; dropping it ends the run.
#[derive(Debug)]
pub struct Execution {
    vm: Arc<SharedVm>,
    controller: Controller,
    queue: Arc<EventQueue>,
    timer: Option<WallTimer>,
    report: Option<ExecutionReport>,
    audit_failure: Option<BridgeError>,
    started: StartedExecution,
    told: Option<telemetry::Run>,
}

/// Acts on a run from elsewhere than its reader. Clones act on the same run; they keep neither it nor its VM alive.
#[derive(Clone, Debug)]
pub struct Controller {
    vm: Weak<SharedVm>,
    execution: ExecutionRef,
    written: Arc<AtomicU64>,
}

impl Execution {
    pub(crate) fn new(
        vm: Arc<SharedVm>,
        execution: ExecutionRef,
        queue: Arc<EventQueue>,
        timer: Option<WallTimer>,
    ) -> Self {
        let controller = Controller { vm: Arc::downgrade(&vm), execution, written: Arc::default() };
        let started = StartedExecution::new(None);
        Self { vm, controller, queue, timer, report: None, audit_failure: None, started, told: None }
    }

    pub(crate) fn started(mut self, started: StartedExecution) -> Self {
        self.started = started;
        self
    }

    /// What of the run is told, and ends with it.
    pub(crate) fn told_by(mut self, run: telemetry::Run) -> Self {
        self.told = Some(run);
        self
    }

    /// The host's number of its first process, where there is one. For display only.
    pub fn process_id(&self) -> Option<u32> {
        self.started.process_id
    }

    /// Which of its ports the host's loopback has, and where.
    pub fn published(&self) -> &[PublishedPort] {
        &self.started.published
    }

    /// The next event; `None` after the last, which is `Exited`.
    pub async fn next_event(&mut self) -> Option<ExecutionEvent> {
        if self.report.is_some() {
            return None;
        }
        let mut event = self.queue.next().await;
        if let ExecutionEvent::Exited(report) = &mut event {
            let timer = self.timer.take();
            // A run that ended by itself, or by another limit, in the same moment keeps its own cause.
            if let (Some(limit_ms), ExitCause::Killed) = (timer.and_then(|timer| timer.passed()), &report.cause) {
                report.cause = ExitCause::TimedOut { limit_ms };
            }
            if let Some(run) = self.told.take() {
                run.ended(report);
            }
            self.report = Some((**report).clone());
            if let Some(record) = self.queue.record() {
                self.audit_failure = record.recorded().await;
            }
        }
        Some(event)
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

    /// The sequence number of its start in the audit log, where it is recorded.
    pub fn audit_sequence(&self) -> Option<u64> {
        self.queue.record().and_then(RunRecord::sequence)
    }

    /// Why its start or, once that is told, its end could not be recorded.
    pub fn audit_failure(&self) -> Option<&BridgeError> {
        self.audit_failure.as_ref()
    }

    /// Ends everything in the run at once. Its end still comes as an event.
    pub fn kill(&self) {
        // An execution that has ended is no error, and a plane that cannot be reached tells its own end.
        let _ = self.vm.plane.kill_execution(&self.controller.execution, ExecutionSignal::Kill);
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
        let mut output = Output::new(stdout, stderr, report);
        (output.audit_sequence, output.audit_failure) = (self.audit_sequence(), self.audit_failure.take());
        output
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
        let vm = self.vm.upgrade().ok_or_else(gone)?;
        let length = bytes.len() as u64;
        let before = self.written.fetch_add(length, Ordering::Relaxed);
        if let Some(limit) = vm.compiled.profile.limits.stdin_bytes
            && before.saturating_add(length) > limit
        {
            let message = format!(
                "more than {limit} bytes were written to standard input; `limits.stdin` of the policy sets the limit"
            );
            return Err(BridgeError::new(ErrorCode::InputLimitExceeded, message).with("limit_bytes", limit).into());
        }
        self.blocking(vm, move |vm, execution| vm.plane.write_stdin(execution, &bytes)).await
    }

    /// Writes all there is and closes, without another thread: for what fits into any pipe, whose writer so never waits.
    pub(crate) fn write_at_once(&self, bytes: &[u8]) -> Result<(), KernelError> {
        let Some(vm) = self.vm.upgrade() else { return Err(gone().into()) };
        let written = vm.plane.write_stdin(&self.execution, bytes);
        let closed = vm.plane.close_stdin(&self.execution);
        Ok(written.and(closed)?)
    }

    /// Closes standard input.
    ///
    /// # Errors
    /// What the plane met.
    pub async fn close_stdin(&self) -> Result<(), KernelError> {
        match self.vm.upgrade() {
            Some(vm) => self.blocking(vm, |vm, execution| vm.plane.close_stdin(execution)).await,
            None => Ok(()),
        }
    }

    /// Sends a signal. A run that has ended is no error.
    ///
    /// # Errors
    /// `unsupported_operation` for a signal that the plane does not know.
    pub fn signal(&self, signal: ExecutionSignal) -> Result<(), KernelError> {
        match self.vm.upgrade() {
            Some(vm) => Ok(vm.plane.kill_execution(&self.execution, signal)?),
            None => Ok(()),
        }
    }

    /// Changes the size of the terminal.
    ///
    /// # Errors
    /// `invalid_state` for a run without a terminal.
    pub fn resize(&self, size: TerminalSize) -> Result<(), KernelError> {
        match self.vm.upgrade() {
            Some(vm) => Ok(vm.plane.resize_terminal(&self.execution, size)?),
            None => Ok(()),
        }
    }

    /// Whether a program of the run accepts TCP connections at `port`. A run that has ended does not.
    ///
    /// # Errors
    /// `unsupported_operation` on a plane that cannot tell.
    pub async fn is_listening(&self, port: u16) -> Result<bool, KernelError> {
        let Some(vm) = self.vm.upgrade() else { return Ok(false) };
        let (execution, none) = (self.execution.clone(), ErrorCode::UnknownExecution);
        match tokio::task::spawn_blocking(move || vm.plane.is_listening(&execution, port)).await {
            Ok(Err(error)) if error.code == none => Ok(false),
            Ok(told) => Ok(told?),
            Err(_) => Err(BridgeError::new(ErrorCode::PlaneFault, "the plane failed while it was called").into()),
        }
    }

    /// Runs a call that may wait for the guest on a thread that may wait.
    async fn blocking(
        &self,
        vm: Arc<SharedVm>,
        call: impl FnOnce(&SharedVm, &ExecutionRef) -> Result<(), BridgeError> + Send + 'static,
    ) -> Result<(), KernelError> {
        let execution = self.execution.clone();
        let done = tokio::task::spawn_blocking(move || call(&vm, &execution)).await;
        Ok(done
            .unwrap_or_else(|_| Err(BridgeError::new(ErrorCode::PlaneFault, "the plane failed while it was called")))?)
    }
}

fn gone() -> BridgeError {
    BridgeError::new(ErrorCode::IoFailed, "the VM of this run is gone, and the run with it").with("kind", "broken_pipe")
}
