//! The network of one run: its sockets, the thread that answers on them, and what is told at the end.

use super::Outside;
use super::asker::{Askers, Protocol};
use super::carried::Carried;
use super::datagrams::Datagrams;
use super::packets::Packets;
use super::unreachable::Refusals;
use crate::format::message::socket;
use crate::start::Message;
use cofferdam_bridge::event::{ExecutionEventSink, ExecutionReport};
use cofferdam_bridge::host_traffic::HostTraffic;
use cofferdam_bridge::profile::ExecutionProfile;
use cofferdam_bridge::verdict::Denial;
use cofferdam_plane_kit::network::carry::reset;
use cofferdam_plane_kit::network::datagrams::Table;
use cofferdam_plane_kit::network::gate::{Gate, canonical};
use cofferdam_plane_kit::network::name_message::Question;
use cofferdam_plane_kit::network::name_server::LONGEST_QUESTION;
use cofferdam_plane_kit::network::room::Room;
use cofferdam_plane_kit::network::worker::{Worker, ended};
use cofferdam_plane_kit::network::{accept, connection, name_server};
use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// As many refusals as a report holds.
const MOST_DENIALS: usize = 64;
/// As many questions as are worked on at once; more wait in the socket.
const MOST_QUESTIONS: usize = 64;
/// The name server's own port.
const NAME_SERVER: u16 = 53;

/// The sockets of a sandbox, as they came from its launcher.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    listeners: Vec<OwnedFd>,
    names: Option<OwnedFd>,
    /// By port.
    datagrams: Vec<(u16, OwnedFd)>,
    refusals: Refusals,
    packets: Vec<Packets>,
    ports: BTreeSet<u16>,
    has_v6: bool,
}

impl Sockets {
    /// Takes what came with a message of the launcher.
    pub(crate) fn take(&mut self, message: Message) {
        for (value, descriptor) in message.values.into_iter().zip(message.descriptors) {
            self.has_v6 |= value & socket::HAS_V6 != 0;
            let port = (value & socket::PORT) as u16;
            match value & socket::PURPOSE {
                socket::SEEN_CONNECTIONS => self.packets.push(Packets::new(descriptor, port, false)),
                socket::SEEN_DATAGRAMS => self.packets.push(Packets::new(descriptor, port, true)),
                socket::REFUSALS => self.refusals.take(port.into(), descriptor),
                socket::DATAGRAMS if port == NAME_SERVER => self.names = Some(descriptor),
                socket::DATAGRAMS => self.datagrams.push((port, descriptor)),
                _ => {
                    self.listeners.push(descriptor);
                    self.ports.insert(port);
                }
            }
        }
    }
}

impl Sockets {
    /// Those on which somebody waits for an answer, or has asked in vain.
    pub(super) fn asked(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let packets = self.packets.iter().map(Packets::as_fd);
        let datagrams = self.datagrams.iter().map(|(_, socket)| socket.as_fd());
        self.listeners.iter().chain(&self.names).map(AsFd::as_fd).chain(datagrams).chain(packets)
    }
}

/// The network of one run, as long as it lasts.
#[derive(Debug)]
pub(crate) struct Network {
    gate: Arc<Gate>,
    worker: Worker,
    askers: Askers,
}

/// What each task needs.
#[derive(Clone)]
struct Serving {
    gate: Arc<Gate>,
    askers: Askers,
    room: Room,
    stop: watch::Receiver<bool>,
}

impl Network {
    /// Starts answering on `sockets` by the rules of `profile`, to `run` if it has begun: its first process, and who is asked for it.
    pub(crate) fn start(
        profile: &ExecutionProfile,
        outside: &Outside,
        sockets: Sockets,
        run: Option<(i32, Arc<dyn ExecutionEventSink>)>,
    ) -> io::Result<Self> {
        let gate = Gate::new(&profile.network, outside.resolver.clone(), sockets.has_v6);
        let gate = Arc::new(
            gate.through(outside.upstream.clone()).asking(&profile.prompts).ending_tls_by(outside.authority.clone()),
        );
        let askers = Askers::default();
        // What it has asked for already is answered as soon as there is a thread.
        if let Some((first, host)) = run {
            begin(&gate, &askers, first, host);
        }
        let (own, known) = (gate.clone(), askers.clone());
        let worker = Worker::start(move |stop| async move {
            let serving = Serving { gate: own, askers: known, room: Room::new(), stop };
            // Without one of its sockets the run has less than it was given, and nothing more.
            let _ = serving.all(sockets).await;
        })?;
        Ok(Self { gate, worker, askers })
    }

    /// A run has begun there, whose first process is `first`, and for which `host` is asked.
    pub(crate) fn begin(&self, first: i32, host: Arc<dyn ExecutionEventSink>) {
        begin(&self.gate, &self.askers, first, host);
    }

    /// It has ended.
    pub(crate) fn end_run(&self, first: i32) {
        self.askers.end(first);
        self.gate.end(first);
    }

