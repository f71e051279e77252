//! Connecting to one of several addresses, without waiting long for those that do not answer (RFC 8305).

use super::unpaced::unpaced;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// How long one address is tried alone before the next is tried beside it (RFC 8305, 5).
const HEAD_START: Duration = Duration::from_millis(250);
/// How long all of it may take.
const LONGEST: Duration = Duration::from_secs(60);
/// As many addresses as are tried.
const MOST_ADDRESSES: usize = 16;

/// Why there is no connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum NotDialled {
    /// The policy is against what the name leads to.
    Refused,
    /// The name leads nowhere now.
    Unresolved,
    /// Nobody answered.
    Failed(io::Error),
}

/// Connects to the first of `addresses` that answers. The families take turns, the first one's first.
pub(super) async fn first_of(addresses: Vec<SocketAddr>) -> Result<TcpStream, NotDialled> {
    timeout(LONGEST, race(in_turns(addresses)))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(NotDialled::Failed)
}

async fn race(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut waiting = addresses.into_iter().take(MOST_ADDRESSES);
    let mut under_way = JoinSet::new();
    let mut last: io::Error = io::ErrorKind::AddrNotAvailable.into();
    let begin = |under_way: &mut JoinSet<io::Result<TcpStream>>, address| {
        under_way.spawn(connect(address));
    };
    match waiting.next() {
        Some(address) => begin(&mut under_way, address),
        None => return Err(last),
    }
    let mut all_tried = false;
    loop {
        tokio::select! {
            ended = under_way.join_next() => match ended {
                Some(Ok(Ok(stream))) => return Ok(stream),
                Some(Ok(Err(error))) => last = error,
                Some(Err(_)) => {}
                None => return Err(last),
            },
            () = sleep(HEAD_START), if !all_tried => {}
        }
        match waiting.next() {
            Some(address) => begin(&mut under_way, address),
            None => all_tried = true,
        }
    }
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    unpaced(&socket, address.ip());
    socket.connect(address).await
}

fn in_turns(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_six = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first_is_six);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut turns = Vec::new();
    loop {
        let (one, other) = (first.next(), second.next());
        if one.is_none() && other.is_none() {
            return turns;
        }
        turns.extend(one.into_iter().chain(other));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns() {
        let turns = in_turns(addresses(&["[::1]:1", "[::2]:1", "1.1.1.1:1", "[::3]:1"]));
        assert_eq!(turns, addresses(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"]));
    }

    #[tokio::test]
    async fn an_address_that_refuses_gives_way_at_once() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let closed = {
            let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            other.local_addr().unwrap()
        };
        let stream = first_of(vec![closed, listener.local_addr().unwrap()]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), listener.local_addr().unwrap());
        assert!(matches!(first_of(vec![closed]).await, Err(NotDialled::Failed(_))));
        assert!(first_of(Vec::new()).await.is_err());
    }
}
