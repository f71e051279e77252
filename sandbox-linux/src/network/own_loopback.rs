//! Where a run listens that has no network of its own: at addresses of the host's loopback that nobody else can take.
//!
//! For each port that the policy publishes, two places on addresses out of 127.0.0.0/8 that were drawn for the run: one for who listens
//! on IPv4, or on IPv6 and IPv4 at once, and one for who listens on IPv6 alone, which knows no loopback but `::1`. On each a socket of
//! ours is bound that never listens, so that the kernel gives the place to no other user's socket, neither by name nor by a wildcard, and to one of
//! this user only while a call is made (below).
//! A socket of the run's gets it for as long as bind(2) or listen(2) takes: while both say that they share it (SO_REUSEPORT,
//! socket(7)), which the kernel asks of each socket at each of the two calls, and lets sockets of one user alone do.

use crate::inner_sockets::Family;
use crate::random;
use cofferdam_bridge::profile::PublishRule;
use nix::errno::Errno;
use nix::sys::socket::sockopt::ReusePort;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, bind, getsockname, getsockopt, setsockopt, socket,
};
use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

/// How often other addresses are drawn where somebody has the ones that were.
const MOST_TRIES: usize = 16;

/// Below, a port is nobody's without a right that the broker does not have (ip(7), ip_unprivileged_port_start).
const FIRST_OPEN_PORT: u16 = 1024;

/// The places of one run, or of those of a session, until this is dropped.
#[derive(Debug)]
pub(crate) struct OwnLoopback {
    ports: Vec<OwnPort>,
    /// Two calls at once would see each other's sharing.
    turn: Mutex<()>,
    /// Who listened last on a port: on IPv4 as well, or on IPv6 alone.
    latest: Mutex<HashMap<u16, Family>>,
}

/// The places of one port, which the run knows by `inside`.
#[derive(Debug)]
struct OwnPort {
    inside: u16,
    four: Kept,
    six: Kept,
}

/// A place that is kept.
#[derive(Debug)]
struct Kept {
    socket: OwnedFd,
    at: SocketAddrV4,
}

impl OwnLoopback {
    /// Takes places for the ports of `rules`.
    ///
    /// # Errors
    /// The last one, where there are none to be had.
    pub(crate) fn new(rules: &[PublishRule]) -> io::Result<Self> {
        let mut last = io::ErrorKind::AddrNotAvailable.into();
        for _ in 0..MOST_TRIES {
            let (four, six) = (drawn()?, drawn()?);
            let both = |rule: &PublishRule| {
                Ok(OwnPort { inside: rule.port, four: Kept::new(four, rule.port)?, six: Kept::new(six, rule.port)? })
            };
            match rules.iter().map(both).collect::<Result<_, Errno>>() {
                Ok(ports) if four != six => {
                    return Ok(Self { ports, turn: Mutex::default(), latest: Mutex::default() });
                }
                Ok(_) => {}
                Err(errno) => last = errno.into(),
            }
        }
        Err(last)
    }

    /// The place of `port` for who listens on `family`, [`Family::Six`] being IPv6 alone; none where that port is not published.
    pub(crate) fn place(&self, port: u16, family: Family) -> Option<SocketAddrV4> {
        let own = self.ports.iter().find(|own| own.inside == port)?;
        Some(if family == Family::Four { own.four.at } else { own.six.at })
    }

    /// The port by which the run knows the place `at`.
    pub(crate) fn port_at(&self, at: SocketAddrV4) -> Option<u16> {
        self.ports.iter().find(|own| own.four.at == at || own.six.at == at).map(|own| own.inside)
    }

    /// Remembers who listens on `port` now.
    pub(crate) fn listens(&self, port: u16, family: Family) {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).insert(port, family);
    }

    /// Who listened there last.
    pub(crate) fn latest(&self, port: u16) -> Family {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).get(&port).copied().unwrap_or(Family::Four)
    }

    /// Lets `guest` have the place `at` while `act` binds it there or makes it listen.
    ///
    /// # Errors
    /// What `act` answers; `EADDRNOTAVAIL` for a place that is none of these.
    pub(crate) fn lend(
        &self,
        at: SocketAddrV4,
        guest: &OwnedFd,
        act: impl FnOnce() -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let mut places = self.ports.iter().flat_map(|own| [&own.four, &own.six]);
        let kept = places.find(|kept| kept.at == at).ok_or(Errno::EADDRNOTAVAIL)?;
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let before = getsockopt(guest, ReusePort)?;
        setsockopt(guest, ReusePort, &true)?;
        let outcome = setsockopt(&kept.socket, ReusePort, &true).and_then(|()| act());
        setsockopt(&kept.socket, ReusePort, &false)?;
        // Its own other threads may have set it meanwhile: it holds nothing that we rely on.
        let _ = setsockopt(guest, ReusePort, &before);
        forget_sharing(at.port());
        outcome
    }
}

