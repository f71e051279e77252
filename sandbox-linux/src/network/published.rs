//! Ports of a run that the host's loopback has, too: who connects there is carried to whoever listens inside, or at the run's own
//! addresses of loopback where it has no network of its own.
//!
//! The ports are bound before the run begins, so that one that is taken refuses the start, and are let go when the run has ended.

use super::own_loopback::OwnLoopback;
use crate::inner_sockets::{Door, Family};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::profile::{NetworkMode, NetworkProfile, PublishRule};
use cofferdam_bridge::published_port::PublishedPort;
use cofferdam_plane_kit::network::accept;
use cofferdam_plane_kit::network::carry::{carry, reset};
use cofferdam_plane_kit::network::room::Room;
use cofferdam_plane_kit::network::traffic::Meter;
use cofferdam_plane_kit::network::worker::Worker;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener as BlockingListener};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How often another port is tried where any will do: over IPv6 the one that was free over IPv4 may be taken.
const MOST_TRIES: usize = 16;
/// As many sockets are made in the run's network at once.
const STOCK: usize = 8;

/// Ports of the host's loopback that wait for a run.
#[derive(Debug, Default)]
pub(crate) struct Bound(Vec<(PublishedPort, Vec<BlockingListener>)>);

/// Ports that are served, until this is dropped.
#[derive(Debug)]
pub(crate) struct Published {
    ports: Vec<(PublishedPort, Arc<Meter>)>,
    worker: Worker,
}

impl Bound {
    /// Binds what `profile` publishes. With the host's own network there is nothing to publish.
    ///
    /// # Errors
    /// `port_unavailable` for one that cannot be had.
    pub(crate) fn new(profile: &NetworkProfile) -> Result<Self, BridgeError> {
        let rules: &[PublishRule] = if profile.mode == NetworkMode::Inherit { &[] } else { &profile.publish };
        rules.iter().map(bind).collect::<Result<_, _>>().map(Self)
    }

    /// Serves them by `way`; none where nothing is published.
    ///
    /// # Errors
    /// No thread or descriptors for it.
    pub(crate) fn serve(self, way: impl FnOnce() -> io::Result<Way>) -> io::Result<Option<Published>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let inside = Arc::new(Inside { way: way()?, stock: Mutex::default() });
        let (mut ports, mut listening) = (Vec::new(), Vec::new());
        for (port, listeners) in self.0 {
            let meter = Arc::new(Meter::default());
            listening.extend(listeners.into_iter().map(|listener| (port.port, listener, meter.clone())));
            ports.push((port, meter));
        }
        let room = Room::of_visitors();
        let worker = Worker::start(move |stop| async move {
            let mut tasks = JoinSet::new();
            for (port, listener, meter) in listening {
                let Ok(listener) = TcpListener::from_std(listener) else { continue };
                let one = Serving { port, meter, inside: inside.clone(), room: room.clone(), stop: stop.clone() };
                tasks.spawn(one.all(listener));
            }
            while tasks.join_next().await.is_some() {}
        })?;
        Ok(Some(Published { ports, worker }))
    }
}

impl Published {
    /// Where they are; nothing of what came there.
    pub(crate) fn ports(&self) -> Vec<PublishedPort> {
        self.ports.iter().map(|(port, _)| port.clone()).collect()
    }

    /// Takes no more connections, and lets those go that there are.
    pub(crate) fn end(&mut self) {
        self.worker.end();
    }

    /// Where they are, and what came there since it was last told.
    pub(crate) fn tell(&self) -> Vec<PublishedPort> {
        let told = |(port, meter): &(PublishedPort, Arc<Meter>)| {
            let mut port = port.clone();
            let counts = meter.take();
            (port.connections, port.failed) = (counts.connections, counts.failed);
            (port.sent_bytes, port.received_bytes) = (counts.sent_bytes, counts.received_bytes);
            port
        };
        self.ports.iter().map(told).collect()
    }
}

/// By what a run is reached.
#[derive(Debug)]
pub(crate) enum Way {
    /// Sockets of the network that it has of its own.
    Door(Door),
    /// Its addresses of the host's loopback.
    Loopback(Arc<OwnLoopback>),
}

/// Makes connections inside.
#[derive(Debug)]
struct Inside {
    way: Way,
    stock: Mutex<Vec<std::net::TcpStream>>,
}

impl Inside {
    /// Connects to whoever listens at `port` of the run's loopback. Over IPv6 where nobody does over IPv4.
    async fn connect(&self, port: u16) -> io::Result<TcpStream> {
        match self.connect_by(Family::Four, port).await {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => self.connect_by(Family::Six, port).await,
            outcome => outcome,
        }
    }

