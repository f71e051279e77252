//! Clocks and timers.

use super::check::{Found, Group, Suite, ensure};
use cofferdam_bridge::call::{CallContext, CancelFlag};
use cofferdam_bridge::clock::{
    CancelTimerRequest, ClockBridge, ClockRequest, ScheduleTimerRequest, ScheduledTimer, TimerSink,
};
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::ids::VmId;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

struct Fired(Mutex<Sender<(VmId, ScheduledTimer)>>);

impl TimerSink for Fired {
    fn timer_fired(&self, vm_id: &VmId, timer: ScheduledTimer) {
        let sender = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Who does not listen any more misses nothing.
        let _ = sender.send((vm_id.clone(), timer));
    }
}

fn sink() -> (Arc<Fired>, Receiver<(VmId, ScheduledTimer)>) {
    let (sender, receiver) = channel();
    (Arc::new(Fired(Mutex::new(sender))), receiver)
}

pub(super) fn check<C: ClockBridge>(suite: &mut Suite, clock: &C) {
    let (vm_id, call) = (VmId::new("conformance"), CallContext::unbounded());
    let request = || ClockRequest::new(vm_id.clone());
    let error = |error: C::Error| super::stage::told(&error.into());
    suite.check(Group::Clock, "monotonic", "the monotonic clock never goes back", || {
        let mut last = Duration::ZERO;
        for _ in 0..1000 {
            let now = clock.monotonic_clock(&call, request()).map_err(error)?;
            ensure!(now >= last, "it went from {last:?} to {now:?}");
            last = now;
        }
        Ok(())
    });
    suite.check(Group::Clock, "wall", "the wall clock's nanoseconds are less than a second", || {
        let now = clock.wall_clock(&call, request()).map_err(error)?;
        ensure!(now.nanoseconds < 1_000_000_000, "they are {}", now.nanoseconds);
        Ok(())
    });
    suite.check(Group::Clock, "cancelled", "a call that is not wanted any more is given up", || {
        let flag = CancelFlag::new();
        flag.cancel();
        let call = CallContext::unbounded().cancelled_by(flag);
        match clock.wall_clock(&call, request()) {
            Err(error) => {
                let error: cofferdam_bridge::error::BridgeError = error.into();
                ensure!(error.code == ErrorCode::Cancelled, "the code is {}", error.code);
                Ok(())
            }
            // A clock that has nothing to wait for may answer.
            Ok(_) => Ok(()),
        }
    });
    timers(suite, clock, &vm_id);
}

fn timers<C: ClockBridge>(suite: &mut Suite, clock: &C, vm_id: &VmId) {
    let call = CallContext::unbounded();
    let schedule = |nanoseconds: u64, sink: &Arc<Fired>| {
        let request = ScheduleTimerRequest::new(vm_id.clone(), nanoseconds);
        clock.schedule_timer(&call, request, sink.clone()).map_err(|error| super::stage::told(&error.into()))
    };
    let cancel = |timer: ScheduledTimer| {
        let request = CancelTimerRequest::new(vm_id.clone(), timer.timer_id);
        clock.cancel_timer(&call, request).map_err(|error| super::stage::told(&error.into()))
    };
    let far = 3_600_000_000_000;
    suite.check(Group::Timers, "distinct", "timers have ids of their own", || {
        let (sink, _receiver) = sink();
        let (first, second) = (schedule(far, &sink)?, schedule(far, &sink)?);
        cancel(first)?;
        cancel(second)?;
        ensure!(first != second, "both are {}", first.timer_id);
        Ok(())
    });
    suite.check(Group::Timers, "not_early", "a timer does not fire before its time", || {
        let (sink, receiver) = sink();
        let timer = schedule(far, &sink)?;
        let fired = receiver.recv_timeout(Duration::from_millis(50)).is_ok();
        cancel(timer)?;
        ensure!(!fired, "it did");
        Ok(())
    });
    suite.check(Group::Timers, "cancelled", "a cancelled timer is told so, once", || {
        let (sink, _receiver) = sink();
        let timer = schedule(far, &sink)?;
        ensure!(cancel(timer)?, "it is told that it was not there");
        ensure!(!cancel(timer)?, "the second time it is told the same");
        Ok(())
    });
    suite.check(Group::Timers, "unknown", "a timer that was never set is not cancelled", || {
        ensure!(!cancel(ScheduledTimer::new(u64::MAX - 1))?, "it was");
        Ok(())
    });
    suite.check(Group::Timers, "cancelled_silent", "a cancelled timer does not fire", || -> Found {
        let (sink, receiver) = sink();
        let timer = schedule(20_000_000, &sink)?;
        if cancel(timer)? {
            ensure!(receiver.recv_timeout(Duration::from_millis(100)).is_err(), "it did");
        }
        Ok(())
    });
    suite.check(Group::Timers, "fires", "a timer of no time fires, or the clock's time stands still", || {
        let (sink, receiver) = sink();
        let timer = schedule(0, &sink)?;
        match receiver.recv_timeout(Duration::from_secs(2)) {
            Ok((vm, own)) => {
                ensure!(vm == *vm_id && own == timer, "it fired as another's");
                ensure!(!cancel(timer)?, "what has fired can still be cancelled");
            }
            // A clock that is moved by hand has it waiting.
            Err(_) => ensure!(cancel(timer)?, "it neither fired nor waits"),
        }
        Ok(())
    });
}
