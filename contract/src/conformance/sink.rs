//! Where the events of an execution under test go.

use cofferdam_bridge::event::{ExecutionEvent, ExecutionEventSink, ExecutionReport};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

/// Keeps every event, and notes what must not happen.
#[derive(Default)]
pub(super) struct Sink {
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Default)]
struct State {
    events: Vec<ExecutionEvent>,
    bytes: usize,
    /// No room: what is handed over waits.
    full: bool,
    /// Nobody reads.
    abandoned: bool,
    wakers: Vec<Waker>,
}

impl Sink {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Without room until [`open`](Self::open).
    pub(super) fn full() -> Arc<Self> {
        let sink = Self::default();
        sink.lock().full = true;
        Arc::new(sink)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes room.
    pub(super) fn open(&self) {
        let mut state = self.lock();
        state.full = false;
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        self.arrived.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// From now on nobody reads.
    pub(super) fn abandon(&self) {
        self.lock().abandoned = true;
        self.open();
    }

    /// Waits until `done` says so of the events so far; `false` when it does not within `most`.
    pub(super) fn wait(&self, most: Duration, done: impl Fn(&[ExecutionEvent]) -> bool) -> bool {
        let end = Instant::now() + most;
        let mut state = self.lock();
        while !done(&state.events) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.arrived.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// The events so far.
    pub(super) fn events(&self) -> Vec<ExecutionEvent> {
        self.lock().events.clone()
    }

    /// Bytes of output so far.
    pub(super) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    fn take(&self, mut state: MutexGuard<'_, State>, event: ExecutionEvent) -> bool {
        if state.abandoned {
            return false;
        }
        if let ExecutionEvent::Stdout { bytes } | ExecutionEvent::Stderr { bytes } = &event {
            state.bytes += bytes.len();
        }
        state.events.push(event);
        drop(state);
        self.arrived.notify_all();
        true
    }
}

impl ExecutionEventSink for Sink {
    fn push(&self, event: ExecutionEvent) -> bool {
        let mut state = self.lock();
        while state.full && !state.abandoned && !matches!(event, ExecutionEvent::Exited(_)) {
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        self.take(state, event)
    }

    fn try_push(&self, event: ExecutionEvent) -> Result<bool, Box<ExecutionEvent>> {
        let state = self.lock();
        if state.full && !state.abandoned { Err(Box::new(event)) } else { Ok(self.take(state, event)) }
    }

    fn wake_when_room(&self, waker: &Waker) {
        let mut state = self.lock();
        if state.full && !state.abandoned {
            state.wakers.push(waker.clone());
        } else {
            drop(state);
            waker.wake_by_ref();
        }
    }
}

/// The report among events.
pub(super) fn report(events: &[ExecutionEvent]) -> Option<&ExecutionReport> {
    events.iter().find_map(|event| match event {
        ExecutionEvent::Exited(report) => Some(&**report),
        _ => None,
    })
}

/// Everything on one stream.
pub(super) fn stdout(events: &[ExecutionEvent]) -> Vec<u8> {
    events
        .iter()
        .flat_map(|event| if let ExecutionEvent::Stdout { bytes } = event { bytes.as_slice() } else { &[] })
        .copied()
        .collect()
}

/// Everything on the other.
pub(super) fn stderr(events: &[ExecutionEvent]) -> Vec<u8> {
    events
        .iter()
        .flat_map(|event| if let ExecutionEvent::Stderr { bytes } = event { bytes.as_slice() } else { &[] })
        .copied()
        .collect()
}
