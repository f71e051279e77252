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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::datagrams::table::Table;
    use std::net::Ipv4Addr;
    use tokio::time::{Instant, advance, pause};

    struct Nobody;

    impl Inside for Nobody {
        fn answer(&self, _: &Ends, _: &[u8]) {}
        fn refuse(&self, _: &Ends) {}
        fn program(&self, _: SocketAddr) -> Option<String> {
            None
        }
    }

    /// A flow to a socket that never answers, the way to it, and that socket.
    async fn begun() -> (tokio::task::JoinHandle<()>, mpsc::Sender<Waiting>, UdpSocket) {
        let peer = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let outer = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let to = peer.local_addr().unwrap();
        outer.connect(to).await.unwrap();
        let (queue, queued) = mpsc::channel(4);
        let flow = tokio::spawn(async move {
            let ends = Ends::new((Ipv4Addr::LOCALHOST, 1).into(), to);
            both_ways(&outer, to, queued, (&Nobody, &ends, &Meter::default())).await.unwrap();
        });
        (flow, queue, peer)
    }

    #[tokio::test]
    async fn net_02_a_flow_on_which_nothing_moves_ends_after_its_time_and_not_before() {
        let (flow, queue, _peer) = begun().await;
        pause();
        let before = Instant::now();
        flow.await.unwrap();
        let lasted = before.elapsed();
        assert!(lasted >= IDLE && lasted < IDLE * 2, "{lasted:?}");
        assert!(queue.is_closed(), "nothing more is taken for it: the next datagram begins it anew");
    }

    #[tokio::test]
    async fn net_02_what_moves_begins_the_time_anew() {
        let (flow, queue, peer) = begun().await;
        let table = Table::new(1);
        let mut buffer = [0; 9];
        pause();
        let before = Instant::now();
        for _ in 0..3 {
            advance(IDLE * 3 / 4).await;
            assert!(queue.try_send(table.waiting(b"moves".to_vec()).unwrap()).is_ok(), "it has ended");
            // The socket of the other end is the kernel's, whose time does not stand still: its turn is waited for by asking.
            while peer.try_recv(&mut buffer).is_err() {
                tokio::task::yield_now().await;
            }
        }
        flow.await.unwrap();
        assert!(before.elapsed() >= IDLE * 3 / 4 * 3 + IDLE, "{:?}", before.elapsed());
    }
}
