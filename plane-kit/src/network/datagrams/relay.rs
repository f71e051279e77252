//! What arrives at one port inside, to the flows that it belongs to.

use super::flow::Flow;
use super::table::{Ends, Table};
use crate::network::gate::Gate;
use crate::network::room::{Room, Seat};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::{JoinSet, yield_now};

/// As many datagrams of one flow as wait to be sent.
const QUEUE: usize = 256;

/// The run's side of a port.
pub trait Inside: Send + Sync + 'static {
    /// Hands `bytes` to the run's socket, as coming from where it sent to. Never waits.
    fn answer(&self, ends: &Ends, bytes: &[u8]);
    /// Tells the run's socket that nobody is there, as the host would (ICMP, port unreachable). Never waits.
    fn refuse(&self, ends: &Ends);
    /// The program that has the socket, where it can be found out.
    fn program(&self, from: SocketAddr) -> Option<String>;
}

/// One port's datagrams.
pub struct Relay {
    gate: Arc<Gate>,
    inside: Arc<dyn Inside>,
    table: Table,
    room: Room,
    under_way: JoinSet<()>,
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("table", &self.table).finish_non_exhaustive()
    }
}

impl Relay {
    /// Carries what `gate` allows between `inside` and hosts. `table` and `room` are the network's.
    pub fn new(gate: Arc<Gate>, inside: Arc<dyn Inside>, table: Table, room: Room) -> Self {
        Self { gate, inside, table, room, under_way: JoinSet::new() }
    }

    /// Takes a datagram of the run: to its flow, to a new one where a rule allows it, or refused.
    pub async fn take(&mut self, ends: Ends, bytes: Vec<u8>) {
        while self.under_way.try_join_next().is_some() {}
        let Some(waiting) = self.table.waiting(bytes) else { return };
        let Some(waiting) = self.table.hand(&ends, waiting) else { return };
        let target = self.gate.target(ends.to);
        if !self.gate.carries(&target, || self.inside.program(ends.from)) {
            self.gate.datagram_meter(&target).failed();
            return self.inside.refuse(&ends);
        }
        let Some(seat) = self.seat().await else { return };
        let (queue, queued) = mpsc::channel(QUEUE);
        // There is room for the first.
        let _ = queue.try_send(waiting);
        let (gate, inside) = (self.gate.clone(), self.inside.clone());
        let flow = Flow { gate, inside, target, ends, queued, seat };
        let task = self.under_way.spawn(flow.carry());
        self.table.enter(ends, queue, task);
    }

    /// A place for one more flow. Flows of this network alone give way to it.
    async fn seat(&self) -> Option<Seat> {
        if self.table.make_room() {
            // What was ended lets go of its socket.
            yield_now().await;
        }
        if let Some(seat) = self.room.try_take() {
            return Some(seat);
        }
        if !self.table.end_one() {
            return None;
        }
        yield_now().await;
        self.room.try_take()
    }

    /// Lets what waits be sent, and ends.
    pub async fn end(mut self) {
        self.table.end();
        while self.under_way.join_next().await.is_some() {}
    }
}
