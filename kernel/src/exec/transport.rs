//! One program from its request to its answer.

use super::captured::Captured;
use super::failure::Asked;
use super::stdin;
use crate::vm::Vm;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::exec::RunProgram;
use cofferdam_bridge::execution::StreamMode;
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_bridge::json_fault::offset_of;
use cofferdam_bridge::limits::LimitName;
use serde_json::Value;
use std::time::Duration;

impl Vm {
    /// Runs a program as a function: JSON on its standard input, JSON on its standard output.
    ///
    /// The program must lie beneath a prefix of the policy's `commands.allow` once all links are followed, and so must the interpreter
    /// that a script names; the file that was checked is the one that runs. It starts with the policy's environment and the request's
    /// variables, and nothing else. The answer comes when the program has ended, and all that it started with it, or has let go of its output,
    /// for as long as `output_wait_ms` says.
    ///
    /// ```
    /// # use cofferdam_bridge::{error::BridgeError, exec::RunProgram, execution::ExecutionBridge};
    /// # use cofferdam_kernel::{Kernel, VmSpec, policy::Policy};
    /// # use serde_json::json;
    /// # type Failure = Box<dyn std::error::Error>;
    /// # #[expect(dead_code, reason = "an example to read and to compile")]
    /// async fn count(plane: impl ExecutionBridge<Error = BridgeError> + 'static) -> Result<(), Failure> {
    ///     let vm = Kernel::builder(plane).build()?.create_vm(VmSpec::new(Policy::strict()))?;
    ///     let program = "import json, sys; print(json.dumps(len(json.load(sys.stdin))))";
    ///     let request = RunProgram::new("/usr/bin/python3").args(["-c", program]).stdin_json(json!([1, 2, 3]));
    ///     assert_eq!(vm.exec(request).await?, json!(3));
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// One of the twelve codes that begin with `exec_`; [`RunProgram::from_json`] answers the first of them. No error holds anything of input,
    /// output, arguments or environment values, nor a path that the request did not name.
    pub async fn exec(&self, request: RunProgram) -> Result<Value, BridgeError> {
        request.check()?;
        let limits = &self.profile().limits;
        let asked = Asked::new(&request, limits.wall_ms);
        let text = stdin::text(&request.stdin_json, limits.stdin_bytes, &asked)?;
        let mut command = self
            .command(request.program_path)
            .args(request.argv)
            .held()
            .stdin(StreamMode::Piped)
            .timeout(Duration::from_millis(request.timeout_ms))
            .wait_for_output(Duration::from_millis(request.output_wait_ms));
        for (name, value) in request.env {
            command = command.env(name, value);
        }
        let mut execution = command.spawn().await.map_err(|error| asked.not_started(error.error()))?;
        let controller = execution.controller();
        let captured = Captured::gather(&mut execution, [limits.stdout_bytes, limits.stderr_bytes]);
        let (unwritten, captured) = tokio::join!(stdin::feed(&controller, text), captured);
        answer(&asked, unwritten, captured)
    }
}

fn answer(asked: &Asked, unwritten: Option<String>, captured: Captured) -> Result<Value, BridgeError> {
    if let Some((limit, seen)) = captured.stdout.excess() {
        return Err(asked.output_too_large(LimitName::Stdout, limit, seen));
    }
    if let Some((limit, seen)) = captured.stderr.excess() {
        return Err(asked.output_too_large(LimitName::Stderr, limit, seen));
    }
    match (&captured.report.cause, unwritten) {
        (ExitCause::Exited { .. }, Some(kind)) => Err(asked.stdin_write_failed(&kind)),
        (ExitCause::Exited { code: 0 }, None) => serde_json::from_slice(&captured.bytes)
            .map_err(|error| asked.stdout_invalid_json(offset_of(&error, &captured.bytes), captured.bytes.len())),
        (cause, _) => Err(asked.ended(cause)),
    }
}
