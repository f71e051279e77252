//! Refusing a datagram as a closed port does (ICMP, port unreachable), where a socket of ours has the port: whoever sent it hears at once.

use super::datagrams::from_address;
use nix::sys::socket::{MsgFlags, SockaddrStorage, sendmsg};
use std::io::IoSlice;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};

const UDP: u8 = 17;
const HOPS: u8 = 64;

/// Raw sockets of the run's network, for ICMP of each family.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    four: Option<OwnedFd>,
    six: Option<OwnedFd>,
}

impl Refusals {
    /// Takes the socket of a family over: 4 or 6.
    pub(super) fn take(&mut self, family: u64, socket: OwnedFd) {
        match family {
            4 => self.four = Some(socket),
            _ => self.six = Some(socket),
        }
    }

    /// Tells `from` that at `to` nobody takes datagrams. What cannot be told is lost.
    pub(super) fn refuse(&self, from: SocketAddr, to: SocketAddr) {
        let (socket, message) = match (from.ip(), to.ip()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => (&self.four, four((own, from.port()), (other, to.port()))),
            (IpAddr::V6(own), IpAddr::V6(other)) => (&self.six, six((own, from.port()), (other, to.port()))),
            _ => return,
        };
        let Some(socket) = socket else { return };
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        // A raw socket of IPv6 takes no other port than its protocol, or none (raw(7)).
        let address = SockaddrStorage::from(SocketAddr::new(from.ip(), 0));
        let vector = [IoSlice::new(&message)];
        from_address(to.ip(), |control| {
            let _ = sendmsg(socket.as_raw_fd(), &vector, control, flags, Some(&address));
        });
    }
}

/// Destination unreachable, port unreachable (RFC 792), about a datagram from `own` to `other`.
fn four(own: (Ipv4Addr, u16), other: (Ipv4Addr, u16)) -> Vec<u8> {
    let mut header = vec![0x45, 0, 0, 28, 0, 0, 0x40, 0, HOPS, UDP, 0, 0];
    header.extend(own.0.octets());
    header.extend(other.0.octets());
    let sum = checksum(&header);
    header.splice(10..12, sum);
    let mut message = vec![3, 3, 0, 0, 0, 0, 0, 0];
    message.extend(header);
    message.extend(datagram(own.1, other.1));
    let sum = checksum(&message);
    message.splice(2..4, sum);
    message
}

/// The same of IPv6 (RFC 4443, 3.1); the kernel fills the sum in.
fn six(own: (Ipv6Addr, u16), other: (Ipv6Addr, u16)) -> Vec<u8> {
    let mut message = vec![1, 4, 0, 0, 0, 0, 0, 0, 0x60, 0, 0, 0, 0, 8, UDP, HOPS];
    message.extend(own.0.octets());
    message.extend(other.0.octets());
    message.extend(datagram(own.1, other.1));
    message
}

/// The header of a datagram (RFC 768), of which only the ports are read.
fn datagram(from: u16, to: u16) -> [u8; 8] {
    let [[a, b], [c, d]] = [from.to_be_bytes(), to.to_be_bytes()];
    [a, b, c, d, 0, 8, 0, 0]
}

/// The sum of the internet's headers (RFC 1071), of an even number of bytes.
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let words = bytes.chunks_exact(2).map(|pair| pair.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let [_, _, high, low] = (!sum).to_be_bytes();
    [high, low]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_quotes_whom_it_refuses() {
        let message = four((Ipv4Addr::new(198, 18, 0, 1), 40_000), (Ipv4Addr::new(198, 18, 0, 1), 443));
        assert_eq!((message.len(), &message[..2]), (36, &[3, 3][..]));
        assert_eq!(
            [checksum(&message), checksum(&message[8..28])],
            [[0, 0], [0, 0]],
            "sums with themselves to nothing"
        );
        assert_eq!(message[28..32], [0x9c, 0x40, 1, 0xbb]);
        let message = six((Ipv6Addr::LOCALHOST, 40_000), (Ipv6Addr::LOCALHOST, 443));
        assert_eq!((message.len(), &message[..2], &message[48..52]), (56, &[1, 4][..], &[0x9c, 0x40, 1, 0xbb][..]));
    }
}
