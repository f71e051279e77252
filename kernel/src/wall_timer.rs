//! The wall-clock limit of a run. It acts whether or not anybody reads the run's events.

use crate::vm::SharedVm;
use cofferdam_bridge::execution::{ExecutionRef, ExecutionSignal};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

/// A limit that has begun to run. Dropping it lets the run go on.
#[derive(Debug)]
pub(crate) struct WallTimer {
    task: AbortHandle,
    passed: Arc<AtomicBool>,
    limit: Duration,
}

/// Whether a limit has passed, for whoever outlives the timer.
#[derive(Clone, Debug)]
pub(crate) struct Passed {
    told: Arc<AtomicBool>,
    limit: Duration,
}

impl Passed {
    /// The limit in milliseconds, once it has passed.
    pub(crate) fn milliseconds(&self) -> Option<u64> {
        let milliseconds = u64::try_from(self.limit.as_millis()).unwrap_or(u64::MAX);
        self.told.load(Ordering::SeqCst).then_some(milliseconds)
    }
}

impl WallTimer {
    /// Ends `execution` after `limit`.
    pub(crate) fn start(runtime: &Handle, vm: Weak<SharedVm>, execution: ExecutionRef, limit: Duration) -> Self {
        let passed = Arc::new(AtomicBool::new(false));
        let told = passed.clone();
        let task = runtime.spawn(async move {
            tokio::time::sleep(limit).await;
            told.store(true, Ordering::SeqCst);
            if let Some(vm) = vm.upgrade() {
                // A run that has ended is no error, and a plane that fails tells the end itself.
                let _ = vm.plane.kill_execution(&execution, ExecutionSignal::Kill);
            }
        });
        Self { task: task.abort_handle(), passed, limit }
    }

    /// The limit in milliseconds, once it has passed.
    pub(crate) fn passed(&self) -> Option<u64> {
        self.watch().milliseconds()
    }

    /// Tells whether it has passed, also when it is gone.
    pub(crate) fn watch(&self) -> Passed {
        Passed { told: self.passed.clone(), limit: self.limit }
    }
}

impl Drop for WallTimer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