impl Kept {
    /// A place at `address`: at `port`, or where that cannot be had at one that is free. Programs of the host that listen on a port on all
    /// addresses have it on this one, too.
    fn new(address: Ipv4Addr, port: u16) -> Result<Self, Errno> {
        let named =
            if port < FIRST_OPEN_PORT { Err(Errno::EACCES) } else { Self::at(SocketAddrV4::new(address, port)) };
        named.or_else(|_| Self::at(SocketAddrV4::new(address, 0)))
    }

    fn at(at: SocketAddrV4) -> Result<Self, Errno> {
        let socket = plain_socket()?;
        bind(socket.as_raw_fd(), &SockaddrIn::from(at))?;
        let own: SockaddrIn = getsockname(socket.as_raw_fd())?;
        Ok(Self { socket, at: own.into() })
    }
}

fn plain_socket() -> Result<OwnedFd, Errno> {
    socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)
}

/// The kernel remembers of a port that the last socket there shared it, and asks no longer whether the others still do, until one
/// comes that does not (`inet_csk_update_fastreuse`): another program of this user could take part of what comes to the run.
fn forget_sharing(port: u16) {
    for _ in 0..MOST_TRIES {
        let Ok(address) = drawn() else { return };
        match plain_socket().and_then(|one| bind(one.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(address, port))))
        {
            Err(Errno::EADDRINUSE) => {}
            _ => return,
        }
    }
}

/// An address of loopback that nobody is likely to use: neither 127.0.0.1 nor its neighbours.
fn drawn() -> io::Result<Ipv4Addr> {
    let [one, two, three] = random::bytes()?;
    Ok(Ipv4Addr::new(127, 64 + one % 190, two, 1 + three % 254))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cofferdam_bridge::verdict::RuleRef;
    use nix::sys::socket::{Backlog, listen, sockopt::ReuseAddr};
    use std::net::{TcpListener, TcpStream};

    fn rule(port: u16) -> PublishRule {
        PublishRule::new(port, None, RuleRef::new("t", None, "t"))
    }

    /// What a program answers that wants `at` for itself, by all that it can say.
    fn taken(at: SocketAddrV4, reuse: bool) -> Result<(), Errno> {
        let other = plain_socket()?;
        setsockopt(&other, ReuseAddr, &reuse)?;
        setsockopt(&other, ReusePort, &reuse)?;
        bind(other.as_raw_fd(), &SockaddrIn::from(at))
    }

    #[test]
    fn a_place_is_lent_for_a_call_and_never_to_anybody_else() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let own = OwnLoopback::new(&[rule(free)]).unwrap();
        let at = own.place(free, Family::Four).unwrap();
        assert_eq!((at.port(), own.port_at(at)), (free, Some(free)));
        assert_ne!(at.ip(), own.place(free, Family::Six).unwrap().ip());
        let nobody_else = |when: &str| {
            for (place, reuse) in [(at, true), (at, false), (SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, free), true)] {
                assert_eq!(taken(place, reuse), Err(Errno::EADDRINUSE), "{when}: {place} {reuse}");
            }
        };
        nobody_else("before");
        let guest = plain_socket().unwrap();
        let to = SockaddrIn::from(at);
        own.lend(at, &guest, || bind(guest.as_raw_fd(), &to)).unwrap();
        nobody_else("bound");
        assert_eq!(listen(&guest, Backlog::MAXCONN), Err(Errno::EADDRINUSE), "not by itself");
        own.lend(at, &guest, || listen(&guest, Backlog::MAXCONN)).unwrap();
        nobody_else("listens");
        TcpStream::connect(at).unwrap();
        // The sharing ended with the call: a second one is told as any that comes late.
        let second = plain_socket().unwrap();
        assert_eq!(own.lend(at, &second, || bind(second.as_raw_fd(), &to)), Err(Errno::EADDRINUSE));
        drop(guest);
        nobody_else("ended");
        assert!(TcpStream::connect(at).is_err(), "what keeps it does not listen");
    }

    #[test]
    fn a_port_that_the_host_has_on_all_addresses_gets_another_place() {
        let host = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = host.local_addr().unwrap().port();
        let own = OwnLoopback::new(&[rule(port), rule(80)]).unwrap();
        for (port, named) in [(port, port), (80, 80)] {
            let at = own.place(port, Family::Four).unwrap();
            assert_ne!(at.port(), named);
            assert_eq!(own.port_at(at), Some(port));
        }
        assert_eq!(own.place(81, Family::Four), None);
    }
}
