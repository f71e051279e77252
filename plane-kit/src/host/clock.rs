//! The machine's clocks, and timers on a thread of their own.

use cofferdam_bridge::call::CallContext;
use cofferdam_bridge::clock::{
    CancelTimerRequest, ClockBridge, ClockRequest, ScheduleTimerRequest, ScheduledTimer, TimerSink, Timestamp,
};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::execution::BridgeTypes;
use cofferdam_bridge::ids::VmId;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// As many timers as are kept.
const MOST_TIMERS: usize = 10_000;

/// The longest a timer waits; a longer one waits so long.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// A timer, and who hears of it.
type Timer = (VmId, Arc<dyn TimerSink>);

#[derive(Default)]
struct State {
    /// By when they fire and, among equals, in the order they were asked for.
    timers: BTreeMap<(Instant, u64), Timer>,
    last: u64,
    thread: bool,
    closed: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// Real time. Timers fire from one thread, which is started with the first of them and ends with the clock.
pub struct HostClock {
    start: Instant,
    shared: Arc<Shared>,
}

impl fmt::Debug for HostClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostClock").field("timers", &self.shared.lock().timers.len()).finish_non_exhaustive()
    }
}

impl Default for HostClock {
    fn default() -> Self {
        Self::new()
    }
}

impl HostClock {
    /// A clock whose monotonic time begins now.
    pub fn new() -> Self {
        Self { start: Instant::now(), shared: Arc::default() }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fires what falls due until the clock is dropped.
    fn run(&self) {
        let mut state = self.lock();
        while !state.closed {
            let now = Instant::now();
            let Some((when, number)) = state.timers.keys().next().copied() else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            if when > now {
                let waited = self.changed.wait_timeout(state, when - now);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            if let Some((vm_id, sink)) = state.timers.remove(&(when, number)) {
                // Whoever hears of it may ask for the next.
                drop(state);
                sink.timer_fired(&vm_id, ScheduledTimer::new(number));
                state = self.lock();
            }
        }
    }
}

impl Drop for HostClock {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closed = true;
        state.timers.clear();
        drop(state);
        self.shared.changed.notify_all();
    }
}

impl BridgeTypes for HostClock {
    type Error = BridgeError;
}

impl ClockBridge for HostClock {
    fn wall_clock(&self, _: &CallContext, _: ClockRequest) -> Result<Timestamp, BridgeError> {
        let whole = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        Ok(match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => Timestamp { seconds: whole(since), nanoseconds: since.subsec_nanos() },
            Err(before) => Timestamp { seconds: -whole(before.duration()) - 1, nanoseconds: 0 },
        })
    }

    fn monotonic_clock(&self, _: &CallContext, _: ClockRequest) -> Result<Duration, BridgeError> {
        Ok(self.start.elapsed())
    }

    fn schedule_timer(
        &self,
        _: &CallContext,
        request: ScheduleTimerRequest,
        sink: Arc<dyn TimerSink>,
    ) -> Result<ScheduledTimer, BridgeError> {
        let mut state = self.shared.lock();
        if state.timers.len() >= MOST_TIMERS {
            let message = "too many timers are waiting; cancel some, or wait until they fire";
            return Err(BridgeError::new(ErrorCode::QueueFull, message).with("limit", MOST_TIMERS));
        }
        if !state.thread {
            let shared = self.shared.clone();
            let started = thread::Builder::new().name("cofferdam-timers".to_owned()).spawn(move || shared.run());
            started.map_err(|error| {
                let message = "no thread could be had for timers; the host may be at its limit";
                BridgeError::new(ErrorCode::IoFailed, message).with("kind", error.kind().to_string())
            })?;
            state.thread = true;
        }
        state.last += 1;
        let number = state.last;
        let when = Instant::now() + Duration::from_nanos(request.delay_nanoseconds).min(LONGEST);
        state.timers.insert((when, number), (request.vm_id, sink));
        drop(state);
        self.shared.changed.notify_all();
        Ok(ScheduledTimer::new(number))
    }

    fn cancel_timer(&self, _: &CallContext, request: CancelTimerRequest) -> Result<bool, BridgeError> {
        let mut state = self.shared.lock();
        let own = |(key, (vm_id, _)): (&(Instant, u64), &Timer)| {
            (key.1 == request.timer_id && *vm_id == request.vm_id).then_some(*key)
        };
        let key = state.timers.iter().find_map(own);
        Ok(key.is_some_and(|key| state.timers.remove(&key).is_some()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    struct Tell(Mutex<mpsc::Sender<u64>>);

    impl TimerSink for Tell {
        fn timer_fired(&self, _: &VmId, timer: ScheduledTimer) {
            let _ = self.0.lock().unwrap().send(timer.timer_id);
        }
    }

    #[test]
    fn b9_timers_fire_in_order_once_and_not_when_cancelled() {
        let (clock, call, vm) = (HostClock::new(), CallContext::unbounded(), || VmId::new("v"));
        let (send, receive) = mpsc::channel();
        let sink = Arc::new(Tell(Mutex::new(send)));
        let timer = |milliseconds: u64| {
            let request = ScheduleTimerRequest::new(vm(), milliseconds * 1_000_000);
            clock.schedule_timer(&call, request, sink.clone()).unwrap().timer_id
        };
        let (late, cancelled, early) = (timer(60), timer(50), timer(1));
        assert!(clock.cancel_timer(&call, CancelTimerRequest::new(vm(), cancelled)).unwrap());
        assert!(!clock.cancel_timer(&call, CancelTimerRequest::new(vm(), cancelled)).unwrap());
        assert_eq!((receive.recv().unwrap(), receive.recv().unwrap()), (early, late));
        drop((clock, sink));
        assert!(receive.recv().is_err(), "nothing else fires, and nobody is left who could");
    }

    #[test]
    fn time_goes_on() {
        let (clock, call) = (HostClock::new(), CallContext::unbounded());
        let now = || clock.monotonic_clock(&call, ClockRequest::new(VmId::new("v"))).unwrap();
        let before = now();
        assert!(now() >= before);
        assert!(clock.wall_clock(&call, ClockRequest::new(VmId::new("v"))).unwrap().seconds > 1_700_000_000);
    }
}
