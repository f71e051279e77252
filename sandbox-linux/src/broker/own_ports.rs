//! Ports that the policy publishes, in a run that has no network of its own: its sockets are bound to the run's own places on the host's
//! loopback (`network::OwnLoopback`), whatever address they asked for, and only those that were bound here may listen.
//!
//! What a socket is, is asked of the socket: the guest's words may be about another one by the time that something is done. Those that
//! were bound here are known by a number that the kernel gives no second time (SO_COOKIE, socket(7)): a socket that was accepted at such
//! a place has its address, too, and loses its port when it is disconnected, so that listen(2) would give it one that no rule names.

use super::proxy_only::REFUSED;
use super::raw_call::{SocketAddress, bind, socket_is, socket_number};
use crate::inner_sockets::Family;
use crate::network::OwnLoopback;
use nix::errno::Errno;
use nix::sys::socket::sockopt::Ipv6V6Only;
use nix::sys::socket::{Backlog, SockaddrStorage, getsockname, getsockopt, listen, setsockopt};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

/// As many sockets are remembered as were bound.
const MOST_SOCKETS: usize = 65_536;

/// What one run listens on.
#[derive(Debug)]
pub(super) struct OwnPorts {
    loopback: Arc<OwnLoopback>,
    /// The sockets that were bound here, by number: where, and which port that is to the run.
    bound: HashMap<u64, Place>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    at: SocketAddrV4,
    port: u16,
    family: Family,
}

impl OwnPorts {
    /// Those of a run whose places are at `loopback`, on none of which it listens yet.
    pub(super) fn new(loopback: Arc<OwnLoopback>) -> Self {
        Self { loopback, bound: HashMap::new() }
    }

    /// bind(2) of `socket` to `wanted`, which the guest wrote as `address`.
    pub(super) fn bind(&mut self, socket: &OwnedFd, address: &SocketAddress, wanted: SocketAddr) -> Result<(), Errno> {
        let domain = stream_domain(socket)?;
        if address.family() != Some(domain) {
            return Err(Errno::EAFNOSUPPORT);
        }
        let alone = domain == libc::AF_INET6 && getsockopt(socket, Ipv6V6Only)?;
        let family = match wanted.ip() {
            IpAddr::V4(_) if alone => return Err(Errno::EINVAL),
            IpAddr::V6(six) if alone || !six.is_unspecified() => Family::Six,
            _ => Family::Four,
        };
        let at = self.loopback.place(wanted.port(), family).ok_or(REFUSED)?;
        if self.bound.len() >= MOST_SOCKETS {
            // Most of them are long closed, which is told to nobody. One that is forgotten does not listen.
            self.bound.clear();
        }
        if alone {
            // The place is one of IPv4: loopback has a single address of IPv6, which is everybody's.
            setsockopt(socket, Ipv6V6Only, &false)?;
        }
        let to = SocketAddress::of_network(at, domain);
        let done = self.loopback.lend(at, socket, || bind(socket, &to));
        if done.is_err() && alone {
            let _ = setsockopt(socket, Ipv6V6Only, &true);
        }
        done?;
        self.bound.insert(socket_number(socket, libc::SO_COOKIE)?, Place { at, port: wanted.port(), family });
        Ok(())
    }

    /// listen(2) of `socket`.
    pub(super) fn listen(&mut self, socket: &OwnedFd, backlog: Backlog) -> Result<(), Errno> {
        stream_domain(socket)?;
        let place = *self.bound.get(&socket_number(socket, libc::SO_COOKIE)?).ok_or(REFUSED)?;
        if own_address(socket)? != Some(SocketAddr::V4(place.at)) {
            return Err(REFUSED);
        }
        self.loopback.lend(place.at, socket, || listen(socket, backlog))?;
        self.loopback.listens(place.port, place.family);
        Ok(())
    }

    /// Where `socket` is to be connected that was to be connected to `wanted`: to this run, where that is a port of its own.
    pub(super) fn leads_to(&self, socket: &OwnedFd, wanted: SocketAddr) -> Result<Option<SocketAddress>, Errno> {
        let named = match wanted {
            SocketAddr::V4(at) => self.loopback.port_at(at).map(|_| at),
            SocketAddr::V6(_) => None,
        };
        let ip = wanted.ip();
        let family = match ip {
            IpAddr::V4(_) => Family::Four,
            IpAddr::V6(_) => self.loopback.latest(wanted.port()),
        };
        let by_port = || self.loopback.place(wanted.port(), family).filter(|_| ip.is_loopback() || ip.is_unspecified());
        let Some(at) = named.or_else(by_port) else { return Ok(None) };
        let domain = stream_domain(socket)?;
        if domain == libc::AF_INET6 && getsockopt(socket, Ipv6V6Only)? {
            setsockopt(socket, Ipv6V6Only, &false)?;
        }
        Ok(Some(SocketAddress::of_network(at, domain)))
    }
}

/// The family of a socket of TCP; of no other kind one is bound or listens.
pub(super) fn stream_domain(socket: &OwnedFd) -> Result<i32, Errno> {
    if !socket_is(socket, libc::SO_TYPE, libc::SOCK_STREAM)?
        || !socket_is(socket, libc::SO_PROTOCOL, libc::IPPROTO_TCP)?
    {
        return Err(REFUSED);
    }
    for domain in [libc::AF_INET, libc::AF_INET6] {
        if socket_is(socket, libc::SO_DOMAIN, domain)? {
            return Ok(domain);
        }
    }
    Err(REFUSED)
}

fn own_address(socket: &OwnedFd) -> Result<Option<SocketAddr>, Errno> {
    let own: SockaddrStorage = getsockname(socket.as_raw_fd())?;
    let four = own.as_sockaddr_in().map(|own| SocketAddr::V4((*own).into()));
    let six = || own.as_sockaddr_in6().map(|own| SocketAddr::V6((*own).into()));
    Ok(four.or_else(six).map(|own| SocketAddr::new(own.ip().to_canonical(), own.port())))
}
