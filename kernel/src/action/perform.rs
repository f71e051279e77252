//! How an action is run, in the order that holds for each: figures, size of the arguments, on record as started, validated and decided,
//! executed, figures, on record as ended.

use super::define::Place;
use super::job::{JobRecord, StartedJob};
use super::outcome::{ActionResult, OwnProcesses, StepReport, Telemetry};
use super::registry::{Actions, Registered};
use super::step::{Plan, Runs, Step, StepEnd};
use super::{LONGEST_ARGUMENTS, USUAL_TIMEOUT, permission};
use crate::command::Command;
use crate::error::KernelError;
use crate::telemetry;
use crate::vm::Vm;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::execution::StreamMode;
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_bridge::own_process::OwnProcess;
use cofferdam_bridge::profile::Changes;
use serde_json::Value;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;
use tracing::Instrument;

/// How an action is to be run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct ActionOptions {
    timeout: Option<Duration>,
    session: Option<String>,
}

impl ActionOptions {
    /// Ended after 30 seconds, and part of no session.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends it after this time.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.timeout = Some(time);
        self
    }

    /// The session that its job joins, whether or not it succeeds.
    pub fn session(mut self, name: impl Into<String>) -> Self {
        self.session = Some(name.into());
        self
    }
}

/// What has come of a job so far.
#[derive(Default)]
struct Progress {
    ends: Vec<StepEnd>,
    output: Option<Value>,
    error: Option<BridgeError>,
}

impl Actions {
    /// Runs the action `name` in `vm`. A failed validation or execution is a result whose `success` is false, and no error.
    ///
    /// # Errors
    /// `unknown_action`; `invalid_state` outside of a tokio runtime with a clock; and what keeps a job from being put on record, in which
    /// case nothing was run.
    pub async fn run(
        &self,
        vm: &Vm,
        name: &str,
        arguments: &Value,
        options: &ActionOptions,
    ) -> Result<ActionResult, KernelError> {
        let span = telemetry::action(self.find(name).map(|_| name)?, vm.shared());
        self.perform(vm, name, arguments, options).instrument(span).await
    }

    async fn perform(
        &self,
        vm: &Vm,
        name: &str,
        arguments: &Value,
        options: &ActionOptions,
    ) -> Result<ActionResult, KernelError> {
        let action = self.find(name)?.clone();
        let recording = &vm.shared().recording;
        let before = recording.action_figures();
        let began = Instant::now();
        let text = bounded(arguments);
        let job = StartedJob {
            job_id: self.next_id(vm),
            action: name.to_owned(),
            vm: vm.id().to_string(),
            session: options.session.clone(),
            arguments_bytes: text.as_ref().map_or_else(too_long, |text| text.len() as u64),
        };
        for keeper in &self.keepers {
            keeper.started(&job)?;
        }
        let log_sequence = recording.action_started(vm.id(), &job, &before).await?;
        let deadline = began + options.timeout.unwrap_or(USUAL_TIMEOUT);
        let Progress { ends, output, error } = match text {
            Ok(text) => self.execute(vm, action.as_ref(), &text, deadline).await,
            Err(error) => Progress { error: Some(error), ..Progress::default() },
        };
        let elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let telemetry = Telemetry { before, after: recording.action_figures() };
        let (success, code) = (error.is_none(), error.as_ref().map(|error| error.code));
        let record = JobRecord { job, success, code, elapsed_ms, log_sequence };
        for keeper in &self.keepers {
            keeper.ended(&record)?;
        }
        telemetry::action_ended(&vm.shared().listeners, &record);
        recording.action_ended(vm.id(), &record, ends.len(), &telemetry.after).await?;
        let seen = ends.iter().flat_map(|end| &end.report.processes).take(OwnProcess::MOST).cloned().collect();
        let started = ends.iter().map(|end| end.report.usage.tasks).try_fold(0, |sum, tasks| Some(sum + tasks?));
        Ok(ActionResult {
            job_id: record.job.job_id,
            action: record.job.action,
            session: record.job.session,
            success,
            output,
            error,
            steps: ends.iter().map(StepReport::of).collect(),
            telemetry,
            processes: OwnProcesses { started, seen, left: 0 },
            elapsed_ms,
            log_sequence,
        })
    }

    fn next_id(&self, vm: &Vm) -> String {
        let number = self.next_job.fetch_add(1, Ordering::Relaxed);
        if self.prefix.is_empty() { format!("{}-job-{number}", vm.id()) } else { format!("{}-{number}", self.prefix) }
    }

    async fn execute(&self, vm: &Vm, action: &dyn Registered, arguments: &str, deadline: Instant) -> Progress {
        let mut progress = Progress::default();
        if let Err(error) = self.go_through(vm, action, arguments, deadline, &mut progress).await {
            progress.error = Some(error);
        }
        progress
    }

