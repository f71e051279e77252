//! Attempts that nobody answers, told by their first packet: connections to ports that no rule names, and datagrams.
//!
//! The kernel refuses them by itself; who only sees an error would not know which line of the policy is missing. What is seen
//! decides nothing.

use cofferdam_plane_kit::network::gate::Gate;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use std::collections::BTreeSet;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Bytes of a packet that are seen: both headers.
const SEEN: u32 = 128;
/// As many packets as are looked at in one run: by then there is more to tell than anybody reads.
const MOST_PACKETS: usize = 4096;

const TCP: u32 = 6;
const UDP: u32 = 17;
const V6_HEADER: u32 = 40;

/// One instruction of the kernel's filters: code, how many are passed over where it holds and where not, operand (`struct sock_filter`).
type Instruction = (u16, u8, u8, u32);

const LOAD_BYTE: u16 = 0x30;
const LOAD_WORD: u16 = 0x20;
const LOAD_BYTE_AT_X: u16 = 0x50;
const LOAD_HALF_AT_X: u16 = 0x48;
const HEADER_LENGTH_TO_X: u16 = 0xb1;
const CONSTANT_TO_X: u16 = 0x01;
const AND: u16 = 0x54;
const EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;

/// Offsets from here on are those from the header of IP, wherever a socket's own packets begin (`SKF_NET_OFF`, linux/filter.h).
const IP: u32 = 0_u32.wrapping_sub(0x10_0000);
const PASSED_OVER: Instruction = (RETURN, 0, 0, 0);

/// What is seen: versions of IP, and the protocols that it carries, by their numbers there.
pub(crate) const KINDS: [(u32, u32); 4] = [(4, TCP), (4, UDP), (6, TCP), (6, UDP)];

/// The filter of a socket for packets of `version` and `protocol`, as the kernel takes it: `struct sock_filter` after another. It lets
/// first packets of connections through, and datagrams, unless they go to loopback (RFC 791, RFC 8200, RFC 9293). Datagrams from and to
/// `ports`, on which sockets of ours are, are not seen: whoever answers there tells of them.
pub(crate) fn filter((version, protocol): (u32, u32), ports: &[u16]) -> Vec<u8> {
    let mut steps = Vec::new();
    if version == 4 {
        steps.extend([(LOAD_BYTE, 0, 0, IP + 16), (EQUAL, 0, 1, 127), PASSED_OVER, (HEADER_LENGTH_TO_X, 0, 0, IP)]);
    } else {
        // Word after word of ::1, and beyond at the first that differs.
        for (at, word, beyond) in [(24, 0, 7), (28, 0, 5), (32, 0, 3), (36, 1, 1)] {
            steps.extend([(LOAD_WORD, 0, 0, IP + at), (EQUAL, 0, beyond, word)]);
        }
        steps.extend([PASSED_OVER, (CONSTANT_TO_X, 0, 0, V6_HEADER)]);
    }
    if protocol == TCP {
        // SYN without ACK.
        steps.extend([(LOAD_BYTE_AT_X, 0, 0, IP + 13), (AND, 0, 0, 0x12), (EQUAL, 1, 0, 2), PASSED_OVER]);
    } else {
        for half in [0, 2] {
            steps.push((LOAD_HALF_AT_X, 0, 0, IP + half));
            steps.extend(ports.iter().flat_map(|port| [(EQUAL, 0, 1, u32::from(*port)), PASSED_OVER]));
        }
    }
    steps.push((RETURN, 0, 0, SEEN));
    let bytes = steps.into_iter().flat_map(|(code, holds, else_, operand)| {
        let [low, high] = code.to_ne_bytes();
        let [one, two, three, four] = operand.to_ne_bytes();
        [low, high, holds, else_, one, two, three, four]
    });
    bytes.collect()
}

/// One of the sockets that see packets.
#[derive(Debug)]
pub(super) struct Packets {
    socket: OwnedFd,
    /// The version of IP, 4 or 6.
    version: u16,
    /// Whether they are datagrams, and else first packets of connections.
    are_datagrams: bool,
}

impl Packets {
    /// Those that `socket` sees.
    pub(super) fn new(socket: OwnedFd, version: u16, are_datagrams: bool) -> Self {
        Self { socket, version, are_datagrams }
    }

    /// Their socket.
    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Tells `gate` of attempts on other ports than `ports`, until there is more than anybody reads.
    pub(super) async fn watch(self, gate: &Gate, ports: &BTreeSet<u16>) {
        let version = self.version;
        // It is no socket for datagrams of UDP, but waited for as one: nothing else of the type is used.
        let Ok(socket) = UdpSocket::from_std(self.socket.into()) else { return };
        for _ in 0..MOST_PACKETS {
            let Ok(received) = socket.async_io(Interest::READABLE, || receive(&socket, version)).await else { return };
            let Some(to) = received else { continue };
            if self.are_datagrams {
                gate.refuse_datagram(&gate.target(to), || None);
            } else if !ports.contains(&to.port()) {
                gate.attempted(&gate.target(to));
            }
        }
    }
}

