//! The thread that does what the reader of a connection must not wait for: it carries events that found no room, grants credit, and
//! asks from time to time whether the plane is still there.

use crate::connection::Connection;
use cofferdam_bridge::execution::ExecutionRef;
use cofferdam_bridge::ids::ExecutionId;
use std::sync::Weak;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// How long nothing may be asked of a plane that has something to do before it is asked whether it is there.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Something for the pump.
#[derive(Debug)]
pub(crate) enum Work {
    /// There may be room for the events of this execution.
    Drain(ExecutionId),
    /// This execution's events were read.
    Grant(ExecutionId),
    /// Nobody reads this execution's events any more.
    Stop(ExecutionRef),
    /// The connection is over.
    Over,
}

/// Works until the connection is over and every event of it was handed over or is wanted by nobody.
pub(crate) fn run(connection: &Weak<Connection>, work: &Receiver<Work>) {
    let mut over = false;
    let mut next = Instant::now() + HEARTBEAT;
    loop {
        let left = next.saturating_duration_since(Instant::now());
        let got = work.recv_timeout(left);
        let Some(connection) = connection.upgrade() else { return };
        match got {
            Ok(Work::Drain(id)) => connection.drain(&id),
            Ok(Work::Grant(id)) => connection.grant(&id),
            Ok(Work::Stop(execution)) => connection.stop(&execution),
            Ok(Work::Over) => over = true,
            Err(RecvTimeoutError::Timeout) => {
                next = Instant::now() + HEARTBEAT;
                connection.beat();
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if over && connection.is_drained() {
            return;
        }
    }
}
