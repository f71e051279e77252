//! connect(2), bind(2) and listen(2) on the network where a run may reach nothing of it but its proxy, and itself at ports that the
//! policy publishes (`own_ports`).
//!
//! Landlock holds the same, but not for what is done here on the guest's behalf, nor for a socket that listens without having been
//! bound.

use super::caller::Caller;
use super::own_ports::{OwnPorts, stream_domain};
use super::raw_call::{SocketAddress, bind, socket_is};
use super::serve::Server;
use crate::network::OwnLoopback;
use cofferdam_bridge::profile::NetworkProfile;
use nix::errno::Errno;
use nix::sys::socket::{Backlog, listen};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// What Landlock answers, too.
pub(super) const REFUSED: Errno = Errno::EACCES;

/// Bytes of `struct sockaddr_in` and `struct sockaddr_in6` (ip(7), ipv6(7)).
const V4_BYTES: usize = 16;
const V6_BYTES: usize = 28;

/// All that a run reaches of the network.
#[derive(Debug)]
pub(crate) struct Walls {
    /// The port of its proxy.
    proxy: Option<u16>,
    /// What it listens on.
    own: Option<OwnPorts>,
    /// The ports on which the policy names hosts: they cannot be published.
    taken: Vec<RangeInclusive<u16>>,
}

impl Walls {
    /// Around a run that reaches a proxy of its own at port `proxy`, and listens at the places of `loopback`.
    pub(crate) fn new(proxy: Option<u16>, loopback: Option<Arc<OwnLoopback>>, network: &NetworkProfile) -> Self {
        let taken = network.allow.iter().chain(&network.datagrams).map(|rule| rule.port_first..=rule.port_last);
        Self { proxy, own: loopback.map(OwnPorts::new), taken: taken.collect() }
    }
}

impl Server {
    /// Where the guest may connect a socket that it wants to connect to an address that is no path: to its proxy, where it has one, to
    /// ports of its own, and nowhere else.
    pub(super) fn may_connect(
        &mut self,
        thread: i32,
        socket: &OwnedFd,
        address: SocketAddress,
    ) -> Result<SocketAddress, Errno> {
        let Some(walls) = &self.sockets.walls else { return Ok(address) };
        let Some(to) = of_network(&address)? else { return Ok(address) };
        if walls.proxy.is_some_and(|proxy| to == SocketAddr::new(Ipv4Addr::LOCALHOST.into(), proxy)) {
            return Ok(address);
        }
        let own = walls.own.as_ref().map(|own| own.leads_to(socket, to)).transpose()?;
        if let Some(own) = own.flatten() {
            return Ok(own);
        }
        if walls.proxy.is_some() {
            self.judge.findings.direct_connection(thread, to);
        }
        Err(REFUSED)
    }

    /// Binds a socket to an address that is no path: to a port of the system's choice, before it connects, or to one of its own.
    pub(super) fn bind_network(&mut self, thread: i32, socket: &OwnedFd, address: &SocketAddress) -> Result<(), Errno> {
        let Some(walls) = &mut self.sockets.walls else { return bind(socket, address) };
        match of_network(address)? {
            Some(wanted) if wanted.port() == 0 => stream_domain(socket).and_then(|_| bind(socket, address)),
            Some(wanted) => {
                let done = walls.own.as_mut().map_or(Err(REFUSED), |own| own.bind(socket, address, wanted));
                done.inspect_err(|errno| self.told(thread, *errno, Some(wanted.port())))
            }
            // Of those without an address a local socket has one of the system's choice. One that names no family the kernel binds to its
            // port all the same, on IPv4 (`__inet_bind`).
            None if address.family() == Some(libc::AF_UNIX) => bind(socket, address),
            None => Err(REFUSED),
        }
    }

