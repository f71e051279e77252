//! `shell`: one line for `/bin/sh`.

use crate::action::define::{Action, Place};
use crate::action::step::{Plan, Step, StepEnd};
use cofferdam_bridge::action::Bytes;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::exit_cause::ExitCause;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(super) struct Shell;

/// What is to be run.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    /// The line, as `sh -c` takes it.
    line: String,
    /// Where it starts: an absolute path inside, or one relative to where programs start.
    #[serde(default)]
    directory: Option<String>,
    /// What it reads from standard input.
    #[serde(default)]
    stdin: Option<Bytes>,
}

/// What came of it, whatever its exit code.
#[derive(Serialize, JsonSchema)]
pub(super) struct Said {
    /// Its exit code.
    exit_code: i32,
    /// Standard output.
    stdout: Bytes,
    /// Standard error.
    stderr: Bytes,
}

impl Action for Shell {
    type Arguments = Line;
    type Output = Said;

    fn name(&self) -> &str {
        "shell"
    }

    fn summary(&self) -> &str {
        "Runs a line of shell, and tells its exit code and what it printed."
    }

    fn plan(&self, line: &Line, place: &Place) -> Result<Plan, BridgeError> {
        let mut step = Step::program("sh").args(["-c", &line.line]).may_fail();
        if let Some(stdin) = &line.stdin {
            let bytes = stdin.decode().ok_or_else(|| {
                BridgeError::new(ErrorCode::RequestInvalid, "`stdin.base64` is no base64 with padding")
            })?;
            step = step.stdin(bytes);
        }
        if let Some(directory) = &line.directory {
            step = step.directory(place.resolve(directory)?);
        }
        Ok(Plan::of(step))
    }

    fn conclude(&self, _: &Line, ends: &[StepEnd]) -> Result<Said, BridgeError> {
        match ends {
            [StepEnd { report, stdout, stderr, .. }] if let ExitCause::Exited { code } = report.cause => {
                Ok(Said { exit_code: code, stdout: Bytes::new(stdout.clone()), stderr: Bytes::new(stderr.clone()) })
            }
            _ => Err(BridgeError::new(ErrorCode::ActionFailed, "the shell did not end by itself")),
        }
    }
}
