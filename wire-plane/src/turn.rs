//! Whose turn it is to read a connection.
//!
//! Usually a thread reads, which never writes or waits, so that a plane which waits for us to read never waits for long. Handing an
//! answer over to whoever called costs as much as the answer's whole way through the socket, though. So while nothing but one call's
//! answer can come, whoever called reads it without that thread, and the thread stays out of the way until calls no longer
//! follow one another, or something else can come.

use crate::connection::{Answer, Connection, State, lock};
use crate::remote::{Heard, Key};
use cofferdam_bridge::event::ExecutionEvent;
use cofferdam_contract::wire::data::Data;
use cofferdam_contract::wire::fault::WireFault;
use cofferdam_contract::wire::kernel_session::FromPlane;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// How long the thread stays away after the last answer that a caller read: the longest that an end which nobody waits for goes unseen.
const PAUSE: Duration = Duration::from_millis(10);

/// Who reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The thread whose work it is.
    Thread,
    /// Somebody who waits for an answer.
    Caller,
    /// Nobody: the thread is away until somebody wants it, or its pause is over.
    Nobody,
}

impl State {
    /// Whether something can come that no caller is about to read.
    fn wants_thread(&self) -> bool {
        self.closing || self.fault.is_some() || self.session.executions() > 0 || !self.waiting.is_empty()
    }
}

impl Connection {
    /// The thread's work: reads whenever nobody else does, until the connection is over, and ends it then.
    pub(crate) fn read_on(self: Arc<Self>) {
        let fault = loop {
            // A caller has the inbox while it is its turn, and no longer.
            let read = lock(&self.inbox).next(false);
            match read.and_then(|data| data.map_or(Ok(false), |data| self.take(data))) {
                Ok(false) => {}
                Ok(true) => {
                    if let Some(fault) = self.stay_away() {
                        break fault;
                    }
                }
                Err(fault) => break fault,
            }
        };
        lock(&self.state).fault.get_or_insert(fault);
        self.finish();
    }

    /// After an answer: waits until it is the thread's turn, which it is when it is wanted or no calls follow. Answers the fault that
    /// somebody met meanwhile.
    fn stay_away(&self) -> Option<WireFault> {
        let mut state = lock(&self.state);
        let mut before = None;
        loop {
            let idle = before == Some(state.read_by_callers);
            if state.turn == Turn::Nobody && (idle || state.wants_thread()) {
                state.turn = Turn::Thread;
            }
            if state.turn == Turn::Thread {
                return state.fault;
            }
            before = Some(state.read_by_callers);
            let waited = self.wanted.wait_timeout(state, PAUSE);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Has the thread read, where nobody does and something can come.
    pub(crate) fn call_thread(&self) {
        let state = lock(&self.state);
        if state.turn == Turn::Nobody && state.wants_thread() {
            self.wanted.notify_one();
        }
    }

    /// The answer to a call that was sent.
    pub(crate) fn await_answer(
        &self,
        answer: &Receiver<Answer>,
        patience: Option<Duration>,
    ) -> Result<Answer, RecvTimeoutError> {
        let end = patience.and_then(|patience| Instant::now().checked_add(patience));
        if self.claim() {
            return self.read_until(answer, end);
        }
        match end {
            Some(end) => answer.recv_timeout(end.saturating_duration_since(Instant::now())),
            None => answer.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    /// Takes the turn, where nothing but one answer is waited for and nobody reads; where nobody does and more can come, the thread is
    /// called. What was asked is on its way already: nobody who reads ever waits for being able to write.
    fn claim(&self) -> bool {
        let mut state = lock(&self.state);
        if state.turn != Turn::Nobody {
            return false;
        }
        let alone = state.fault.is_none() && state.session.executions() == 0 && state.waiting.len() == 1;
        if alone {
            state.turn = Turn::Caller;
        } else if state.wants_thread() {
            self.wanted.notify_one();
        }
        alone
    }

    fn read_until(&self, answer: &Receiver<Answer>, end: Option<Instant>) -> Result<Answer, RecvTimeoutError> {
        let mut inbox = lock(&self.inbox);
        let (outcome, fault) = loop {
            match inbox.next(true).and_then(|data| data.map_or(Ok(false), |data| self.take(data))) {
                Err(fault) => break (Err(RecvTimeoutError::Disconnected), Some(fault)),
                Ok(_) => match answer.try_recv() {
                    Ok(answer) => break (Ok(answer), None),
                    Err(TryRecvError::Disconnected) => break (Err(RecvTimeoutError::Disconnected), None),
                    Err(TryRecvError::Empty) if end.is_some_and(|end| Instant::now() >= end) => {
                        break (Err(RecvTimeoutError::Timeout), None);
                    }
                    Err(TryRecvError::Empty) => {}
                },
            }
        };
        drop(inbox);
        if let Some(fault) = fault {
            self.fail(fault);
        }
        let mut state = lock(&self.state);
        state.turn = Turn::Nobody;
        state.read_by_callers = state.read_by_callers.wrapping_add(1);
        if state.wants_thread() {
            self.wanted.notify_one();
        }
        outcome
    }

    /// Takes one message; answers whether it was the reply to a call.
    fn take(&self, data: Data) -> Result<bool, WireFault> {
        let mut state = lock(&self.state);
        match state.session.receive(data)? {
            FromPlane::Reply { id, outcome } => {
                if state.ping.is_some_and(|(ping, _)| ping == id) {
                    state.ping = None;
                }
                let waiting = state.waiting.remove(&id);
                if state.turn == Turn::Thread && !state.wants_thread() {
                    // Before whoever called can call again.
                    state.turn = Turn::Nobody;
                }
                drop(state);
                if let Some(waiting) = waiting {
                    // Who gave up in this moment does not hear it.
                    let _ = waiting.send(outcome);
                }
                return Ok(true);
            }
            FromPlane::Event { execution_id, event, cost } => {
                let outlet = state.outlets.get(&execution_id).cloned();
                drop(state);
                if let Some(outlet) = outlet {
                    let last = matches!(event, ExecutionEvent::Exited(_));
                    outlet.deliver(event, cost);
                    if last {
                        self.drain(&execution_id);
                    }
                }
            }
            FromPlane::FileChanged(params) => {
                drop(state);
                self.listeners.file_changed(params)?;
            }
            FromPlane::TimerFired { vm_id, timer_id } => {
                drop(state);
                self.listeners.tell(Key::Timer(vm_id, timer_id), Heard::Fired);
            }
            _ => {}
        }
        Ok(false)
    }
}
