//! What runs on a plane, by id, and the wait until nothing does.

use crate::kept_run::execution::Shared;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::execution::ExecutionRef;
use cofferdam_bridge::ids::{ExecutionId, VmId};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Executions that have not ended.
#[derive(Debug, Default)]
pub(crate) struct Running {
    executions: Mutex<HashMap<ExecutionId, (VmId, Arc<Shared>)>>,
    /// How many have ended whose keepers were not reaped yet. Taken only while `executions` is held.
    leaving: AtomicUsize,
    ended: Condvar,
}

/// Where one execution stands among those that run.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) running: Arc<Running>,
    pub(crate) id: ExecutionId,
}

impl Running {
    /// One more runs.
    pub(crate) fn add(&self, id: ExecutionId, vm_id: VmId, shared: Arc<Shared>) {
        self.lock().insert(id, (vm_id, shared));
    }

    /// It has ended, and nothing of it is left but, perhaps, its keeper: [`Self::gone`] follows.
    pub(crate) fn remove(&self, id: &ExecutionId) {
        let mut executions = self.lock();
        executions.remove(id);
        self.leaving.fetch_add(1, Ordering::SeqCst);
    }

    /// The keeper of one that was removed is gone, too.
    pub(crate) fn gone(&self) {
        let _executions = self.lock();
        self.leaving.fetch_sub(1, Ordering::SeqCst);
        self.ended.notify_all();
    }

    /// The execution of that id in that VM.
    pub(crate) fn find(&self, execution: &ExecutionRef) -> Result<Arc<Shared>, BridgeError> {
        match self.lock().get(&execution.execution_id) {
            Some((vm_id, shared)) if *vm_id == execution.vm_id => Ok(shared.clone()),
            _ => Err(BridgeError::new(
                ErrorCode::UnknownExecution,
                "there is no such execution in this VM; it was never started or has ended",
            )),
        }
    }

    /// Stops those of a VM: TERM, a grace, KILL. Does not wait.
    pub(crate) fn stop_vm(&self, vm_id: &VmId) {
        for (_, shared) in self.lock().values().filter(|(owner, _)| owner == vm_id) {
            shared.stop_for_host();
        }
    }

    /// Kills all, and waits until nothing is left, but not longer than `most`.
    pub(crate) fn kill_all(&self, most: Duration) {
        let executions = self.lock();
        for (_, shared) in executions.values() {
            shared.kill_for_host();
        }
        // Past that time something waits in the kernel; its keeper stays with it, and ends it when it can be ended.
        let _ = self.ended.wait_timeout_while(executions, most, |executions| {
            !executions.is_empty() || self.leaving.load(Ordering::SeqCst) > 0
        });
    }

    /// A panicking thread leaves nothing half-done behind this lock, so a poisoned one is as good.
    fn lock(&self) -> MutexGuard<'_, HashMap<ExecutionId, (VmId, Arc<Shared>)>> {
        self.executions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
