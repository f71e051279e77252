//! Whether an address is this machine's own. One of the open internet may be: then what listens there takes its callers for this
//! machine's, as at loopback.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

/// Any: nothing is sent to it.
const PORT: u16 = 9;

/// Whether one of this machine's interfaces has `address`.
///
/// A system that has an address takes it as the source of what it sends there; a datagram socket tells by being connected, which sends
/// nothing (RFC 6724, rule 1; ip(7)). Where it cannot be found out for want of a descriptor it is taken to be one.
pub(super) fn is_own(address: IpAddr) -> bool {
    let any: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let source = || -> io::Result<IpAddr> {
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect((address, PORT))?;
        Ok(socket.local_addr()?.ip())
    };
    match source() {
        Ok(source) => source == address,
        Err(error) => is_short(&error),
    }
}

fn is_short(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_s_address_is_own_and_another_is_not() {
        assert!(is_own("127.0.0.1".parse().unwrap()));
        assert!(!is_own("192.0.2.1".parse().unwrap()));
        assert!(!is_own("2001:db8::1".parse().unwrap()));
    }
}