    /// Ends it, when what was sent has been handed on.
    pub(crate) fn end(&mut self) {
        self.worker.end();
    }

    /// Tells what happened, once.
    pub(crate) fn tell(&self, report: &mut ExecutionReport) {
        tell(report, self.gate.take());
    }
}

fn begin(gate: &Gate, askers: &Askers, first: i32, host: Arc<dyn ExecutionEventSink>) {
    askers.begin(first);
    gate.begin(first, host);
}

/// Adds to `report` what went over a network, and what was refused there.
pub(super) fn tell(report: &mut ExecutionReport, (traffic, denials): (Vec<HostTraffic>, Vec<Denial>)) {
    report.network = traffic;
    let room = MOST_DENIALS.saturating_sub(report.denials.len());
    // What was looked at to be explained is told already.
    let known = |denial: &Denial, own: &Denial| denial.access == own.access && denial.subject == own.subject;
    let fresh: Vec<Denial> =
        denials.into_iter().filter(|own| !report.denials.iter().any(|denial| known(denial, own))).collect();
    report.denials.extend(fresh.into_iter().take(room));
}

impl Serving {
    /// Serves until the run has ended and all that it sent has been handed on.
    async fn all(self, sockets: Sockets) -> io::Result<()> {
        let mut tasks = JoinSet::new();
        if let Some(names) = sockets.names {
            let names = Datagrams::new(names, LONGEST_QUESTION)?;
            tasks.spawn(self.clone().names(names));
        }
        for listener in sockets.listeners {
            let listener = TcpListener::from_std(listener.into())?;
            tasks.spawn(self.clone().connections(listener));
        }
        let carried = Carried {
            gate: self.gate.clone(),
            askers: self.askers.clone(),
            refusals: Arc::new(sockets.refusals),
            // At most half: flows stay for a while, and connections wait.
            table: Table::new(self.room.most() / 2),
            room: self.room.clone(),
        };
        let mut datagrams = BTreeSet::from([NAME_SERVER]);
        datagrams.extend(sockets.datagrams.iter().map(|(port, _)| *port));
        for socket in sockets.datagrams {
            let (carried, stop) = (carried.clone(), self.stop.clone());
            tasks.spawn(async move { drop(carried.serve(socket, stop).await) });
        }
        let (connections, datagrams) = (Arc::new(sockets.ports), Arc::new(datagrams));
        for packets in sockets.packets {
            let ports = if packets.are_datagrams() { &datagrams } else { &connections };
            let (gate, ports, mut stop) = (self.gate.clone(), ports.clone(), self.stop.clone());
            tasks.spawn(async move {
                tokio::select! {
                    biased;
                    () = packets.watch(&gate, &ports) => {}
                    () = ended(&mut stop) => {}
                }
            });
        }
        while tasks.join_next().await.is_some() {}
        Ok(())
    }

    /// Answers questions about names until the run has ended.
    async fn names(mut self, socket: Datagrams) {
        let socket = Arc::new(socket);
        let mut under_way = JoinSet::new();
        loop {
            let datagram = tokio::select! {
                datagram = socket.receive(), if under_way.len() < MOST_QUESTIONS => datagram,
                Some(_) = under_way.join_next() => continue,
                () = ended(&mut self.stop) => return,
            };
            let Ok(datagram) = datagram else { continue };
            let (gate, askers, socket) = (self.gate.clone(), self.askers.clone(), socket.clone());
            under_way.spawn(async move {
                let asker = || datagram.asker().and_then(|asker| askers.program(Protocol::Udp, asker));
                let answer = match Question::read(&datagram.bytes) {
                    Ok(question) => gate.answer(&question, asker).await,
                    Err(answer) => answer,
                };
                if !answer.is_empty() {
                    socket.answer(&datagram, &answer);
                }
            });
        }
    }

    /// Takes connections until the run has ended, and then those that still wait.
    async fn connections(self, listener: TcpListener) {
        accept::each(listener, &self.room, self.stop.clone(), |stream, asker| self.clone().connection(stream, asker))
            .await;
    }

    async fn connection(self, stream: TcpStream, asker: SocketAddr) {
        let Ok(dialled) = stream.local_addr() else { return };
        let asker = canonical(asker);
        let program = || self.askers.program(Protocol::Tcp, asker);
        if dialled.port() == NAME_SERVER {
            return name_server::serve(&self.gate, stream, program).await;
        }
        let target = self.gate.target(dialled);
        let mut stop = self.stop.clone();
        // A run that has ended waits for nobody's answer.
        let allowed = tokio::select! {
            allowed = self.gate.decide(&target, program) => allowed,
            () = ended(&mut stop) => false,
        };
        if !allowed {
            self.gate.meter(&target).failed();
            return reset(stream);
        }
        connection::pass(&self.gate, &target, stream, program, self.stop).await;
    }
}
