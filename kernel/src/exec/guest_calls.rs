//! The contract's `exec` group, answered by a VM.

use crate::vm::Vm;
use cofferdam_bridge::call::CallContext;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::exec::{ExecBridge, RunProgram, RunProgramRequest};
use cofferdam_bridge::execution::BridgeTypes;
use serde_json::Value;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;
use tokio::runtime::Handle;

/// How often a call that waits looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(20);

/// Runs programs for the guests of one VM, in that VM and under its policy.
///
/// Its calls block until the program has ended, so they belong on a thread that may wait (`spawn_blocking`), not on one that drives the
/// runtime.
#[derive(Clone, Debug)]
pub struct VmExec {
    vm: Vm,
    runtime: Handle,
}

impl VmExec {
    /// Runs programs in `vm`, on `runtime`.
    pub fn new(vm: Vm, runtime: Handle) -> Self {
        Self { vm, runtime }
    }
}

impl BridgeTypes for VmExec {
    type Error = BridgeError;
}

impl ExecBridge for VmExec {
    fn run_program(&self, call: &CallContext, request: RunProgramRequest) -> Result<Value, BridgeError> {
        if request.vm_id != *self.vm.id() {
            let message = "these calls are answered for another VM; each guest runs programs in its own alone";
            return Err(BridgeError::new(ErrorCode::UnknownVm, message));
        }
        call.check(Duration::ZERO)?;
        let request = RunProgram::from_value(request.request)?;
        let (answer, answered) = mpsc::sync_channel(1);
        let vm = self.vm.clone();
        let task = self.runtime.spawn(async move {
            // Who asked may be gone; then nobody wants the answer.
            let _ = answer.send(vm.exec(request).await);
        });
        loop {
            match answered.recv_timeout(LOOK) {
                Ok(answer) => return answer,
                Err(RecvTimeoutError::Timeout) => {
                    if let Err(error) = call.check(Duration::ZERO) {
                        // The run ends with its task.
                        task.abort();
                        return Err(error);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(BridgeError::new(
                        ErrorCode::PlaneFault,
                        "the runtime of the call was shut down; the run has ended with it",
                    ));
                }
            }
        }
    }
}
