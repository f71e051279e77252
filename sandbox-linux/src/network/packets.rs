//! Attempts that nobody answers, told by their first packet: connections to ports that no rule names, and datagrams.
//!
//! The kernel refuses them by itself; who only sees an error would not know which line of the policy is missing. What is seen
//! decides nothing.

use cofferdam_plane_kit::network::gate::Gate;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use socket2::{SockFilter, SockRef};
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

const V6_HEADER: u32 = 40;
/// Flags of TCP: SYN and ACK.
const FIRST_OR_ANSWER: u8 = 0x12;
/// SYN without ACK.
const FIRST: u8 = 0x02;

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

/// The kernel's filter of a socket for packets of `version`, which are datagrams or else connections'. It lets through what [`is_told`]
/// tells, so that nobody is woken by the rest; but first packets of connections to `ports` as well, of which there are few.
fn filter((version, are_datagrams): (u16, bool), ports: &BTreeSet<u16>) -> Vec<SockFilter> {
    let mut steps: Vec<Instruction> = Vec::new();
    if version == 4 {
        steps.extend([(LOAD_BYTE, 0, 0, IP + 16), (EQUAL, 0, 1, 127), PASSED_OVER, (HEADER_LENGTH_TO_X, 0, 0, IP)]);
    } else {
        // Word after word of ::1, and beyond at the first that differs.
        for (at, word, beyond) in [(24, 0, 7), (28, 0, 5), (32, 0, 3), (36, 1, 1)] {
            steps.extend([(LOAD_WORD, 0, 0, IP + at), (EQUAL, 0, beyond, word)]);
        }
        steps.extend([PASSED_OVER, (CONSTANT_TO_X, 0, 0, V6_HEADER)]);
    }
    if are_datagrams {
        for half in [0, 2] {
            steps.push((LOAD_HALF_AT_X, 0, 0, IP + half));
            steps.extend(ports.iter().flat_map(|port| [(EQUAL, 0, 1, u32::from(*port)), PASSED_OVER]));
        }
    } else {
        steps.extend([(LOAD_BYTE_AT_X, 0, 0, IP + 13), (AND, 0, 0, FIRST_OR_ANSWER.into())]);
        steps.extend([(EQUAL, 1, 0, FIRST.into()), PASSED_OVER]);
    }
    steps.push((RETURN, 0, 0, SEEN));
    steps.into_iter().map(|(code, holds, else_, operand)| SockFilter::new(code, holds, else_, operand)).collect()
}

/// Whether a packet to `to` is told of, whose part beneath IP is `segment`: first packets of connections, and datagrams, unless they go to
/// loopback (RFC 791, RFC 8200, RFC 9293). On `ports` are sockets of ours: whoever answers there tells of that, and answers come from there.
fn is_told(are_datagrams: bool, ports: &BTreeSet<u16>, to: SocketAddr, segment: &[u8]) -> bool {
    let first = || segment.get(13).is_some_and(|flags| flags & FIRST_OR_ANSWER == FIRST);
    let answers = || port(segment, 0).is_some_and(|from| ports.contains(&from));
    !to.ip().is_loopback() && !ports.contains(&to.port()) && if are_datagrams { !answers() } else { first() }
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

    /// Whether they are datagrams.
    pub(super) fn are_datagrams(&self) -> bool {
        self.are_datagrams
    }

    /// Tells `gate` of attempts on other ports than `ports`, until there is more than anybody reads.
    pub(super) async fn watch(self, gate: &Gate, ports: &BTreeSet<u16>) {
        // Not before: a filter takes the kernel longer than the socket, and most runs need none. What has come by now is looked at here.
        let filtered = SockRef::from(&self.socket).attach_filter(&filter((self.version, self.are_datagrams), ports));
        if filtered.is_err() {
            return;
        }
        // It is no socket for datagrams of UDP, but waited for as one: nothing else of the type is used.
        let Ok(socket) = UdpSocket::from_std(self.socket.into()) else { return };
        let told = |to: SocketAddr, segment: &[u8]| is_told(self.are_datagrams, ports, to, segment);
        for _ in 0..MOST_PACKETS {
            let next = || receive(&socket, self.version, told);
            let Ok(received) = socket.async_io(Interest::READABLE, next).await else { return };
            let Some(to) = received else { continue };
            if self.are_datagrams {
                gate.refuse_datagram(&gate.target(to), || None);
            } else {
                gate.attempted(&gate.target(to));
            }
        }
    }
}

/// Where the next packet goes, if it is `told`.
fn receive(
    socket: &impl AsRawFd,
    version: u16,
    told: impl Fn(SocketAddr, &[u8]) -> bool,
) -> io::Result<Option<SocketAddr>> {
    let mut bytes = [0; SEEN as usize];
    let mut space = nix::cmsg_space!(libc::in6_pktinfo);
    let mut vectors = [IoSliceMut::new(&mut bytes)];
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
    let received = recvmsg::<()>(socket.as_raw_fd(), &mut vectors, Some(&mut space), flags)?;
    let to_six = received.cmsgs()?.find_map(|one| match one {
        ControlMessageOwned::Ipv6PacketInfo(info) => Some(Ipv6Addr::from(info.ipi6_addr.s6_addr)),
        _ => None,
    });
    let length = received.bytes;
    let packet = bytes.get(..length).unwrap_or_default();
    let parts = if version == 4 { parts_of_four(packet) } else { to_six.map(|to| (to.into(), packet)) };
    let target = parts.and_then(|(to, segment)| Some((SocketAddr::new(to, port(segment, 2)?), segment)));
    Ok(target.filter(|(to, segment)| told(*to, segment)).map(|(to, _)| to))
}

