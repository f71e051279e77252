//! Takes the connections of a run to its proxy, and tells by their first byte what they speak.

use super::super::accept;
use super::super::carry::{reset, write_all};
use super::super::gate::{Gate, canonical};
use super::super::room::{Room, Seat};
use super::anteroom::{Anteroom, Place};
use super::credential::Credential;
use super::{Asker, http_proxy, socks_message, socks_proxy};
use nix::sys::socket::{Shutdown, shutdown};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

/// How long it may take to say what is wanted.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// How long what a run still sends is taken and thrown away after it was refused, so that it can read why.
const LINGER: Duration = Duration::from_secs(1);
/// As much of it as is taken at most, in bytes.
const MOST_THROWN_AWAY: usize = 1 << 20;

/// What each connection needs.
#[derive(Clone)]
pub(super) struct Serving {
    pub(super) gate: Arc<Gate>,
    pub(super) asker: Arc<dyn Asker>,
    pub(super) credential: Arc<Credential>,
    pub(super) room: Room,
    pub(super) stop: watch::Receiver<bool>,
}

impl Serving {
    /// Serves until the run has ended and all that it sent has been handed on.
    ///
    /// Until a connection has shown that it is the run's own it has a place in `anteroom`, and none of the run's.
    pub(super) async fn all(self, listener: TcpListener, anteroom: Anteroom) {
        let stop = self.stop.clone();
        let enter = || {
            let (anteroom, mut stop) = (anteroom.clone(), stop.clone());
            async move { anteroom.enter(&mut stop).await }
        };
        let serve = |stream, peer, place| self.clone().connection(stream, canonical(peer), place);
        accept::each_with(listener, stop.clone(), enter, serve).await;
    }

    async fn connection(self, stream: TcpStream, peer: SocketAddr, mut place: Place) {
        let _ = stream.set_nodelay(true);
        let mut first = [0];
        match place.until(stream.peek(&mut first)).await {
            Ok(Ok(1)) if first == [socks_message::VERSION] => socks_proxy::serve(self, stream, peer, place).await,
            Ok(Ok(1)) => http_proxy::serve(self, stream, peer, place).await,
            _ => reset(stream),
        }
    }

    /// A seat for a connection that has shown that it is the run's own: its place is another's from then on.
    pub(super) async fn seat(&self, mut place: Place) -> Option<Seat> {
        place.known();
        self.room.take().await
    }

    /// Says `words` and ends the connection so that they arrive: what is still on the way from the run would break it.
    pub(super) async fn last_words(&self, stream: TcpStream, words: &[u8]) {
        if write_all(&stream, words).await.is_err() || shutdown(stream.as_raw_fd(), Shutdown::Write).is_err() {
            return reset(stream);
        }
        let _ = timeout(LINGER, async {
            let (mut buffer, mut left) = (vec![0; 16 << 10], MOST_THROWN_AWAY);
            while left > 0 && stream.readable().await.is_ok() {
                match stream.try_read(&mut buffer) {
                    Ok(0) => return,
                    Ok(count) => left = left.saturating_sub(count),
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    Err(_) => return,
                }
            }
        })
        .await;
    }
}
