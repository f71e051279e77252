//! Runs a command once and makes a value of what it printed.

use super::command_spec::CommandSpec;
use super::failure::{CommandFailure, GuestWords, RunError};
use crate::command::Command;
use crate::execution::{Controller, Execution};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::event::{ExecutionEvent, ExecutionReport};
use cofferdam_bridge::execution::StreamMode;
use cofferdam_bridge::exit_cause::ExitCause;
use serde_json::Value;
use std::fmt;
use std::time::Duration;

/// Bytes that are captured of each stream of a one-shot: 8 MiB. A smaller limit of the policy strikes before.
const MOST_CAPTURED: usize = 8 << 20;

/// What a single run of a one-shot is given.
#[derive(Clone, Default)]
#[must_use]
#[non_exhaustive]
pub struct RunOptions {
    stdin: Option<Vec<u8>>,
    timeout: Option<Duration>,
}

/// Input stays out of logs.
impl fmt::Debug for RunOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.stdin.as_ref().map(Vec::len);
        f.debug_struct("RunOptions").field("stdin_bytes", &bytes).field("timeout", &self.timeout).finish()
    }
}

impl RunOptions {
    /// Its whole standard input; null unless given.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// Ends it after this time, whatever its declaration says; what the policy says still holds.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.timeout = Some(time);
        self
    }
}

/// What came of a one-shot that succeeded.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct CommandOutput {
    /// Its standard output, as its declaration shapes it.
    pub value: Value,
    /// What it used, and what held.
    pub report: ExecutionReport,
}

/// What a guest prints stays out of logs.
impl fmt::Debug for CommandOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandOutput").field("report", &self.report).finish_non_exhaustive()
    }
}

/// Runs `command`, which `spec` declares, to its end.
pub(super) async fn run(command: Command, spec: &CommandSpec, options: RunOptions) -> Result<CommandOutput, RunError> {
    let mode = if options.stdin.is_some() { StreamMode::Piped } else { StreamMode::Null };
    let mut command = command.stdin(mode);
    if let Some(time) = options.timeout.or(spec.bound()) {
        command = command.timeout(time);
    }
    let execution = command.spawn().await?;
    let fed = options.stdin.map(|bytes| tokio::spawn(feed(execution.controller(), bytes)));
    let captured = Captured::of(execution).await;
    let refused = match fed {
        Some(fed) => fed.await.ok().and_then(Result::err),
        None => None,
    };
    captured.shaped(spec, refused)
}

/// Writes the whole input. A program that does not want to read it is no error; one that may not be written so much to is ended.
async fn feed(controller: Controller, bytes: Vec<u8>) -> Result<(), BridgeError> {
    if let Err(error) = controller.write_stdin(bytes).await
        && error.code() == ErrorCode::InputLimitExceeded
    {
        let _ = controller.signal(cofferdam_bridge::execution::ExecutionSignal::Kill);
        return Err(error.error().clone());
    }
    let _ = controller.close_stdin().await;
    Ok(())
}

/// What was printed, and how the run ended.
struct Captured {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    /// The stream that held too much.
    past_limit: Option<&'static str>,
    report: ExecutionReport,
}

impl Captured {
    async fn of(mut execution: Execution) -> Self {
        let (mut stdout, mut stderr, mut past_limit) = (Vec::new(), Vec::new(), None);
        while let Some(event) = execution.next_event().await {
            let (stream, bytes, name) = match event {
                ExecutionEvent::Stdout { bytes } => (&mut stdout, bytes, "stdout"),
                ExecutionEvent::Stderr { bytes } => (&mut stderr, bytes, "stderr"),
                _ => continue,
            };
            if past_limit.is_none() && stream.len() + bytes.len() > MOST_CAPTURED {
                past_limit = Some(name);
                execution.kill();
            }
            if past_limit.is_none() {
                stream.extend(bytes);
            }
        }
        let report = execution.wait().await;
        Self { stdout, stderr, past_limit, report }
    }

    fn shaped(self, spec: &CommandSpec, refused: Option<BridgeError>) -> Result<CommandOutput, RunError> {
        let error = refused.or_else(|| self.why_failed(&spec.name));
        let shaped = match error {
            Some(error) => Err(error),
            None => spec.shape.apply(&self.stdout).map_err(|error| error.with("command", spec.name.as_str())),
        };
        match shaped {
            Ok(value) => Ok(CommandOutput { value, report: self.report }),
            Err(error) => Err(RunError::Failed(Box::new(self.failure(error)))),
        }
    }

    fn failure(&self, error: BridgeError) -> CommandFailure {
        let (exit_code, signal) = exit_of(&self.report.cause);
        CommandFailure { error, exit_code, signal, stderr_tail: GuestWords::last_of(&self.stderr) }
    }

    fn why_failed(&self, name: &str) -> Option<BridgeError> {
        if let Some(stream) = self.past_limit {
            let message = format!(
                "`{name}` printed more than {MOST_CAPTURED} bytes to {stream}, and was ended; let it print less, or write to a file"
            );
            let error = BridgeError::new(ErrorCode::OutputLimitExceeded, message);
            return Some(error.with("stream", stream).with("limit_bytes", MOST_CAPTURED).with("command", name));
        }
        let error = match &self.report.cause {
            ExitCause::Exited { code: 0 } => return None,
            ExitCause::Exited { code } => {
                let message = format!("`{name}` ended with exit code {code}; its standard error may tell why");
                BridgeError::new(ErrorCode::CommandFailed, message).with("exit_code", *code)
            }
            ExitCause::Signalled { signal, .. } => {
                let message = format!("`{name}` was ended by signal {signal}");
                BridgeError::new(ErrorCode::CommandFailed, message).with("signal", *signal)
            }
            ExitCause::TimedOut { limit_ms } => {
                let message =
                    format!("`{name}` did not end within {limit_ms} ms, and was ended; give it a longer timeout");
                BridgeError::new(ErrorCode::WallTimeExceeded, message).with("timeout_ms", *limit_ms)
            }
            ExitCause::PlaneFault { error } => error.clone(),
            ExitCause::Limit { value, observed, held_by, .. } => {
                let code = self.report.cause.code().unwrap_or(ErrorCode::CommandFailed);
                let message = format!("`{name}` passed a limit of its policy, and was ended");
                let error = BridgeError::new(code, message).with("limit", *value);
                error.with("observed", *observed).with("held_by", held_by.as_str())
            }
            cause => {
                let code = cause.code().unwrap_or(ErrorCode::CommandFailed);
                BridgeError::new(code, format!("`{name}` was ended before it was done"))
            }
        };
        Some(error.with("command", name))
    }
}

/// Exit code and signal of an end, where it has one: what is ended from outside is killed.
pub(super) fn exit_of(cause: &ExitCause) -> (Option<i32>, Option<i32>) {
    const KILL: i32 = 9;
    match cause {
        ExitCause::Exited { code } => (Some(*code), None),
        ExitCause::Signalled { signal, .. } => (None, Some(*signal)),
        ExitCause::RefusedByPolicy { .. } | ExitCause::PlaneFault { .. } => (None, None),
        _ => (None, Some(KILL)),
    }
}
