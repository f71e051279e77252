//! Time, and timers that can be cancelled.

use crate::call::CallContext;
use crate::execution::BridgeTypes;
use crate::ids::VmId;
use crate::request::requests;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// A point in time: seconds since 1970 (UTC) and nanoseconds into the second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Timestamp {
    /// Whole seconds; negative before 1970.
    pub seconds: i64,
    /// Nanoseconds, below one thousand million.
    pub nanoseconds: u32,
}

requests! {
    /// Asks for the time.
    ClockRequest {}
    /// Asks for a timer.
    ScheduleTimerRequest {
        /// Fires after so many nanoseconds, not earlier.
        delay_nanoseconds: u64,
    }
    /// Takes a timer back.
    CancelTimerRequest {
        /// Its number.
        timer_id: u64,
    }
}

/// A timer that will fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct ScheduledTimer {
    /// Its number, unique in the bridge.
    pub timer_id: u64,
}

impl ScheduledTimer {
    /// A timer.
    pub fn new(timer_id: u64) -> Self {
        Self { timer_id }
    }
}

/// Takes timers that fire.
pub trait TimerSink: Send + Sync {
    /// A timer of `vm_id` fires, once. Must not block.
    fn timer_fired(&self, vm_id: &VmId, timer: ScheduledTimer);
}

/// A clock.
pub trait ClockBridge: BridgeTypes {
    /// The time of day. May go back.
    fn wall_clock(&self, call: &CallContext, request: ClockRequest) -> Result<Timestamp, Self::Error>;

    /// Time since some moment of the clock's own. Never goes back.
    fn monotonic_clock(&self, call: &CallContext, request: ClockRequest) -> Result<Duration, Self::Error>;

    /// Lets a timer fire into `sink`.
    fn schedule_timer(
        &self,
        call: &CallContext,
        request: ScheduleTimerRequest,
        sink: Arc<dyn TimerSink>,
    ) -> Result<ScheduledTimer, Self::Error>;

    /// Takes a timer back; answers whether it had not fired yet. After that it does not.
    fn cancel_timer(&self, call: &CallContext, request: CancelTimerRequest) -> Result<bool, Self::Error>;
}
