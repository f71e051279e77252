//! The events of one execution on their way out, within its credit.

use super::server::Server;
use cofferdam_bridge::event::{ExecutionEvent, ExecutionEventSink};
use cofferdam_bridge::ids::ExecutionId;
use cofferdam_contract::wire::method::MOST_CHUNK;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;

/// Bytes that may wait for credit before a plane has to wait itself.
const MOST_WAITING: usize = 256 * 1024;

/// Where the plane puts an execution's events.
pub(crate) struct Outgoing {
    id: ExecutionId,
    server: Weak<Server>,
    state: Mutex<State>,
    room: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<ExecutionEvent>,
    bytes: usize,
    wakers: Vec<Waker>,
    closed: bool,
}

impl Outgoing {
    pub(crate) fn new(id: ExecutionId, server: Weak<Server>) -> Arc<Self> {
        Arc::new(Self { id, server, state: Mutex::default(), room: Condvar::new() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what there is credit for.
    pub(crate) fn flush(&self) {
        let mut state = self.lock();
        self.send(&mut state);
        self.made_room(state);
    }

    /// Nobody listens any more.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.waiting.clear();
        state.bytes = 0;
        self.made_room(state);
    }

    fn made_room(&self, mut state: MutexGuard<'_, State>) {
        if has_room(&state) {
            let wakers = std::mem::take(&mut state.wakers);
            drop(state);
            self.room.notify_all();
            wakers.into_iter().for_each(Waker::wake);
        }
    }

    fn put(&self, mut state: MutexGuard<'_, State>, event: ExecutionEvent) -> bool {
        if state.closed {
            return false;
        }
        state.bytes += size(&event);
        for part in parts(event) {
            state.waiting.push_back(part);
        }
        self.send(&mut state);
        true
    }

    fn send(&self, state: &mut State) {
        let Some(server) = self.server.upgrade() else {
            state.closed = true;
            return;
        };
        while let Some(event) = state.waiting.pop_front() {
            let bytes = size(&event);
            match server.send_event(&self.id, event) {
                Ok(()) => state.bytes = state.bytes.saturating_sub(bytes),
                Err(event) => {
                    state.waiting.push_front(*event);
                    return;
                }
            }
        }
    }
}

impl ExecutionEventSink for Outgoing {
    fn push(&self, event: ExecutionEvent) -> bool {
        let mut state = self.lock();
        while !has_room(&state) && !matches!(event, ExecutionEvent::Exited(_)) {
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        self.put(state, event)
    }

    fn try_push(&self, event: ExecutionEvent) -> Result<bool, Box<ExecutionEvent>> {
        let state = self.lock();
        let last = matches!(event, ExecutionEvent::Exited(_));
        if has_room(&state) || last { Ok(self.put(state, event)) } else { Err(Box::new(event)) }
    }

    fn wake_when_room(&self, waker: &Waker) {
        let mut state = self.lock();
        if has_room(&state) {
            drop(state);
            waker.wake_by_ref();
        } else {
            state.wakers.push(waker.clone());
        }
    }
}

fn has_room(state: &State) -> bool {
    state.closed || state.bytes < MOST_WAITING
}

fn size(event: &ExecutionEvent) -> usize {
    match event {
        ExecutionEvent::Stdout { bytes } | ExecutionEvent::Stderr { bytes } => bytes.len(),
        _ => 256,
    }
}

/// Output in pieces that one event may carry.
fn parts(event: ExecutionEvent) -> Vec<ExecutionEvent> {
    let cut = |bytes: Vec<u8>, make: fn(Vec<u8>) -> ExecutionEvent| {
        if bytes.len() <= MOST_CHUNK {
            return vec![make(bytes)];
        }
        bytes.chunks(MOST_CHUNK).map(|chunk| make(chunk.to_vec())).collect()
    };
    match event {
        ExecutionEvent::Stdout { bytes } => cut(bytes, |bytes| ExecutionEvent::Stdout { bytes }),
        ExecutionEvent::Stderr { bytes } => cut(bytes, |bytes| ExecutionEvent::Stderr { bytes }),
        other => vec![other],
    }
}
