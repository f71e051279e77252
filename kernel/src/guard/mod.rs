//! The guard: whether there is room for another run, and whose turn it is. It refuses in words before anything starts.

mod limits;
mod thresholds;
mod turns;

pub use limits::GuardLimits;
pub(crate) use thresholds::Crossing;
pub(crate) use turns::Turn;

use crate::recording::Recording;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::guard::MachineSource;
use cofferdam_bridge::ids::VmId;
use std::fmt;
use std::sync::Arc;
use thresholds::Thresholds;
use turns::Turns;

/// The guard of one kernel.
#[derive(Clone)]
pub(crate) struct Guard {
    limits: Arc<GuardLimits>,
    thresholds: Arc<Thresholds>,
    turns: Turns,
    source: Option<Arc<dyn MachineSource>>,
    recording: Recording,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Guard {
    /// A guard by `limits`, with figures of `source`, which has it recorded when one of them passes its limit.
    pub(crate) fn new(limits: GuardLimits, source: Option<Arc<dyn MachineSource>>, recording: Recording) -> Self {
        let turns = Turns::new(&limits);
        Self { thresholds: Arc::new(Thresholds::new(&limits)), limits: Arc::new(limits), turns, source, recording }
    }

    /// Lets a run of `vm` begin, when it is its turn, whose program and arguments have `argument_bytes`.
    ///
    /// # Errors
    /// `resource_limit_exceeded` with figure and limit; `queue_full` and `deadline_exceeded` where too many wait, or too long.
    pub(crate) async fn admit(&self, vm: &VmId, argument_bytes: u64) -> Result<Turn, BridgeError> {
        if argument_bytes > self.limits.argument_bytes {
            return Err(exceeded("argument_bytes", "bytes of arguments", argument_bytes, self.limits.argument_bytes));
        }
        self.look()?;
        let turn = self.turns.next(vm, self.limits.longest_wait).await?;
        if turn.has_waited() {
            // Others have begun meanwhile.
            self.look()?;
        }
        Ok(turn)
    }

    fn look(&self) -> Result<(), BridgeError> {
        match &self.source {
            Some(source) if self.thresholds.any() => {
                self.thresholds.judge(&source.measure(), |crossing| self.recording.guarded(crossing))
            }
            _ => Ok(()),
        }
    }
}

/// A refusal that names figure and limit.
fn exceeded(name: &str, what: &str, figure: u64, limit: u64) -> BridgeError {
    let message = format!(
        "nothing more is started now: {figure} {what}, and the host's limit is {limit}; try again later, or let the host raise the limit (GuardLimits)"
    );
    let mut error = BridgeError::new(ErrorCode::ResourceLimitExceeded, message);
    error.retryable = name != "argument_bytes";
    error.with("resource", name).with("figure", figure).with("limit", limit)
}
