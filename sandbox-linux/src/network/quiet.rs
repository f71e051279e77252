//! A network of which nothing has been asked yet: its sockets are watched, and nothing else is there for it.

use super::Sockets;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// The sockets of a network that nobody serves yet. What is asked waits in them.
#[derive(Debug)]
pub(super) struct Quiet {
    watch: Epoll,
    sockets: Sockets,
}

impl Quiet {
    /// Watches `sockets`.
    ///
    /// # Errors
    /// Where there is no descriptor for that.
    pub(super) fn new(sockets: Sockets) -> io::Result<Self> {
        let watch = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        for socket in sockets.asked() {
            watch.add(socket, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
        }
        Ok(Self { watch, sockets })
    }

    /// Whether something was asked, or packets were seen: until they are filtered, those of the run's own loopback as well.
    pub(super) fn is_over(&self) -> bool {
        let mut events = [EpollEvent::empty()];
        // What cannot be told is looked at.
        self.watch.wait(&mut events, EpollTimeout::ZERO) != Ok(0)
    }

    /// What is to be served.
    pub(super) fn into_sockets(self) -> Sockets {
        self.sockets
    }
}

impl AsFd for Quiet {
    /// Readable once something was asked.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.watch.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::message::{self, socket};
    use crate::start::Message;
    use std::net::{TcpListener, TcpStream, UdpSocket};

    /// The sockets of a message that tells `value` of `descriptor`.
    fn quiet(value: u64, descriptor: impl Into<std::os::fd::OwnedFd>) -> Quiet {
        let (mut sockets, mut values) = (Sockets::default(), [0; message::VALUES]);
        values[0] = value;
        let descriptors = vec![descriptor.into()];
        sockets.take(Message { kind: message::SOCKETS, index: 0, code: 0, errno: 0, values, descriptors });
        Quiet::new(sockets).unwrap()
    }

    #[test]
    fn it_is_over_with_the_first_connection_or_question() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let own = quiet(socket::CONNECTIONS | u64::from(at.port()), listener);
        assert!(!own.is_over());
        let _stream = TcpStream::connect(at).unwrap();
        assert!(own.is_over());

        let names = UdpSocket::bind("127.0.0.1:0").unwrap();
        let at = names.local_addr().unwrap();
        let own = quiet(socket::DATAGRAMS | 53, names);
        assert!(!own.is_over());
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"?", at).unwrap();
        assert!(own.is_over());
    }
}