    async fn connect_by(&self, family: Family, port: u16) -> io::Result<TcpStream> {
        let (socket, to) = match (&self.way, family) {
            (Way::Door(door), Family::Four) => {
                (TcpSocket::from_std_stream(self.stocked(door)?), (Ipv4Addr::LOCALHOST, port).into())
            }
            (Way::Door(door), Family::Six) => {
                let socket = door.sockets(Family::Six, 1)?.pop().ok_or(io::ErrorKind::NotFound)?;
                (TcpSocket::from_std_stream(socket), (Ipv6Addr::LOCALHOST, port).into())
            }
            (Way::Loopback(own), family) => {
                let at = own.place(port, family).ok_or(io::ErrorKind::NotFound)?;
                (TcpSocket::new_v4()?, SocketAddr::V4(at))
            }
        };
        socket.connect(to).await
    }

    fn stocked(&self, door: &Door) -> io::Result<std::net::TcpStream> {
        let mut stock = self.stock.lock().unwrap_or_else(PoisonError::into_inner);
        if stock.is_empty() {
            *stock = door.sockets(Family::Four, STOCK)?;
        }
        stock.pop().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// One port on one address of the host.
struct Serving {
    port: u16,
    meter: Arc<Meter>,
    inside: Arc<Inside>,
    room: Room,
    stop: watch::Receiver<bool>,
}

impl Serving {
    /// Serves one listener. One that waits takes no place from those that carry: with many ports all places would be taken by waiting.
    async fn all(self, listener: TcpListener) {
        let (room, stop) = (self.room.clone(), self.stop.clone());
        accept::each(listener, &room, stop, |stream, _| {
            let (inside, meter, port, stop) = (self.inside.clone(), self.meter.clone(), self.port, self.stop.clone());
            async move {
                match inside.connect(port).await {
                    Ok(own) => {
                        meter.connected();
                        carry(own, stream, &meter, stop).await;
                    }
                    Err(_) => {
                        meter.failed();
                        reset(stream);
                    }
                }
            }
        })
        .await;
    }
}

fn bind(rule: &PublishRule) -> Result<(PublishedPort, Vec<BlockingListener>), BridgeError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match bind_once(rule.host_port.unwrap_or(0)) {
            Ok((host_port, listeners)) => return Ok((PublishedPort::new(rule.port, host_port), listeners)),
            Err(error)
                if rule.host_port.is_none() && error.kind() == io::ErrorKind::AddrInUse && tries < MOST_TRIES => {}
            Err(error) => return Err(unavailable(rule, &error)),
        }
    }
}

fn bind_once(port: u16) -> io::Result<(u16, Vec<BlockingListener>)> {
    let four = BlockingListener::bind((Ipv4Addr::LOCALHOST, port))?;
    let port = four.local_addr()?.port();
    let mut listeners = vec![four];
    match BlockingListener::bind((Ipv6Addr::LOCALHOST, port)) {
        Ok(six) => listeners.push(six),
        // Without IPv6 nobody can ask there.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL)) => {}
        Err(error) => return Err(error),
    }
    listeners.iter().try_for_each(|listener| listener.set_nonblocking(true))?;
    Ok((port, listeners))
}

fn unavailable(rule: &PublishRule, error: &io::Error) -> BridgeError {
    let at = rule.host_port.map_or_else(|| "a free port".to_owned(), |port| format!("port {port}"));
    let (why, fix) = match error.kind() {
        io::ErrorKind::AddrInUse => ("another program has it", "end that"),
        io::ErrorKind::PermissionDenied => ("this user may not listen there", "name a port above 1023"),
        _ => ("it could not be bound", "look at the error number"),
    };
    let message = format!(
        "port {} of the run cannot be published at {at} of this machine's loopback: {why}; {fix}, or publish it elsewhere: network.listen = [\"*:{}\"]",
        rule.port, rule.port
    );
    let errno = error.raw_os_error().unwrap_or(0);
    BridgeError::new(ErrorCode::PortUnavailable, message).with("port", rule.port).with("errno", errno)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cofferdam_bridge::verdict::RuleRef;

    #[test]
    fn a_port_that_is_taken_is_refused_and_any_other_is_found() {
        let taken = BlockingListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let mut profile = NetworkProfile::default();
        profile.publish.push(PublishRule::new(8000, Some(port), RuleRef::new("t", None, "t")));
        let error = Bound::new(&profile).unwrap_err();
        assert_eq!(error.code, ErrorCode::PortUnavailable);
        assert!(error.message.contains(&port.to_string()), "{}", error.message);
        // With the host's own network there is nothing to bind.
        profile.mode = NetworkMode::Inherit;
        assert!(Bound::new(&profile).unwrap().0.is_empty());
        let mut profile = NetworkProfile::default();
        profile.publish.push(PublishRule::new(8000, None, RuleRef::new("t", None, "t")));
        let bound = Bound::new(&profile).unwrap();
        let found = bound.0[0].0.host_port;
        assert!(found != port && BlockingListener::bind((Ipv4Addr::LOCALHOST, found)).is_err());
        drop(bound);
        BlockingListener::bind((Ipv4Addr::LOCALHOST, found)).unwrap();
    }
}
