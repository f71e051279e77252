//! Datagrams of a port that rules name: from the run to the flows that carry them, and back.

use super::asker::{Askers, Protocol};
use super::datagrams::Datagrams;
use super::unreachable::Refusals;
use cofferdam_plane_kit::network::datagrams::{Ends, Inside, Relay, Table};
use cofferdam_plane_kit::network::gate::Gate;
use cofferdam_plane_kit::network::room::Room;
use cofferdam_plane_kit::network::worker::ended;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use tokio::sync::watch;

/// Longest datagram.
const LONGEST: usize = 65_535;

/// The run's side of one port.
struct Port {
    socket: Datagrams,
    refusals: Arc<Refusals>,
    askers: Askers,
}

impl Inside for Port {
    fn answer(&self, ends: &Ends, bytes: &[u8]) {
        self.socket.send(ends.to, ends.from, bytes);
    }

    fn refuse(&self, ends: &Ends) {
        self.refusals.refuse(ends.from, ends.to);
    }

    fn program(&self, from: SocketAddr) -> Option<String> {
        self.askers.program(Protocol::Udp, from)
    }
}

/// What the ports of one network share.
#[derive(Clone)]
pub(super) struct Carried {
    pub(super) gate: Arc<Gate>,
    pub(super) askers: Askers,
    pub(super) refusals: Arc<Refusals>,
    pub(super) table: Table,
    pub(super) room: Room,
}

impl Carried {
    /// Serves `port`, on which `socket` is, until the run has ended and what it sent last is handed on.
    pub(super) async fn serve(self, (port, socket): (u16, OwnedFd), mut stop: watch::Receiver<bool>) -> io::Result<()> {
        let Self { gate, askers, refusals, table, room } = self;
        let inside = Arc::new(Port { socket: Datagrams::new(socket, LONGEST)?, refusals, askers });
        let mut relay = Relay::new(gate, inside.clone(), table, room);
        loop {
            let datagram = tokio::select! {
                biased;
                datagram = inside.socket.receive() => datagram,
                () = ended(&mut stop) => break,
            };
            let Ok(datagram) = datagram else { continue };
            if let (Some(from), Some(to)) = (datagram.asker(), datagram.dialled(port)) {
                relay.take(Ends::new(from, to), datagram.bytes).await;
            }
        }
        relay.end().await;
        Ok(())
    }
}
