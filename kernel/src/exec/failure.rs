//! What goes wrong, as one of the twelve errors. Each is made anew of facts that may be told; nothing is passed on.

use super::errno;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::exec::RunProgram;
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_bridge::limits::LimitName;
use serde_json::Value;

/// What was asked for, as far as errors tell it.
#[derive(Debug)]
pub(super) struct Asked {
    program_path: String,
    asked_ms: u64,
    allowed_ms: Option<u64>,
}

impl Asked {
    /// Of `request`, for which the policy allows `allowed_ms`.
    pub(super) fn new(request: &RunProgram, allowed_ms: Option<u64>) -> Self {
        Self { program_path: request.program_path.clone(), asked_ms: request.timeout_ms, allowed_ms }
    }

    fn error(&self, code: ErrorCode, what: &str) -> BridgeError {
        BridgeError::new(code, format!("`{}` {what}", self.program_path))
            .with("program_path", self.program_path.as_str())
    }

    /// Input past its limit.
    pub(super) fn stdin_too_large(&self, limit: u64, bytes: u64) -> BridgeError {
        let what = format!(
            "is to get {bytes} bytes of JSON on standard input, and {limit} are allowed; hand the rest over in a file"
        );
        self.error(ErrorCode::ExecStdinTooLarge, &what).with("limit_bytes", limit).with("bytes", bytes)
    }

    /// Input that could not be written.
    pub(super) fn stdin_write_failed(&self, kind: &str) -> BridgeError {
        let what =
            format!("did not get its standard input ({kind}); try again, and look at the machine if it stays so");
        self.error(ErrorCode::ExecStdinWriteFailed, &what).with("kind", kind)
    }

    /// Output past its limit.
    pub(super) fn output_too_large(&self, stream: LimitName, limit: u64, seen: u64) -> BridgeError {
        let (code, name) = match stream {
            LimitName::Stderr => (ErrorCode::ExecStderrTooLarge, "standard error"),
            _ => (ErrorCode::ExecStdoutTooLarge, "standard output"),
        };
        let what = format!("wrote more than {limit} bytes to {name} and was ended; let it write less, or to a file");
        self.error(code, &what).with("limit_bytes", limit).with("seen_bytes", seen)
    }

    /// Output that is no JSON.
    pub(super) fn stdout_invalid_json(&self, offset: usize, bytes: usize) -> BridgeError {
        let what = format!(
            "must print one JSON value and nothing else, and what it printed is none at byte {offset} of {bytes}"
        );
        self.error(ErrorCode::ExecStdoutInvalidJson, &what).with("byte_offset", offset).with("bytes", bytes)
    }

    /// Why it was not started.
    pub(super) fn not_started(&self, error: &BridgeError) -> BridgeError {
        match error.code {
            ErrorCode::DeniedByPolicy => self.error(
                ErrorCode::ExecProgramNotAllowed,
                "does not lie where the policy allows programs, or names an interpreter that does not; its directory must be under `commands.allow` and readable, whether it is there or not",
            ),
            ErrorCode::ProgramNotFound => self.error(
                ErrorCode::ExecProgramMissing,
                "is not there, or names an interpreter that is not; name a program that is there",
            ),
            ErrorCode::ProgramNotExecutable => self.error(
                ErrorCode::ExecProgramNotExecutable,
                "cannot be executed, or names an interpreter that cannot; `chmod +x` mends a file that only lacks the permission",
            ),
            ErrorCode::PathInvalid | ErrorCode::RequestInvalid => {
                self.error(ErrorCode::ExecRequestInvalid, "cannot be started as the request says").with("cause", error.code.as_str())
            }
            _ => self.spawn_failed(error),
        }
    }

    fn spawn_failed(&self, error: &BridgeError) -> BridgeError {
        let number = error.details.get("errno").and_then(Value::as_i64).and_then(|errno| i32::try_from(errno).ok());
        let name = number.filter(|number| *number != 0).map(errno::name);
        let why = name.as_ref().map(|name| format!(": {name}")).unwrap_or_default();
        let advice = advice(error.code);
        let mut failed = self
            .error(ErrorCode::ExecSpawnFailed, &format!("could not be started ({}{why}); {advice}", error.code))
            .with("cause", error.code.as_str());
        if let (Some(number), Some(name)) = (number, name) {
            failed = failed.with("errno", number).with("errno_name", name);
        }
        if let Some(step) = error.details.get("step").and_then(Value::as_str) {
            failed = failed.with("step", step);
        }
        if error.retryable { failed.retryable() } else { failed }
    }

    /// Why it ended otherwise than by itself with code 0.
    pub(super) fn ended(&self, cause: &ExitCause) -> BridgeError {
        match cause {
            ExitCause::TimedOut { limit_ms } | ExitCause::Limit { limit: LimitName::Wall, value: limit_ms, .. } => {
                self.timed_out(*limit_ms)
            }
            ExitCause::Limit { limit: stream @ (LimitName::Stdout | LimitName::Stderr), value, observed, .. } => {
                self.output_too_large(*stream, *value, *observed)
            }
            ExitCause::Exited { code } => self.failed(&format!("failed with exit code {code}"), Some(*code), None),
            ExitCause::Signalled { signal, core_dumped } => {
                let dumped = if *core_dumped { ", and dumped core" } else { "" };
                self.failed(&format!("was ended by signal {signal}{dumped}"), None, Some(*signal))
                    .with("core_dumped", *core_dumped)
            }
            ExitCause::Limit { limit, value, observed, .. } => {
                let name = serde_json::to_value(limit).unwrap_or_default();
                let what = format!("was ended by its limit of {} ({value})", name.as_str().unwrap_or("something"));
                self.failed(&what, None, None).with("limit", name).with("value", *value).with("observed", *observed)
            }
            ExitCause::Killed => self.failed("was ended by its host", None, None).with("cause", "killed"),
            other => {
                let code = other.code().unwrap_or(ErrorCode::PlaneFault);
                let kind = match other {
                    ExitCause::PlaneFault { error } => error.details.get("io_error").and_then(Value::as_str),
                    _ => None,
                };
                let what = format!("could not be waited for ({code}); it has ended with all that it started");
                let failed = self.failed(&what, None, None).with("cause", code.as_str());
                match kind {
                    Some(kind) => failed.with("kind", kind),
                    None => failed,
                }
            }
        }
    }

    fn failed(&self, what: &str, exit_code: Option<i32>, signal: Option<i32>) -> BridgeError {
        self.error(ErrorCode::ExecFailed, what).with("exit_code", exit_code).with("signal", signal)
    }

    fn timed_out(&self, limit_ms: u64) -> BridgeError {
        let by_policy = self.allowed_ms.is_some_and(|allowed| allowed < self.asked_ms);
        let whose = if by_policy { "the policy (limits.wall)" } else { "the request" };
        let what =
            format!("took longer than the {limit_ms} ms that {whose} allows, and was ended with all that it started");
        self.error(ErrorCode::ExecTimeout, &what).with("timeout_ms", limit_ms).with("asked_ms", self.asked_ms)
    }
}

fn advice(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::UnsupportedBackendFeature | ErrorCode::SandboxBackendUnavailable => {
            "this plane cannot hold what was asked for; choose another"
        }
        ErrorCode::InvalidState => "run it from within a tokio runtime",
        _ => "the host may lack memory, processes or descriptors: `cofferdam doctor` looks at it",
    }
}
