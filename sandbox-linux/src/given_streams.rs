//! Sockets as standard streams. One of the network belongs to the host's, whatever network the run has: a program disconnects it
//! (connect(2), `AF_UNSPEC`), and connects or binds it elsewhere. Neither a namespace nor, for most kinds, Landlock stands in its way.
//! So what is given is a pipe, a file, a terminal, or a local connection that leads to one peer for as long as it lives (unix(7)).

use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::profile::{NetworkMode, NetworkProfile};
use nix::errno::Errno;
use nix::sys::socket::sockopt::SockType as Type;
use nix::sys::socket::{
    AddressFamily, SockType, SockaddrLike, SockaddrStorage, UnixAddr, getpeername, getsockname, getsockopt,
};
use std::os::fd::{AsRawFd, BorrowedFd};

/// As a person knows them, by their numbers.
const NAMES: [&str; 3] = ["standard input", "standard output", "standard error"];

/// Whether a run that the host's network is not open to may have `streams` as its own.
///
/// # Errors
/// `request_invalid` with the stream's name.
pub(crate) fn check(streams: [BorrowedFd<'_>; 3], network: &NetworkProfile) -> Result<(), BridgeError> {
    if network.mode == NetworkMode::Inherit {
        return Ok(());
    }
    match streams.into_iter().zip(NAMES).find(|(stream, _)| leads_out(*stream)) {
        None => Ok(()),
        Some((_, name)) => Err(refused(name)),
    }
}

/// Whether it is a socket that could be connected to something else. What cannot be found out counts as one.
fn leads_out(stream: BorrowedFd<'_>) -> bool {
    let kind = match getsockopt(&stream, Type) {
        Err(Errno::ENOTSOCK) => return false,
        other => other.ok(),
    };
    let own = getsockname::<SockaddrStorage>(stream.as_raw_fd()).ok();
    let is_local = own.and_then(|own| own.family()) == Some(AddressFamily::Unix);
    let has_peer = getpeername::<UnixAddr>(stream.as_raw_fd()).is_ok();
    !(is_local && has_peer && matches!(kind, Some(SockType::Stream | SockType::SeqPacket)))
}

fn refused(name: &str) -> BridgeError {
    let message = format!(
        "{name} is a socket that the program could connect elsewhere, past what its policy says of the network; give it a pipe (`cat | cofferdam run … | cat`), or open the host's network to it: network.mode = \"inherit\""
    );
    BridgeError::new(ErrorCode::RequestInvalid, message).with("stream", name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{SockFlag, socket, socketpair};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::{AsFd, OwnedFd};

    #[test]
    fn of_sockets_only_local_connections_are_handed_on() {
        let pair = |kind| socketpair(AddressFamily::Unix, kind, None, SockFlag::SOCK_CLOEXEC).unwrap();
        let [stream, packets, datagrams] = [SockType::Stream, SockType::SeqPacket, SockType::Datagram].map(pair);
        let (lone, peer) = pair(SockType::Stream);
        drop(peer);
        let single = |family, kind| socket(family, kind, SockFlag::SOCK_CLOEXEC, None).unwrap();
        let (listener, (read, _write)) = (TcpListener::bind("127.0.0.1:0").unwrap(), std::io::pipe().unwrap());
        let connected = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let given: [(OwnedFd, bool); 9] = [
            (read.into(), false),
            (stream.0, false),
            (packets.0, false),
            (lone, false),
            (datagrams.0, true),
            (single(AddressFamily::Unix, SockType::Stream), true),
            (single(AddressFamily::Inet6, SockType::Datagram), true),
            (connected.into(), true),
            (listener.into(), true),
        ];
        for (at, (stream, expected)) in given.iter().enumerate() {
            assert_eq!(leads_out(stream.as_fd()), *expected, "{at}");
        }
    }
}
