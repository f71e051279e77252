//! `cofferdam exec`: runs one program as a function, JSON in and JSON out.

use crate::compose::{self, Places, PlaneName};
use crate::failure::{Failure, io};
use crate::kernel_parts::KernelParts;
use crate::{escape, exit_code, plane_choice, policy_file};
use clap::Args;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::exec::{MOST_REQUEST_BYTES, RunProgram};
use cofferdam_bridge::execution::Explain;
use serde_json::Value;
use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

/// Runs a program as a function: JSON on its standard input, JSON on its standard output.
///
/// The request is one JSON object, such as
/// {"kind": "run_program_v1", "program_path": "/usr/bin/jq", "argv": [".a"], "stdin_json": {"a": 1}};
/// `timeout_ms`, `env` and `output_wait_ms` may be given, too. The program must lie where the policy allows programs, and is executed as
/// the file that was checked. Standard output gets the JSON that the program printed, or an error as an object with
/// code, category, retryable, message and details; at a terminal the error's sentence is on standard error as well.
#[derive(Debug, Args)]
#[command(after_help = concat_help())]
pub(crate) struct Exec {
    /// The file with the request, or - for standard input.
    #[arg(long, value_name = "FILE|-", required_unless_present = "json_schema")]
    request: Option<PathBuf>,
    /// The policy: a built-in's name or a file. Unless given, `dev` with a workspace and `strict` without.
    #[arg(long, value_name = "FILE|NAME")]
    policy: Option<String>,
    /// The directory that is worked in. With a policy that is named, the current one unless given.
    #[arg(long, value_name = "DIR")]
    workspace: Option<PathBuf>,
    /// Where it runs; never without isolation unless `host` is given here.
    #[arg(long, value_name = compose::PLANES, default_value = compose::OWN_PLANE)]
    plane: PlaneName,
    /// Print the JSON Schema of a request, and run nothing.
    #[arg(long)]
    json_schema: bool,
}

/// One line of JSON, in which nothing steers a terminal.
fn line(value: &Value) -> String {
    format!("{}\n", escape::json(&value.to_string()))
}

fn concat_help() -> String {
    format!("{}\n\nExample:\n  cofferdam exec --policy strict --request request.json | jq .", exit_code::EXEC_HELP)
}

impl Exec {
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        if self.json_schema {
            let schema = schemars::schema_for!(RunProgram).to_value();
            super::print(&format!("{schema:#}\n"))?;
            return Ok(0);
        }
        match self.run() {
            Ok(answer) => {
                super::print(&line(&answer))?;
                Ok(0)
            }
            Err(failure) => {
                if std::io::stderr().is_terminal() {
                    failure.print();
                }
                let error = serde_json::to_value(failure.error()).unwrap_or_default();
                super::print(&line(&error))?;
                Ok(exit_code::of_exec(failure.error()))
            }
        }
    }

    fn run(&self) -> Result<Value, Failure> {
        let request = RunProgram::from_json(&self.read()?)?;
        let kernel = KernelParts::new(self.plane.clone()).kernel()?;
        let places = match (&self.policy, &self.workspace) {
            (None, None) => Places::without_workspace(),
            (_, workspace) => Places::find(workspace.as_deref())?,
        };
        let policy = plane_choice::fitting(policy_file::find(self.policy_name())?, &kernel, &self.plane)?;
        let vm = compose::vm(&kernel, policy, &places, Explain::Known)?;
        let runtime = compose::runtime().map_err(|error| io("the program cannot be waited for", &error))?;
        let answer = runtime.block_on(vm.exec(request));
        // A thread that still writes for the program holds nothing that must be waited for.
        runtime.shutdown_background();
        compose::close(&kernel);
        Ok(answer?)
    }

    fn policy_name(&self) -> &str {
        self.policy.as_deref().unwrap_or(if self.workspace.is_some() { "dev" } else { "strict" })
    }

    /// The request's text, of which no more is read than one may have.
    fn read(&self) -> Result<Vec<u8>, BridgeError> {
        let path = self.request.as_deref().unwrap_or(Path::new("-"));
        let read = |source: &mut dyn Read| {
            let mut text = Vec::new();
            source.take(MOST_REQUEST_BYTES + 1).read_to_end(&mut text).map(|_| text)
        };
        let text = if path == Path::new("-") {
            read(&mut std::io::stdin().lock())
        } else {
            File::open(path).and_then(|mut file| read(&mut file))
        };
        text.map_err(|error| {
            let message = format!("the request cannot be read from `{}`: {error}", path.display());
            BridgeError::new(ErrorCode::IoFailed, message).with("kind", error.kind().to_string())
        })
    }
}