    async fn go_through(
        &self,
        vm: &Vm,
        action: &dyn Registered,
        arguments: &str,
        deadline: Instant,
        progress: &mut Progress,
    ) -> Result<(), BridgeError> {
        let prepared = action.prepare(arguments, &Place::new(vm.start_directory()))?;
        let Plan { accesses, mut steps } = prepared.plan;
        permission::obtain(vm, &accesses, deadline).await?;
        permission::ask_once(vm, &mut steps);
        if steps.len() > 1 && vm.profile().filesystem.changes == Changes::Overlay {
            let message = "the action runs several programs, and where changes are kept apart none would see what the one before changed; \
                           make one program of them, or let changes be direct";
            return Err(BridgeError::new(ErrorCode::UnsupportedOperation, message));
        }
        for step in &steps {
            let end = self.take(vm, step, deadline).await.map_err(|error| error.error().clone())?;
            let failure = failure_of(step, &end).map(|error| vm.telling(&end.report.cause, error));
            progress.ends.push(end);
            if let Some(error) = failure {
                return Err(error);
            }
        }
        let explained = |error| permission::explained(vm, &accesses, &progress.ends, error);
        let output = (prepared.conclude)(&progress.ends).map_err(explained)?;
        progress.output = Some(output);
        Ok(())
    }

    /// The command of a step, and what it reads from standard input.
    pub(super) fn command(&self, vm: &Vm, step: &Step) -> Result<(Command, Vec<u8>), BridgeError> {
        let (mut command, stdin) = match &step.runs {
            Runs::Program(name) => (vm.command(name), step.stdin.clone()),
            Runs::Worker(request) => {
                let worker = self.worker.as_ref().ok_or_else(|| {
                    let message =
                        "this action needs a worker, and the host named none; make the registry by `Actions::builtin`";
                    BridgeError::new(ErrorCode::InvalidState, message)
                })?;
                worker.check_place(vm)?;
                let request = serde_json::to_vec(request).map_err(|_| {
                    BridgeError::new(ErrorCode::RequestInvalid, "the request to the worker has no form in JSON")
                })?;
                (vm.command(worker.path()).args(worker.arguments().iter().cloned()), request)
            }
        };
        command = command.args(step.arguments.iter().cloned());
        for (name, value) in &step.environment {
            command = command.env(name, value);
        }
        if let Some(directory) = &step.directory {
            command = command.current_dir(directory);
        }
        Ok((command, stdin))
    }

    /// Runs a step to its end.
    async fn take(&self, vm: &Vm, step: &Step, deadline: Instant) -> Result<StepEnd, KernelError> {
        let (command, stdin) = self.command(vm, step)?;
        let rest = deadline.saturating_duration_since(Instant::now());
        if rest.is_zero() {
            let message = "the action's time had passed before all of it was done; ask for more time, or for less";
            return Err(BridgeError::new(ErrorCode::WallTimeExceeded, message).into());
        }
        let mode = if stdin.is_empty() { StreamMode::Null } else { StreamMode::Piped };
        let execution = command.stdin(mode).timeout(rest).spawn().await?;
        let controller = execution.controller();
        let feed = async move {
            if mode == StreamMode::Piped {
                // A program that does not read to the end is no fault by itself: how it ends tells whether it is one.
                let _ = controller.write_stdin(stdin).await;
                let _ = controller.close_stdin().await;
            }
        };
        let (output, ()) = tokio::join!(execution.gather(), feed);
        let program = step.program_name().to_owned();
        Ok(StepEnd { program, stdout: output.stdout, stderr: output.stderr, report: output.report })
    }
}

/// The arguments as JSON, if they are not too long.
pub(super) fn bounded(arguments: &Value) -> Result<String, BridgeError> {
    let text = arguments.to_string();
    if text.len() <= LONGEST_ARGUMENTS {
        return Ok(text);
    }
    let message = format!("the arguments have {} bytes as JSON, and {LONGEST_ARGUMENTS} are the most", text.len());
    Err(BridgeError::new(ErrorCode::ResourceLimitExceeded, message)
        .with("limit_bytes", LONGEST_ARGUMENTS)
        .with("observed_bytes", text.len()))
}

/// How long arguments were that are too long.
fn too_long(error: &BridgeError) -> u64 {
    error.details.get("observed_bytes").and_then(Value::as_u64).unwrap_or(u64::MAX)
}

/// Why a step failed, if it did.
fn failure_of(step: &Step, end: &StepEnd) -> Option<BridgeError> {
    let program = &end.program;
    match &end.report.cause {
        ExitCause::Exited { code: 0 } => None,
        ExitCause::Exited { .. } if step.may_fail => None,
        ExitCause::Exited { code } => {
            let message = format!("`{program}` ended with the code {code}; its own words are in `stderr_tail`");
            Some(BridgeError::new(ErrorCode::ActionFailed, message).with("exit_code", *code))
        }
        ExitCause::Signalled { signal, .. } => {
            let message = format!("`{program}` was ended by signal {signal}");
            Some(BridgeError::new(ErrorCode::ActionFailed, message).with("signal", *signal))
        }
        ExitCause::PlaneFault { error } => Some(error.clone()),
        ExitCause::RefusedByPolicy { denial } => Some(BridgeError::denied(denial)),
        ExitCause::TimedOut { .. } => {
            let message =
                format!("`{program}` was ended when the action's time had passed; ask for more time, or for less");
            Some(BridgeError::new(ErrorCode::WallTimeExceeded, message))
        }
        cause => {
            let message = format!("`{program}` was ended by a limit of the policy or by its host");
            Some(BridgeError::new(cause.code().unwrap_or(ErrorCode::ActionFailed), message))
        }
    }
}
