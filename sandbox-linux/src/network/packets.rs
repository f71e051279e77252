//! Attempts that nobody answers, told by their first packet: connections to ports that no rule names, and datagrams.
//!
//! The kernel refuses them by itself; who only sees an error would not know which line of the policy is missing. What is seen
//! decides nothing.

use cofferdam_plane_kit::network::gate::Gate;
use nix::sys::socket::{MsgFlags, recv};
use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Bytes of a packet that are seen: both headers.
const SEEN: u32 = 128;
/// As many packets as are looked at in one run: by then there is more to tell than anybody reads.
const MOST_PACKETS: usize = 4096;

const TCP: u8 = 6;
const UDP: u8 = 17;
const V6_HEADER: usize = 40;

/// An instruction with its label, and the labels that it jumps to; an empty one is the next instruction.
type Step = (&'static str, u16, &'static str, &'static str, u32);

const LOAD_BYTE: u16 = 0x30;
const LOAD_HALF: u16 = 0x28;
const LOAD_WORD: u16 = 0x20;
const LOAD_BYTE_AT_X: u16 = 0x50;
const LOAD_HALF_AT_X: u16 = 0x48;
const HEADER_LENGTH_TO_X: u16 = 0xb1;
const CONSTANT_TO_X: u16 = 0x01;
const AND: u16 = 0x54;
const SHIFT_RIGHT: u16 = 0x74;
const EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;

/// For packets that begin with the header of IPv4 or IPv6 (RFC 791, RFC 8200): first packets of connections, and datagrams of no name
/// server, unless they go to loopback.
const STEPS: [Step; 27] = [
    ("", LOAD_BYTE, "", "", 0),
    ("", SHIFT_RIGHT, "", "", 4),
    ("", EQUAL, "four", "six", 4),
    ("four", LOAD_BYTE, "", "", 16),
    ("", EQUAL, "no", "", 127),
    ("", LOAD_HALF, "", "", 6),
    ("", AND, "", "", 0x1fff),
    ("", EQUAL, "", "no", 0),
    ("", HEADER_LENGTH_TO_X, "", "", 0),
    ("", LOAD_BYTE, "", "", 9),
    ("", EQUAL, "tcp", "datagram", TCP as u32),
    ("six", LOAD_WORD, "", "", 24),
    ("", EQUAL, "", "other", 0),
    ("", LOAD_WORD, "", "", 28),
    ("", EQUAL, "", "other", 0),
    ("", LOAD_WORD, "", "", 36),
    ("", EQUAL, "no", "other", 1),
    ("other", CONSTANT_TO_X, "", "", V6_HEADER as u32),
    ("", LOAD_BYTE, "", "", 6),
    ("", EQUAL, "tcp", "datagram", TCP as u32),
    ("tcp", LOAD_BYTE_AT_X, "", "", 13),
    ("", AND, "", "", 0x12),
    ("", EQUAL, "yes", "no", 2),
    ("yes", RETURN, "", "", SEEN),
    ("no", RETURN, "", "", 0),
    ("datagram", EQUAL, "udp", "", UDP as u32),
    ("", RETURN, "", "", 0),
];

/// The filter as the kernel takes it: `struct sock_filter` after another. Datagrams from and to `ports`, on which sockets of ours are, and
/// the name server's, are not seen: whoever answers there tells of them.
pub(crate) fn filter(ports: &[u16]) -> Vec<u8> {
    // Each word beyond has its own way out: jumps reach no further than 255 instructions.
    let mut steps = STEPS.to_vec();
    for (label, half) in [("udp", 0), ("", 2)] {
        steps.push((label, LOAD_HALF_AT_X, "", "", half));
        for port in ports {
            steps.extend([("", EQUAL, "", "next", u32::from(*port)), ("", RETURN, "", "", 0)]);
        }
    }
    steps.push(("", RETURN, "", "", SEEN));
    assembled(&steps)
}

fn assembled(steps: &[Step]) -> Vec<u8> {
    let jump = |at: usize, label: &str| {
        if label == "next" {
            return 1;
        }
        let place = steps.iter().position(|(own, ..)| !label.is_empty() && *own == label);
        place.and_then(|place| u8::try_from(place.checked_sub(at + 1)?).ok()).unwrap_or(0)
    };
    let bytes = steps.iter().enumerate().flat_map(|(at, (_, code, yes, no, operand))| {
        let mut bytes = code.to_ne_bytes().to_vec();
        bytes.extend([jump(at, yes), jump(at, no)]);
        bytes.extend(operand.to_ne_bytes());
        bytes
    });
    bytes.collect()
}

/// What a packet tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Attempt {
    datagram: bool,
    to: SocketAddr,
}

