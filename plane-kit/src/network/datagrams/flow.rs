//! One flow: resolved and connected once, then datagrams both ways until nothing has moved for a while.

use super::relay::Inside;
use super::table::{Ends, Waiting};
use crate::network::gate::{Gate, Target};
use crate::network::room::Seat;
use crate::network::traffic::Meter;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::sleep;

/// A flow on which nothing has moved for so long is let go: the least that RFC 4787 (REQ-5) asks of whoever stands between.
const IDLE: Duration = Duration::from_secs(120);
/// The longest datagram.
const LONGEST: usize = 65_535;

/// What a flow needs.
pub(super) struct Flow {
    pub(super) gate: Arc<Gate>,
    pub(super) inside: Arc<dyn Inside>,
    pub(super) target: Target,
    pub(super) ends: Ends,
    pub(super) queued: mpsc::Receiver<Waiting>,
    pub(super) seat: Seat,
}

impl Flow {
    /// Carries it to its end: nothing moved for long, or nobody hands it anything any more and what waited is sent.
    pub(super) async fn carry(self) {
        let Self { gate, inside, target, ends, queued, seat } = self;
        let meter = gate.datagram_meter(&target);
        let program = || inside.program(ends.from);
        let Ok((outer, peer)) = gate.reach(&target, ends.to.is_ipv6(), program).await else {
            meter.failed();
            return inside.refuse(&ends);
        };
        meter.connected();
        // An error ends it; the next datagram begins it anew.
        let _ = both_ways(&outer, peer, queued, (inside.as_ref(), &ends, &meter)).await;
        drop(seat);
    }
}

async fn both_ways(
    outer: &UdpSocket,
    peer: SocketAddr,
    mut queued: mpsc::Receiver<Waiting>,
    (inside, ends, meter): (&dyn Inside, &Ends, &Meter),
) -> io::Result<()> {
    let mut buffer = vec![0; LONGEST];
    loop {
        tokio::select! {
            waiting = queued.recv() => {
                let Some(waiting) = waiting else { return Ok(()) };
                match outer.send(&waiting.bytes).await {
                    Ok(sent) => meter.sent(sent),
                    Err(error) if refused(&error) => inside.refuse(ends),
                    // Too long for the way, or no room on it: lost.
                    Err(_) => {}
                }
            }
            received = outer.recv_from(&mut buffer) => match received {
                // What came before the socket was connected may be anybody's.
                Ok((length, from)) if from == peer => {
                    inside.answer(ends, buffer.get(..length).unwrap_or_default());
                    meter.received(length);
                }
                Ok(_) => {}
                Err(error) if refused(&error) => inside.refuse(ends),
                Err(error) => return Err(error),
            },
            () = sleep(IDLE) => return Ok(()),
        }
    }
}

/// Whether an error is the host's, or the network's, word that nobody is there (udp(7)).
fn refused(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable
    )
}
