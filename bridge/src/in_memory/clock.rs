//! A clock that stands still until it is told to go on.

use super::lock;
use crate::call::CallContext;
use crate::clock::{
    CancelTimerRequest, ClockBridge, ClockRequest, ScheduleTimerRequest, ScheduledTimer, TimerSink, Timestamp,
};
use crate::error::BridgeError;
use crate::error_code::ErrorCode;
use crate::execution::BridgeTypes;
use crate::ids::VmId;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// As many timers as are kept.
const MOST_TIMERS: usize = 10_000;

/// A timer, and who hears of it.
type Timer = (VmId, Arc<dyn TimerSink>);

#[derive(Default)]
struct State {
    start: Timestamp,
    elapsed: Duration,
    last_timer: u64,
    /// By the time they fire and, among equals, in the order they were asked for.
    timers: BTreeMap<(Duration, u64), Timer>,
}

/// Virtual time: it passes only by [`advance`](Self::advance), and timers fire then, in their order.
#[derive(Default)]
pub struct ManualClock(Mutex<State>);

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = lock(&self.0);
        f.debug_struct("ManualClock").field("elapsed", &state.elapsed).field("timers", &state.timers.len()).finish()
    }
}

impl ManualClock {
    /// A clock whose time of day begins at `start`.
    pub fn new(start: Timestamp) -> Self {
        Self(Mutex::new(State { start, ..State::default() }))
    }

    /// Lets time pass, and fires what falls due, each at its own time; what a timer schedules may fire, too.
    pub fn advance(&self, by: Duration) {
        let end = lock(&self.0).elapsed.saturating_add(by);
        loop {
            let due = {
                let mut state = lock(&self.0);
                let first = state.timers.keys().next().copied().filter(|(when, _)| *when <= end);
                let Some(key) = first else {
                    state.elapsed = end;
                    return;
                };
                state.elapsed = state.elapsed.max(key.0);
                state.timers.remove(&key).map(|timer| (key.1, timer))
            };
            if let Some((number, (vm_id, sink))) = due {
                sink.timer_fired(&vm_id, ScheduledTimer::new(number));
            }
        }
    }
}

impl BridgeTypes for ManualClock {
    type Error = BridgeError;
}

impl ClockBridge for ManualClock {
    fn wall_clock(&self, _: &CallContext, _: ClockRequest) -> Result<Timestamp, BridgeError> {
        let state = lock(&self.0);
        let nanoseconds = u64::from(state.start.nanoseconds) + u64::from(state.elapsed.subsec_nanos());
        let carried = i64::try_from(state.elapsed.as_secs() + nanoseconds / 1_000_000_000).unwrap_or(i64::MAX);
        let nanoseconds = u32::try_from(nanoseconds % 1_000_000_000).unwrap_or(0);
        Ok(Timestamp { seconds: state.start.seconds.saturating_add(carried), nanoseconds })
    }

    fn monotonic_clock(&self, _: &CallContext, _: ClockRequest) -> Result<Duration, BridgeError> {
        Ok(lock(&self.0).elapsed)
    }

    fn schedule_timer(
        &self,
        _: &CallContext,
        request: ScheduleTimerRequest,
        sink: Arc<dyn TimerSink>,
    ) -> Result<ScheduledTimer, BridgeError> {
        let mut state = lock(&self.0);
        if state.timers.len() >= MOST_TIMERS {
            let message = "too many timers are waiting; cancel some, or wait until they fire";
            return Err(BridgeError::new(ErrorCode::QueueFull, message).with("limit", MOST_TIMERS));
        }
        state.last_timer += 1;
        let number = state.last_timer;
        let when = state.elapsed.saturating_add(Duration::from_nanos(request.delay_nanoseconds));
        state.timers.insert((when, number), (request.vm_id, sink));
        Ok(ScheduledTimer::new(number))
    }

    fn cancel_timer(&self, _: &CallContext, request: CancelTimerRequest) -> Result<bool, BridgeError> {
        let mut state = lock(&self.0);
        let own = |(number, vm_id): (&u64, &VmId)| *number == request.timer_id && *vm_id == request.vm_id;
        let key = state.timers.iter().find(|((_, number), (vm_id, _))| own((number, vm_id))).map(|(key, _)| *key);
        Ok(key.is_some_and(|key| state.timers.remove(&key).is_some()))
    }
}
