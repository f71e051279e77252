//! Questions that come as datagrams, to whichever address a program thinks its name server has: the answer must come from there.

use cofferdam_plane_kit::network::name_server::LONGEST_QUESTION;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg};
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, OwnedFd};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// The socket on port 53.
#[derive(Debug)]
pub(super) struct Datagrams(UdpSocket);

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
}

impl Datagrams {
    /// Takes the socket over, which does not block.
    pub(super) fn new(socket: OwnedFd) -> io::Result<Self> {
        UdpSocket::from_std(socket.into()).map(Self)
    }

    /// The next question.
    pub(super) async fn receive(&self) -> io::Result<Datagram> {
        self.0.async_io(Interest::READABLE, || receive(&self.0)).await
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
        let _ = sendmsg(self.0.as_raw_fd(), &vector, &control, flags, Some(&to.from));
    }
}

fn receive(socket: &UdpSocket) -> io::Result<Datagram> {
    let mut bytes = vec![0; LONGEST_QUESTION];
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
    Ok(Datagram { bytes, from, dialled })
}
