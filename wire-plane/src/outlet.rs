//! What one execution sends, on its way to the kernel's queue.

use crate::pump::Work;
use cofferdam_bridge::event::{ExecutionEvent, ExecutionEventSink};
use cofferdam_bridge::execution::ExecutionRef;
use cofferdam_bridge::ids::ExecutionId;
use std::collections::VecDeque;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

/// Bytes of events that a plane may send ahead of the reader.
pub(crate) const WINDOW: u64 = 256 * 1024;

/// So much is read before more is granted.
const GRANT: u64 = WINDOW / 4;

/// The way of one execution's events. What does not fit the kernel's queue waits here, within the credit that the plane was given.
pub(crate) struct Outlet {
    execution: ExecutionRef,
    pump: Sender<Work>,
    state: Mutex<State>,
}

struct State {
    sink: Arc<dyn ExecutionEventSink>,
    waiting: VecDeque<(ExecutionEvent, u64)>,
    /// Cost of what was read and not granted again.
    read: u64,
    /// Nobody reads any more.
    abandoned: bool,
    ended: bool,
}

struct Room {
    id: ExecutionId,
    pump: Sender<Work>,
}

impl Wake for Room {
    fn wake(self: Arc<Self>) {
        // A pump that has ended has nothing to carry.
        let _ = self.pump.send(Work::Drain(self.id.clone()));
    }
}

impl Outlet {
    pub(crate) fn new(execution: ExecutionRef, sink: Arc<dyn ExecutionEventSink>, pump: Sender<Work>) -> Self {
        let state = State { sink, waiting: VecDeque::new(), read: 0, abandoned: false, ended: false };
        Self { execution, pump, state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands over an event without ever waiting.
    pub(crate) fn deliver(&self, event: ExecutionEvent, cost: u64) {
        let mut state = self.lock();
        state.waiting.push_back((event, cost));
        self.carry(&mut state);
    }

    /// Hands over what waits, as far as there is room now. Answers whether the last event was handed over.
    pub(crate) fn drain(&self) -> bool {
        let mut state = self.lock();
        self.carry(&mut state);
        state.ended
    }

    /// What was read since this was asked.
    pub(crate) fn take_read(&self) -> u64 {
        std::mem::take(&mut self.lock().read)
    }

    fn carry(&self, state: &mut State) {
        let before = state.read;
        while let Some((event, cost)) = state.waiting.pop_front() {
            let last = matches!(event, ExecutionEvent::Exited(_));
            match if state.abandoned { Ok(false) } else { state.sink.try_push(event) } {
                Ok(true) => {}
                Ok(false) if state.abandoned => {}
                Ok(false) => {
                    state.abandoned = true;
                    let _ = self.pump.send(Work::Stop(self.execution.clone()));
                }
                Err(event) => {
                    state.waiting.push_front((*event, cost));
                    let room = Room { id: self.execution.execution_id.clone(), pump: self.pump.clone() };
                    state.sink.wake_when_room(&Waker::from(Arc::new(room)));
                    break;
                }
            }
            state.read += cost;
            state.ended |= last;
        }
        if before < GRANT && state.read >= GRANT {
            let _ = self.pump.send(Work::Grant(self.execution.execution_id.clone()));
        }
    }
}