/// The address to which a packet goes that begins with the header of IPv4, and what follows that.
fn parts_of_four(packet: &[u8]) -> Option<(IpAddr, &[u8])> {
    let octets: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
    let header = usize::from(packet.first()? & 15) * 4;
    Some((Ipv4Addr::from(octets).into(), packet.get(header..)?))
}

/// The port that stands `at` bytes behind the beginning of a header of TCP or UDP: whence at 0, where to at 2.
fn port(segment: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(segment.get(at..at + 2)?.try_into().ok()?))
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

    const KINDS: [(u16, bool); 4] = [(4, false), (4, true), (6, false), (6, true)];
    const TCP: u8 = 6;
    const UDP: u8 = 17;

    #[test]
    fn first_packets_and_datagrams_are_told_and_the_kernel_lets_nothing_else_through() {
        let ports = BTreeSet::from([53, 4433]);
        for kind in KINDS {
            let (ours, theirs) = UnixDatagram::pair().unwrap();
            SockRef::from(&ours).attach_filter(&filter(kind, &ports)).unwrap();
            ours.set_nonblocking(true).unwrap();
            for (packet, passes) in packets(kind) {
                theirs.send(&packet).unwrap();
                assert_eq!(ours.recv(&mut [0; 200]).is_ok(), passes, "{kind:?} {packet:?}");
                let (to, segment) = parts(kind.0, &packet).unwrap();
                let to = SocketAddr::new(to, port(segment, 2).unwrap());
                assert_eq!(is_told(kind.1, &ports, to, segment), passes, "{kind:?} {packet:?}");
            }
        }
        let (listened, first) = ("9.9.9.9:4433".parse().unwrap(), segment(4433, FIRST));
        assert!(!is_told(false, &ports, listened, &first));
    }

    #[test]
    fn what_came_before_the_filter_is_looked_at_as_well() {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let ports = BTreeSet::new();
        for (packet, passes) in packets((4, false)) {
            theirs.send(&packet).unwrap();
            let told = receive(&ours, 4, |to, segment| is_told(false, &ports, to, segment)).unwrap();
            assert_eq!(told.is_some(), passes, "{packet:?}");
        }
    }

    /// Whatever the version: the tests' packets of version 6 begin with their header, as they do in the kernel's filter.
    fn parts(version: u16, packet: &[u8]) -> Option<(IpAddr, &[u8])> {
        let six = || Some((<[u8; 16]>::try_from(&packet[24..40]).unwrap().into(), &packet[40..]));
        if version == 4 { parts_of_four(packet) } else { six() }
    }

    /// Packets of a kind, and whether they are seen.
    fn packets((version, are_datagrams): (u16, bool)) -> Vec<(Vec<u8>, bool)> {
        let protocol = if are_datagrams { UDP } else { TCP };
        let addressed = |to: &str, rest: &[u8]| match to.parse().unwrap() {
            IpAddr::V4(to) => four(to.octets(), protocol, rest),
            IpAddr::V6(_) => six(to, protocol, rest),
        };
        let (others, own): (&[&str], &str) = if version == 4 {
            (&["9.9.9.9", "128.0.0.1"], "127.0.0.1")
        } else {
            (&["fd63::1", "1::1", "::1:0:1", "::2"], "::1")
        };
        let datagram = |from: u16, to: u16| [from.to_be_bytes(), to.to_be_bytes(), [0, 8], [0, 0]].concat();
        let contents = if are_datagrams {
            let some = [(5, 443, true), (5, 53, false), (53, 5, false), (5, 4433, false), (4433, 5, false)];
            some.map(|(from, to, seen)| (datagram(from, to), seen)).to_vec()
        } else {
            [(2, true), (0x12, false), (0x10, false), (4, false)]
                .map(|(flags, seen)| (segment(80, flags), seen))
                .to_vec()
        };
        let to_others = contents.iter().flat_map(|(rest, seen)| others.iter().map(|to| (addressed(to, rest), *seen)));
        to_others.chain(contents.iter().map(|(rest, _)| (addressed(own, rest), false))).collect()
    }

    #[test]
    fn a_packet_tells_where_it_goes() {
        let told = |packet: &[u8]| {
            let (to, segment) = parts_of_four(packet)?;
            Some(SocketAddr::new(to, port(segment, 2)?).to_string())
        };
        assert_eq!(told(&four([9, 9, 9, 9], TCP, &segment(80, 2))), Some("9.9.9.9:80".to_owned()));
        for length in 0..24 {
            assert_eq!(told(&four([9, 9, 9, 9], TCP, &segment(80, 2))[..length]), None);
        }
    }
}
