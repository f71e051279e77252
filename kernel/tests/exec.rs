//! Programs as functions on a plane that only pretends: what no real pipe and no real plane can be brought to.

#![expect(clippy::unwrap_used, reason = "a test that meets an unexpected error must fail loudly")]

use cofferdam_bridge::call::CallContext;
use cofferdam_bridge::descriptor::{Feature, PlaneDescriptor, Preflight};
use cofferdam_bridge::enforcement::{Enforcement, Tier};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::event::{ExecutionEvent, ExecutionEventSink, ExecutionReport};
use cofferdam_bridge::exec::{ExecBridge, RunProgram, RunProgramRequest};
use cofferdam_bridge::execution::{
    BridgeTypes, CreateCommandContextRequest, CreatedContext, ExecutionBridge, ExecutionRef, ExecutionSignal,
    ProgramFile, StartExecutionRequest, StartedExecution,
};
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_bridge::ids::{ContextId, VmId};
use cofferdam_bridge::profile::ExecutionProfile;
use cofferdam_bridge::usage::Usage;
use cofferdam_kernel::exec::VmExec;
use cofferdam_kernel::policy::Policy;
use cofferdam_kernel::{Kernel, Vm, VmSpec};
use serde_json::json;
use std::sync::{Arc, Mutex};

const SECRET: &str = "hunter2-planted-secret";

type Sink = Arc<dyn ExecutionEventSink>;

/// Whom its events go to, and what it has read so far.
type Running = (Sink, Vec<u8>);

/// A plane whose program answers what it read, once its input is closed, and ends with `cause`.
#[derive(Clone, Default)]
struct Echo {
    running: Arc<Mutex<Option<Running>>>,
    /// What writing to its input answers.
    broken: Option<BridgeError>,
    /// How it ends; exit code 0 unless said.
    cause: Option<ExitCause>,
    /// It ends only when it is killed.
    endless: bool,
    cannot_hold: bool,
}

impl Echo {
    fn end(&self, cause: ExitCause) {
        let Some((sink, bytes)) = self.running.lock().unwrap().take() else { return };
        sink.push(ExecutionEvent::Stdout { bytes });
        let report = ExecutionReport::new(cause, Usage::default(), Enforcement::new(Tier::Full));
        sink.push(ExecutionEvent::Exited(Box::new(report)));
    }
}

impl BridgeTypes for Echo {
    type Error = BridgeError;
}

impl ExecutionBridge for Echo {
    fn describe(&self) -> PlaneDescriptor {
        let mut descriptor = PlaneDescriptor::new("echo", "0");
        descriptor.features = vec![Feature::Commands, Feature::HeldPrograms];
        descriptor.features.retain(|feature| *feature != Feature::HeldPrograms || !self.cannot_hold);
        descriptor
    }
    fn preflight(&self, _: &ExecutionProfile) -> Preflight {
        Preflight::new(Enforcement::new(Tier::Full))
    }
    fn create_command_context(&self, _: CreateCommandContextRequest) -> Result<CreatedContext, BridgeError> {
        Ok(CreatedContext::new(ContextId::new("context")))
    }
    fn start_execution(&self, request: StartExecutionRequest, events: Sink) -> Result<StartedExecution, BridgeError> {
        assert_eq!(request.program_file, ProgramFile::Held);
        *self.running.lock().unwrap() = Some((events, Vec::new()));
        Ok(StartedExecution::new(None))
    }
    fn write_stdin(&self, _: &ExecutionRef, bytes: &[u8]) -> Result<(), BridgeError> {
        if let Some((_, read)) = self.running.lock().unwrap().as_mut() {
            read.extend(bytes);
        }
        self.broken.clone().map_or(Ok(()), Err)
    }
    fn close_stdin(&self, _: &ExecutionRef) -> Result<(), BridgeError> {
        if !self.endless {
            self.end(self.cause.clone().unwrap_or(ExitCause::Exited { code: 0 }));
        }
        Ok(())
    }
    fn kill_execution(&self, _: &ExecutionRef, _: ExecutionSignal) -> Result<(), BridgeError> {
        self.end(ExitCause::Killed);
        Ok(())
    }
    fn forget_vm(&self, _: &VmId) {
        self.end(ExitCause::Killed);
    }
}

fn vm(plane: &Echo) -> Vm {
    Kernel::builder(plane.clone()).build().unwrap().create_vm(VmSpec::new(Policy::strict())).unwrap()
}

fn request() -> RunProgram {
    RunProgram::new("/usr/bin/echo").stdin_json(json!(SECRET)).arg(SECRET).env("SECRET", SECRET)
}

