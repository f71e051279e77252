//! Datagrams of a run, questions about names among them, to whichever address it likes: the answer must come from there.

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg};
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, OwnedFd};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// The socket on a port.
#[derive(Debug)]
pub(super) struct Datagrams {
    socket: UdpSocket,
    longest: usize,
    is_six: bool,
}

/// Where an answer comes from: as the kernel told it with the question.
#[derive(Clone, Copy, Debug)]
enum Dialled {
    Four(libc::in_pktinfo),
    Six(libc::in6_pktinfo),
}

/// A question and the way back.
#[derive(Debug)]
pub(super) struct Datagram {
    pub(super) bytes: Vec<u8>,
    from: SockaddrStorage,
    dialled: Option<Dialled>,
}

impl Datagram {
    /// Who asks.
    pub(super) fn asker(&self) -> Option<SocketAddr> {
        let four = self.from.as_sockaddr_in().map(|address| SocketAddr::V4(SocketAddrV4::from(*address)));
        four.or_else(|| self.from.as_sockaddr_in6().map(|address| SocketAddr::V6(SocketAddrV6::from(*address))))
    }

    /// Where it was sent to, by a socket on `port`.
    pub(super) fn dialled(&self, port: u16) -> Option<SocketAddr> {
        let address: IpAddr = match self.dialled? {
            Dialled::Four(info) => Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr)).into(),
            Dialled::Six(info) => Ipv6Addr::from(info.ipi6_addr.s6_addr).into(),
        };
        Some(SocketAddr::new(address, port))
    }
}

impl Datagrams {
    /// Takes the socket over, which does not block. What is longer than `longest` bytes is cut.
    pub(super) fn new(socket: OwnedFd, longest: usize) -> io::Result<Self> {
        let socket = UdpSocket::from_std(socket.into())?;
        let is_six = socket.local_addr()?.is_ipv6();
        Ok(Self { socket, longest, is_six })
    }

    /// The next one.
    pub(super) async fn receive(&self) -> io::Result<Datagram> {
        self.socket.async_io(Interest::READABLE, || receive(&self.socket, self.longest)).await
    }

    /// Sends `bytes` as coming from the address of `from`, on the socket's own port. What there is no room for is lost.
    pub(super) fn send(&self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let mapped = |ip: IpAddr| match ip {
            IpAddr::V4(four) if self.is_six => IpAddr::V6(four.to_ipv6_mapped()),
            other => other,
        };
        let address = SockaddrStorage::from(SocketAddr::new(mapped(to.ip()), to.port()));
        let (vector, flags) = ([IoSlice::new(bytes)], MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL);
        from_address(mapped(from.ip()), |control| {
            let _ = sendmsg(self.socket.as_raw_fd(), &vector, control, flags, Some(&address));
        });
    }

    /// Answers. What the asker has no room for is lost, as datagrams are.
    pub(super) fn answer(&self, to: &Datagram, bytes: &[u8]) {
        let vector = [IoSlice::new(bytes)];
        let from = to.dialled.as_ref().map(|dialled| match dialled {
            Dialled::Four(info) => ControlMessage::Ipv4PacketInfo(info),
            Dialled::Six(info) => ControlMessage::Ipv6PacketInfo(info),
        });
        let control: Vec<ControlMessage<'_>> = from.into_iter().collect();
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        let _ = sendmsg(self.socket.as_raw_fd(), &vector, &control, flags, Some(&to.from));
    }
}

/// What tells the kernel by which address to send, for `send`. The interface is left to it: every address is loopback's.
pub(super) fn from_address(address: IpAddr, send: impl FnOnce(&[ControlMessage<'_>])) {
    match address {
        IpAddr::V4(four) => {
            let own = libc::in_addr { s_addr: u32::from(four).to_be() };
            send(&[ControlMessage::Ipv4PacketInfo(&libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: own,
                ipi_addr: own,
            })]);
        }
        IpAddr::V6(six) => {
            let ipi6_addr = libc::in6_addr { s6_addr: six.octets() };
            send(&[ControlMessage::Ipv6PacketInfo(&libc::in6_pktinfo { ipi6_addr, ipi6_ifindex: 0 })]);
        }
    }
}

fn receive(socket: &UdpSocket, longest: usize) -> io::Result<Datagram> {
    let mut bytes = vec![0; longest];
    let mut space = nix::cmsg_space!(libc::in_pktinfo, libc::in6_pktinfo);
    let (length, from, dialled) = {
        let mut vector = [IoSliceMut::new(&mut bytes)];
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
        let received = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut vector, Some(&mut space), flags)?;
        let mut dialled = None;
        for message in received.cmsgs()? {
            match message {
                // The interface is not repeated: with it the kernel would look for the address there alone.
                ControlMessageOwned::Ipv4PacketInfo(mut info) => {
                    info.ipi_ifindex = 0;
                    info.ipi_spec_dst = info.ipi_addr;
                    dialled.get_or_insert(Dialled::Four(info));
                }
                ControlMessageOwned::Ipv6PacketInfo(mut info) => {
                    info.ipi6_ifindex = 0;
                    dialled = Some(Dialled::Six(info));
                }
                _ => {}
            }
        }
        let from = received.address.ok_or(io::ErrorKind::AddrNotAvailable)?;
        (received.bytes, from, dialled)
    };
    bytes.truncate(length);
    bytes.shrink_to_fit();
    Ok(Datagram { bytes, from, dialled })
}
