//! How a connection ends: in order, or by a fault.

use crate::connection::{Connection, PATIENCE, lock};
use crate::pump::Work;
use cofferdam_bridge::enforcement::{Enforcement, Tier};
use cofferdam_bridge::event::{ExecutionEvent, ExecutionReport};
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_bridge::usage::Usage;
use cofferdam_contract::wire::fault::WireFault;
use std::net::Shutdown;
use std::sync::PoisonError;
use std::time::Duration;

/// What a plane has to end in order when it is not wanted any more.
const LAST_WORDS: Duration = Duration::from_secs(2);

impl Connection {
    /// Lets the plane end in order, then ends it, and waits until that is so.
    pub(crate) fn close(&self) {
        lock(&self.state).closing = true;
        let _ = self.socket.shutdown(Shutdown::Write);
        self.call_thread();
        let state = lock(&self.state);
        let waited = self.over.wait_timeout_while(state, LAST_WORDS, |state| !state.over);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let done = state.over;
        drop(state);
        if !done {
            self.fail(WireFault::Disconnected);
            let state = lock(&self.state);
            let _ = self.over.wait_timeout_while(state, PATIENCE, |state| !state.over);
        }
    }

    /// The connection is over. The reader sees it and does the rest.
    pub(crate) fn fail(&self, fault: WireFault) {
        lock(&self.state).fault.get_or_insert(fault);
        let _ = self.socket.shutdown(Shutdown::Both);
        self.call_thread();
    }

    /// Ends the process first, so that an execution is told to have ended when nothing of it is left.
    pub(crate) fn finish(&self) {
        let _ = self.socket.shutdown(Shutdown::Both);
        let mut state = lock(&self.state);
        let cut_off = state.session.end();
        let error = self.fault_of(&state);
        state.waiting.clear();
        drop(state);
        if let Some(process) = &self.process {
            process.end();
        }
        for id in cut_off {
            let outlet = lock(&self.state).outlets.get(&id).cloned();
            if let Some(outlet) = outlet {
                let cause = ExitCause::PlaneFault { error: error.clone() };
                // What held is not known, so nothing is claimed.
                let report = ExecutionReport::new(cause, Usage::default(), Enforcement::new(Tier::None));
                outlet.deliver(ExecutionEvent::Exited(Box::new(report)), 0);
                self.drain(&id);
            }
        }
        lock(&self.state).over = true;
        self.over.notify_all();
        let _ = self.pump.send(Work::Over);
    }
}
