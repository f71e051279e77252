//! The queue between a plane and the reader of an execution: bounded, so that a slow reader slows its own guest.

use crate::guard::Turn;
use crate::prompt::Gate;
use crate::recording::RunRecord;
use crate::telemetry::{self, Listeners};
use cofferdam_bridge::event::{ExecutionEvent, ExecutionEventSink};
use cofferdam_bridge::prompt::{PromptOutcome, PromptQuestion, PromptTicket, PromptWaiter};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;
use tokio::sync::Notify;

/// Bytes of output that may wait. One event more than that is always taken, so that a large one cannot be stuck.
const MOST_BYTES: usize = 4 << 20;

/// Events that may wait.
const MOST_EVENTS: usize = 1024;

/// A queue of events with many producers and one consumer.
#[derive(Debug, Default)]
pub(crate) struct EventQueue {
    state: Mutex<State>,
    room: Condvar,
    arrived: Notify,
    me: Weak<Self>,
    /// The run's turn, until it has ended.
    turn: Mutex<Option<Turn>>,
    /// By which the execution asks the host.
    gate: Option<Gate>,
    /// Hears of the end, whether or not anybody reads.
    record: Option<RunRecord>,
    listeners: Listeners,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<ExecutionEvent>,
    bytes: usize,
    abandoned: bool,
    wakers: Vec<Waker>,
    /// Threads that wait for room. Waking costs a call even where nobody does.
    waiting: usize,
}

impl State {
    fn has_room(&self) -> bool {
        self.abandoned || (self.bytes < MOST_BYTES && self.events.len() < MOST_EVENTS)
    }
}

impl EventQueue {
    /// The queue of a run that may be recorded, and asks the host by `gate`.
    pub(crate) fn of(record: Option<RunRecord>, gate: Gate, turn: Turn, listeners: Listeners) -> Arc<Self> {
        let turn = Mutex::new(Some(turn));
        Arc::new_cyclic(|me| Self { me: me.clone(), gate: Some(gate), record, turn, listeners, ..Self::default() })
    }

    /// Nothing of the execution waits for an answer any more.
    fn end_prompts(&self) {
        if let Some(gate) = &self.gate {
            gate.end();
        }
    }

    /// The records of the run.
    pub(crate) fn record(&self) -> Option<&RunRecord> {
        self.record.as_ref()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, mut state: MutexGuard<'_, State>, event: ExecutionEvent) -> bool {
        if state.abandoned {
            return false;
        }
        state.bytes += size(&event);
        state.events.push_back(event);
        drop(state);
        self.arrived.notify_one();
        true
    }

    /// The next event, as soon as there is one.
    pub(crate) async fn next(&self) -> ExecutionEvent {
        loop {
            if let Some(event) = self.try_next() {
                return event;
            }
            self.arrived.notified().await;
        }
    }

    fn try_next(&self) -> Option<ExecutionEvent> {
        let mut state = self.lock();
        let event = state.events.pop_front()?;
        state.bytes = state.bytes.saturating_sub(size(&event));
        self.made_room(state);
        Some(event)
    }

    /// Nobody will read any more.
    pub(crate) fn abandon(&self) {
        let mut state = self.lock();
        state.abandoned = true;
        state.events.clear();
        state.bytes = 0;
        self.made_room(state);
        self.end_prompts();
    }

    fn made_room(&self, mut state: MutexGuard<'_, State>) {
        let wakers = std::mem::take(&mut state.wakers);
        let waiting = state.waiting > 0;
        drop(state);
        if waiting {
            self.room.notify_all();
        }
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl ExecutionEventSink for EventQueue {
    fn push(&self, event: ExecutionEvent) -> bool {
        if let ExecutionEvent::Exited(report) = &event {
            self.end_prompts();
            drop(self.turn.lock().unwrap_or_else(PoisonError::into_inner).take());
            if let Some(record) = &self.record {
                record.end(report);
            }
        }
        let mut state = self.lock();
        if !state.has_room() && !matches!(event, ExecutionEvent::Exited(_)) {
            let (events, bytes) = (state.events.len(), state.bytes);
            // The host's sink may ask the kernel something: not under a lock.
            drop(state);
            telemetry::queue_full(&self.listeners, events, bytes);
            state = self.lock();
        }
        // The end of an execution always finds room: nothing comes after it.
        while !state.has_room() && !matches!(event, ExecutionEvent::Exited(_)) {
            state.waiting += 1;
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
        self.take(state, event)
    }

    fn try_push(&self, event: ExecutionEvent) -> Result<bool, Box<ExecutionEvent>> {
        if matches!(event, ExecutionEvent::Exited(_)) {
            // It always finds room.
            return Ok(self.push(event));
        }
        let state = self.lock();
        if state.has_room() {
            return Ok(self.take(state, event));
        }
        let (events, bytes) = (state.events.len(), state.bytes);
        drop(state);
        telemetry::queue_full(&self.listeners, events, bytes);
        Err(Box::new(event))
    }

    fn ask(&self, question: PromptQuestion, waiter: PromptWaiter) -> PromptTicket {
        match &self.gate {
            Some(gate) => gate.ask(&self.me, question, waiter),
            None => {
                waiter(PromptOutcome::NobodyToAsk);
                PromptTicket::settled()
            }
        }
    }

    fn wake_when_room(&self, waker: &Waker) {
        let mut state = self.lock();
        if state.has_room() {
            drop(state);
            waker.wake_by_ref();
        } else {
            state.wakers.push(waker.clone());
        }
    }
}

fn size(event: &ExecutionEvent) -> usize {
    match event {
        ExecutionEvent::Stdout { bytes } | ExecutionEvent::Stderr { bytes } => bytes.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cofferdam_bridge::metric::{Attributes, Instrument, MetricSink};
    use std::sync::mpsc;
    use std::time::Duration;

    /// A sink that empties the queue of which it is told that it is full.
    #[derive(Default)]
    struct Empties(Mutex<Weak<EventQueue>>);

    impl MetricSink for Empties {
        fn add(&self, _: &'static Instrument, _: i64, _: Attributes<'_>) {
            let queue = self.0.lock().unwrap().upgrade();
            while queue.as_ref().and_then(|queue| queue.try_next()).is_some() {}
        }

        fn observe(&self, _: &'static Instrument, _: f64, _: Attributes<'_>) {}
    }

    #[test]
    fn a_sink_that_is_told_of_a_full_queue_may_read_it() {
        let (done, ended) = mpsc::channel();
        // A lock that is held would hold it for ever: it is a thread of its own that would be stuck.
        std::thread::spawn(move || {
            let sink = Arc::new(Empties::default());
            let listeners = Listeners { metrics: Some(sink.clone()), traces: None };
            let queue = Arc::new_cyclic(|me| EventQueue { me: me.clone(), listeners, ..EventQueue::default() });
            *sink.0.lock().unwrap() = Arc::downgrade(&queue);
            let event = || ExecutionEvent::Stdout { bytes: vec![b'x'; MOST_BYTES] };
            // The second finds no room, nor does the fourth: both times the sink makes some.
            let taken = [queue.push(event()), queue.push(event())];
            let refused = queue.try_push(event()).is_err();
            done.send((taken, refused, queue.try_push(event()).is_ok())).unwrap();
        });
        assert_eq!(ended.recv_timeout(Duration::from_secs(60)), Ok(([true, true], true, true)));
    }
}
