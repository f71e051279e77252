//! Taking connections, as many at once as there is room for.

use super::room::Room;
use super::worker::ended;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long is waited where there is no descriptor for another connection and none is there whose end would free one.
const NO_DESCRIPTOR: Duration = Duration::from_millis(50);

/// Serves each connection that `listener` gets, with its other end's address, until the run has ended, and then those that still wait.
pub async fn each<F>(
    listener: TcpListener,
    room: &Room,
    stop: watch::Receiver<bool>,
    serve: impl Fn(TcpStream, SocketAddr) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let seated = |stream, asker, seat| {
        let serving = serve(stream, asker);
        async move {
            serving.await;
            drop(seat);
        }
    };
    let seat = || {
        let room = room.clone();
        async move { room.take().await }
    };
    each_with(listener, stop, seat, seated).await;
}

/// The same, with what `place` gives each of them before it is served. Whoever gets none is let go.
pub(super) async fn each_with<P, T, F>(
    listener: TcpListener,
    mut stop: watch::Receiver<bool>,
    place: impl Fn() -> T,
    serve: impl Fn(TcpStream, SocketAddr, P) -> F,
) where
    T: Future<Output = Option<P>>,
    F: Future<Output = ()> + Send + 'static,
{
    let mut under_way = JoinSet::new();
    loop {
        let accepted = loop {
            tokio::select! {
                biased;
                accepted = listener.accept() => break accepted,
                Some(_) = under_way.join_next() => {}
                () = ended(&mut stop) => {
                    while under_way.join_next().await.is_some() {}
                    return;
                }
            }
        };
        match accepted {
            Ok((stream, asker)) => {
                // Only now: whoever waits for a connection takes no room from those that have one.
                let Some(place) = place().await else { continue };
                under_way.spawn(serve(stream, asker, place));
            }
            // No descriptor for it: those that are there must end first.
            Err(error) if is_short(&error) => {
                if under_way.join_next().await.is_none() {
                    tokio::time::sleep(NO_DESCRIPTOR).await;
                }
            }
            Err(_) => {}
        }
    }
}

fn is_short(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}