/// Where the next packet goes, if it tells.
fn receive(socket: &UdpSocket, version: u16) -> io::Result<Option<SocketAddr>> {
    let mut bytes = [0; SEEN as usize];
    let mut told = nix::cmsg_space!(libc::in6_pktinfo);
    let mut vectors = [IoSliceMut::new(&mut bytes)];
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
    let received = recvmsg::<()>(socket.as_raw_fd(), &mut vectors, Some(&mut told), flags)?;
    let to_six = received.cmsgs()?.find_map(|one| match one {
        ControlMessageOwned::Ipv6PacketInfo(info) => Some(Ipv6Addr::from(info.ipi6_addr.s6_addr)),
        _ => None,
    });
    let length = received.bytes;
    let packet = bytes.get(..length).unwrap_or_default();
    Ok(if version == 4 { target_of_four(packet) } else { to_six.and_then(|to| target(to.into(), packet)) })
}

/// Where a packet goes that begins with the header of IPv4.
fn target_of_four(packet: &[u8]) -> Option<SocketAddr> {
    let octets: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
    let header = usize::from(packet.first()? & 15) * 4;
    target(Ipv4Addr::from(octets).into(), packet.get(header..)?)
}

/// The same, by its address and what begins with the header of TCP or UDP.
fn target(to: IpAddr, segment: &[u8]) -> Option<SocketAddr> {
    let port = u16::from_be_bytes(segment.get(2..4)?.try_into().ok()?);
    Some(SocketAddr::new(to, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;

    fn four(to: [u8; 4], kind: u8, rest: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x46, 0, 0, 0, 0, 0, 0x40, 0, 64, kind, 0, 0, 9, 9, 9, 9];
        packet.extend(to);
        // An option, so that the header is longer than it need be.
        packet.extend([0; 4]);
        packet.extend(rest);
        packet
    }

    fn six(to: &str, kind: u8, rest: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x60, 0, 0, 0, 0, 20, kind, 64];
        packet.extend([1; 16]);
        packet.extend(to.parse::<Ipv6Addr>().unwrap().octets());
        packet.extend(rest);
        packet
    }

    fn segment(port: u16, flags: u8) -> Vec<u8> {
        let mut segment = vec![0xd0, 1];
        segment.extend(port.to_be_bytes());
        segment.extend([0, 0, 0, 0, 0, 0, 0, 0, 0x50, flags, 0, 0, 0, 0, 0, 0]);
        segment
    }

    #[test]
    fn the_kernel_lets_first_packets_and_datagrams_through() {
        for kind in KINDS {
            let (ours, theirs) = UnixDatagram::pair().unwrap();
            attach(&ours, &filter(kind, &[53, 4433]));
            ours.set_nonblocking(true).unwrap();
            for (packet, passes) in packets(kind) {
                theirs.send(&packet).unwrap();
                assert_eq!(ours.recv(&mut [0; 200]).is_ok(), passes, "{kind:?} {packet:?}");
            }
        }
    }

    #[expect(unsafe_code, reason = "SO_ATTACH_FILTER has no safe form")]
    fn attach(socket: &UnixDatagram, instructions: &[u8]) {
        let program = libc::sock_fprog {
            len: u16::try_from(instructions.len() / 8).unwrap(),
            filter: instructions.as_ptr().cast_mut().cast(),
        };
        let size = libc::socklen_t::try_from(size_of_val(&program)).unwrap();
        // SAFETY: program and instructions live until the call returns; the kernel copies and checks them.
        let attached = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_ATTACH_FILTER,
                (&raw const program).cast(),
                size,
            )
        };
        assert_eq!(attached, 0, "{}", io::Error::last_os_error());
    }

    /// Packets of a kind, and whether they are seen.
    fn packets((version, protocol): (u32, u32)) -> Vec<(Vec<u8>, bool)> {
        let addressed = |to: &str, rest: &[u8]| match to.parse().unwrap() {
            IpAddr::V4(to) => four(to.octets(), protocol as u8, rest),
            IpAddr::V6(_) => six(to, protocol as u8, rest),
        };
        let (others, own): (&[&str], &str) = if version == 4 {
            (&["9.9.9.9", "128.0.0.1"], "127.0.0.1")
        } else {
            (&["fd63::1", "1::1", "::1:0:1", "::2"], "::1")
        };
        let datagram = |from: u16, to: u16| [from.to_be_bytes(), to.to_be_bytes(), [0, 8], [0, 0]].concat();
        let contents = if protocol == TCP {
            vec![
                (segment(80, 2), true),
                (segment(80, 0x12), false),
                (segment(80, 0x10), false),
                (segment(80, 4), false),
            ]
        } else {
            let some = [(5, 443, true), (5, 53, false), (53, 5, false), (5, 4433, false), (4433, 5, false)];
            some.map(|(from, to, seen)| (datagram(from, to), seen)).to_vec()
        };
        let to_others = contents.iter().flat_map(|(rest, seen)| others.iter().map(|to| (addressed(to, rest), *seen)));
        to_others.chain(contents.iter().map(|(rest, _)| (addressed(own, rest), false))).collect()
    }

    #[test]
    fn a_packet_tells_where_it_goes() {
        let told = |packet: &[u8]| target_of_four(packet).map(|to| to.to_string());
        assert_eq!(told(&four([9, 9, 9, 9], TCP as u8, &segment(80, 2))), Some("9.9.9.9:80".to_owned()));
        for length in 0..24 {
            assert_eq!(told(&four([9, 9, 9, 9], TCP as u8, &segment(80, 2))[..length]), None);
        }
    }
}