    /// listen(2).
    pub(super) fn listen(&mut self, thread: i32, socket: i32, backlog: i32) -> Result<(), Errno> {
        let socket = self.descriptor_of(Caller::of(thread)?.process, socket)?;
        // The kernel takes what is too much or less than none as the most that it gives (listen(2)).
        let backlog = Backlog::new(backlog).unwrap_or(Backlog::MAXCONN);
        match &mut self.sockets.walls {
            Some(walls) if !socket_is(&socket, libc::SO_DOMAIN, libc::AF_UNIX)? => {
                let done = walls.own.as_mut().map_or(Err(REFUSED), |own| own.listen(&socket, backlog));
                done.inspect_err(|errno| self.told(thread, *errno, None))
            }
            _ => listen(&socket, backlog),
        }
    }

    /// Notes that `thread` may not listen on `port`, where that is why it was answered `errno`.
    fn told(&mut self, thread: i32, errno: Errno, port: Option<u16>) {
        if errno == REFUSED {
            let taken = self.sockets.walls.iter().flat_map(|walls| &walls.taken);
            let taken = port.is_some_and(|port| taken.into_iter().any(|range| range.contains(&port)));
            self.judge.findings.not_published(thread, port, taken);
        }
    }
}

/// The address of a network, in the one form that is compared; none for a local one, and for none at all, which disconnects.
fn of_network(address: &SocketAddress) -> Result<Option<SocketAddr>, Errno> {
    let bytes = address.0.as_slice();
    let word = |at: usize| bytes.get(at..at + 2).and_then(|two| <[u8; 2]>::try_from(two).ok());
    let port = || word(2).map(u16::from_be_bytes).ok_or(Errno::EINVAL);
    let ip: IpAddr = match address.family() {
        Some(libc::AF_UNIX | libc::AF_UNSPEC) => return Ok(None),
        Some(libc::AF_INET) if bytes.len() >= V4_BYTES => Ipv4Addr::from(part::<4>(bytes, 4)?).into(),
        Some(libc::AF_INET6) if bytes.len() >= V6_BYTES => Ipv6Addr::from(part::<16>(bytes, 8)?).into(),
        Some(libc::AF_INET | libc::AF_INET6) | None => return Err(Errno::EINVAL),
        Some(_) => return Err(REFUSED),
    };
    Ok(Some(SocketAddr::new(ip.to_canonical(), port()?)))
}

fn part<const COUNT: usize>(bytes: &[u8], at: usize) -> Result<[u8; COUNT], Errno> {
    bytes.get(at..at + COUNT).and_then(|part| part.try_into().ok()).ok_or(Errno::EINVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(family: i32, port: u16, rest: &[u8]) -> SocketAddress {
        let family = u16::try_from(family).unwrap().to_ne_bytes();
        SocketAddress([&family[..], &port.to_be_bytes(), rest].concat())
    }

    #[test]
    fn addresses_are_read_as_the_kernel_reads_them() {
        let four = address(libc::AF_INET, 443, &[&[192, 0, 2, 1][..], &[0; 8]].concat());
        assert_eq!(of_network(&four), Ok(Some("192.0.2.1:443".parse().unwrap())));
        let mapped = "::ffff:127.0.0.1".parse::<Ipv6Addr>().unwrap().octets();
        let six = address(libc::AF_INET6, 80, &[&[0; 4][..], &mapped, &[0; 4]].concat());
        assert_eq!(of_network(&six), Ok(Some("127.0.0.1:80".parse().unwrap())));
        assert_eq!(of_network(&address(libc::AF_UNSPEC, 0, &[])), Ok(None));
        assert_eq!(of_network(&address(libc::AF_UNIX, 0, &[])), Ok(None));
        assert_eq!(of_network(&address(libc::AF_INET, 80, &[127, 0, 0, 1])), Err(Errno::EINVAL), "too short");
        assert_eq!(of_network(&address(libc::AF_INET6, 80, &[0; 20])), Err(Errno::EINVAL), "too short");
        assert_eq!(of_network(&address(libc::AF_VSOCK, 80, &[0; 12])), Err(REFUSED));
        assert_eq!(of_network(&SocketAddress(vec![2])), Err(Errno::EINVAL));
    }
}
