//! The queue between a plane and the reader of an execution: bounded, so that a slow reader slows its own guest.

use crate::recording::RunRecord;
use crate::telemetry;
use cofferdam_bridge::event::{ExecutionEvent, ExecutionEventSink};
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
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
    /// Hears of the end, whether or not anybody reads.
    record: Option<RunRecord>,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<ExecutionEvent>,
    bytes: usize,
    abandoned: bool,
    wakers: Vec<Waker>,
}

impl State {
    fn has_room(&self) -> bool {
        self.abandoned || (self.bytes < MOST_BYTES && self.events.len() < MOST_EVENTS)
    }
}

impl EventQueue {
    /// The queue of a run that is recorded.
    pub(crate) fn of(record: Option<RunRecord>) -> Self {
        Self { record, ..Self::default() }
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
    }

    fn made_room(&self, mut state: MutexGuard<'_, State>) {
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        self.room.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl ExecutionEventSink for EventQueue {
    fn push(&self, event: ExecutionEvent) -> bool {
        if let (ExecutionEvent::Exited(report), Some(record)) = (&event, &self.record) {
            record.end(report);
        }
        let mut state = self.lock();
        if !state.has_room() && !matches!(event, ExecutionEvent::Exited(_)) {
            telemetry::queue_full(state.events.len(), state.bytes);
        }
        // The end of an execution always finds room: nothing comes after it.
        while !state.has_room() && !matches!(event, ExecutionEvent::Exited(_)) {
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
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
        telemetry::queue_full(state.events.len(), state.bytes);
        Err(Box::new(event))
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