/// Tells `gate` of attempts on other ports than `ports`, until there is more than anybody reads.
pub(super) async fn watch(socket: OwnedFd, gate: &Gate, ports: &BTreeSet<u16>) {
    // It is no socket for datagrams of UDP, but waited for as one: nothing else of the type is used.
    let Ok(socket) = UdpSocket::from_std(socket.into()) else { return };
    let mut bytes = [0; SEEN as usize];
    for _ in 0..MOST_PACKETS {
        let received = socket.async_io(Interest::READABLE, || {
            recv(socket.as_raw_fd(), &mut bytes, MsgFlags::MSG_DONTWAIT).map_err(io::Error::from)
        });
        let Ok(length) = received.await else { return };
        let Some(attempt) = attempt(bytes.get(..length).unwrap_or_default()) else { continue };
        if attempt.datagram {
            gate.refuse_datagram(&gate.target(attempt.to), || None);
        } else if !ports.contains(&attempt.to.port()) {
            gate.attempted(&gate.target(attempt.to));
        }
    }
}

fn attempt(packet: &[u8]) -> Option<Attempt> {
    let (kind, to, rest): (u8, IpAddr, &[u8]) = match packet.first()? >> 4 {
        4 => {
            let octets: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
            let header = usize::from(packet.first()? & 15) * 4;
            (*packet.get(9)?, Ipv4Addr::from(octets).into(), packet.get(header..)?)
        }
        6 => {
            let octets: [u8; 16] = packet.get(24..V6_HEADER)?.try_into().ok()?;
            (*packet.get(6)?, Ipv6Addr::from(octets).into(), packet.get(V6_HEADER..)?)
        }
        _ => return None,
    };
    let port = u16::from_be_bytes(rest.get(2..4)?.try_into().ok()?);
    let datagram = match kind {
        TCP => false,
        UDP => true,
        _ => return None,
    };
    Some(Attempt { datagram, to: SocketAddr::new(to, port) })
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
    #[expect(unsafe_code, reason = "SO_ATTACH_FILTER has no safe form")]
    fn the_kernel_lets_first_packets_and_datagrams_through() {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        let instructions = filter(&[53, 4433]);
        let program = libc::sock_fprog {
            len: u16::try_from(instructions.len() / 8).unwrap(),
            filter: instructions.as_ptr().cast_mut().cast(),
        };
        let size = libc::socklen_t::try_from(size_of_val(&program)).unwrap();
        // SAFETY: program and instructions live until the call returns; the kernel copies and checks them.
        let attached = unsafe {
            libc::setsockopt(
                ours.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_ATTACH_FILTER,
                (&raw const program).cast(),
                size,
            )
        };
        assert_eq!(attached, 0, "{}", io::Error::last_os_error());
        ours.set_nonblocking(true).unwrap();
        let datagram = |from: u16, to: u16| [from.to_be_bytes(), to.to_be_bytes(), [0, 8], [0, 0]].concat();
        let all = [
            (four([9, 9, 9, 9], TCP, &segment(80, 2)), true),
            (four([9, 9, 9, 9], TCP, &segment(80, 0x12)), false),
            (four([9, 9, 9, 9], TCP, &segment(80, 0x10)), false),
            (four([127, 0, 0, 1], TCP, &segment(80, 2)), false),
            (four([9, 9, 9, 9], UDP, &datagram(5, 443)), true),
            (four([9, 9, 9, 9], UDP, &datagram(5, 53)), false),
            (four([9, 9, 9, 9], UDP, &datagram(53, 5)), false),
            (four([9, 9, 9, 9], UDP, &datagram(5, 4433)), false),
            (four([9, 9, 9, 9], UDP, &datagram(4433, 5)), false),
            (six("fd63::1", UDP, &datagram(4433, 5)), false),
            (four([9, 9, 9, 9], 1, &[8; 8]), false),
            (six("fd63::1", TCP, &segment(80, 2)), true),
            (six("::1", TCP, &segment(80, 2)), false),
            (six("1::1", TCP, &segment(80, 2)), true),
            (six("fd63::1", UDP, &datagram(5, 443)), true),
            (six("fd63::1", UDP, &datagram(5, 53)), false),
            (six("fd63::1", 58, &[1; 8]), false),
        ];
        for (packet, passes) in all {
            theirs.send(&packet).unwrap();
            assert_eq!(ours.recv(&mut [0; 200]).is_ok(), passes, "{packet:?}");
        }
    }

    #[test]
    fn a_packet_tells_where_it_goes() {
        let told = |packet: &[u8]| attempt(packet).map(|one| (one.datagram, one.to.to_string()));
        assert_eq!(told(&four([9, 9, 9, 9], TCP, &segment(80, 2))), Some((false, "9.9.9.9:80".to_owned())));
        assert_eq!(told(&six("fd63::1", UDP, &[0, 5, 1, 187])), Some((true, "[fd63::1]:443".to_owned())));
        for length in 0..24 {
            assert_eq!(told(&four([9, 9, 9, 9], TCP, &segment(80, 2))[..length]), None);
        }
    }
}