async fn failed(plane: &Echo) -> BridgeError {
    let error = vm(plane).exec(request()).await.unwrap_err();
    assert!(!serde_json::to_string(&error).unwrap().contains("hunter2"), "{error:?}");
    assert!(!format!("{error:?}").contains("hunter2"));
    error
}

#[tokio::test]
async fn x7_x10_input_that_cannot_be_written_is_told_by_its_kind_and_says_nothing_of_it() {
    let broken = |kind: &str| Some(BridgeError::new(ErrorCode::IoFailed, SECRET).with("kind", kind));
    let plane = Echo { broken: broken("storage full"), ..Echo::default() };
    let error = failed(&plane).await;
    assert_eq!(
        (error.code, error.category),
        (ErrorCode::ExecStdinWriteFailed, ErrorCode::ExecStdinWriteFailed.category())
    );
    assert_eq!(error.details["kind"], "storage full");
    // A program that does not read is no fault by itself.
    let plane = Echo { broken: broken("broken_pipe"), ..Echo::default() };
    assert_eq!(vm(&plane).exec(request()).await.unwrap(), json!(SECRET));
    let plane = Echo { cause: Some(ExitCause::Exited { code: 2 }), ..plane };
    assert_eq!(failed(&plane).await.code, ErrorCode::ExecFailed);
}

#[tokio::test]
async fn x6_x10_a_plane_that_fails_is_told_without_its_own_words() {
    let error = BridgeError::new(ErrorCode::PlaneFault, SECRET).with("io_error", "out of memory").with("text", SECRET);
    let plane = Echo { cause: Some(ExitCause::PlaneFault { error }), ..Echo::default() };
    let error = failed(&plane).await;
    assert_eq!(error.code, ErrorCode::ExecFailed);
    assert_eq!((&error.details["cause"], &error.details["kind"]), (&json!("plane_fault"), &json!("out of memory")));
}

#[tokio::test]
async fn x2_a_plane_that_cannot_hold_a_file_runs_nothing() {
    let plane = Echo { cannot_hold: true, ..Echo::default() };
    let error = failed(&plane).await;
    assert_eq!(error.code, ErrorCode::ExecSpawnFailed);
    assert_eq!(error.details["cause"], "unsupported_backend_feature");
    assert!(plane.running.lock().unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn x5_the_time_is_that_of_the_request_or_less() {
    let plane = Echo { endless: true, ..Echo::default() };
    let error = vm(&plane).exec(request().timeout_ms(5_000)).await.unwrap_err();
    assert_eq!((error.code, &error.details["timeout_ms"]), (ErrorCode::ExecTimeout, &json!(5_000)));
    // The policy allows ten minutes.
    let error = vm(&plane).exec(request().timeout_ms(6_000_000)).await.unwrap_err();
    assert_eq!(error.details["timeout_ms"], 600_000);
}

#[tokio::test]
async fn the_contract_s_calls_are_answered_in_the_guest_s_own_vm_and_can_be_cancelled() {
    let plane = Echo::default();
    let own = vm(&plane);
    let calls = VmExec::new(own.clone(), tokio::runtime::Handle::current());
    let ask = |calls: VmExec, call: CallContext, vm: VmId, value: serde_json::Value| async move {
        tokio::task::spawn_blocking(move || calls.run_program(&call, RunProgramRequest::new(vm, value))).await.unwrap()
    };
    let value = json!({ "kind": "run_program_v1", "program_path": "/usr/bin/echo", "stdin_json": [1] });
    let call = CallContext::unbounded;
    assert_eq!(ask(calls.clone(), call(), own.id().clone(), value.clone()).await.unwrap(), json!([1]));
    let other = ask(calls.clone(), call(), VmId::new("another"), value.clone()).await.unwrap_err();
    assert_eq!(other.code, ErrorCode::UnknownVm);
    let invalid = ask(calls, call(), own.id().clone(), json!({})).await.unwrap_err();
    assert_eq!(invalid.code, ErrorCode::ExecRequestInvalid);
    let plane = Echo { endless: true, ..Echo::default() };
    let own = vm(&plane);
    let calls = VmExec::new(own.clone(), tokio::runtime::Handle::current());
    let call = CallContext::unbounded();
    let flag = call.cancel_flag().clone();
    let asked = tokio::spawn(ask(calls, call, own.id().clone(), value));
    while plane.running.lock().unwrap().is_none() {
        tokio::task::yield_now().await;
    }
    flag.cancel();
    assert_eq!(asked.await.unwrap().unwrap_err().code, ErrorCode::Cancelled);
    while plane.running.lock().unwrap().is_some() {
        tokio::task::yield_now().await;
    }
}
