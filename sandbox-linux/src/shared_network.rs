//! A network namespace that the executions of one context join, so that they reach what each other listens on.
//!
//! Nobody lives in it and no process keeps it: two descriptors of the host's do, one of the network namespace, and one of the user
//! namespace that owns it. They close when the context is forgotten or the host dies, however it does, and what still runs
//! in the network takes it along when it ends. A run joins both before it gets a user namespace of its own beneath: it has no
//! capability over the network that it lives in, and all else (files, processes, memory, sockets of the file system) stays its own.

use crate::format::message;
use crate::inner_sockets::Door;
use crate::launcher::Launcher;
use crate::network::{Bound, Network, Outside, Ports, Published, Sockets, Way};
use crate::parked::Parked;
use crate::plan::beforehand;
use crate::start::receive;
use crate::step_report;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::profile::{ExecutionProfile, NetworkProfile};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, OnceLock, PoisonError};

/// The namespaces to join.
#[derive(Debug)]
pub(crate) struct SharedNetwork {
    user: OwnedFd,
    network: OwnedFd,
    /// What answers there, where the policy names hosts.
    names: Option<Network>,
    /// Its ports that the host's loopback has, from the first run on.
    published: OnceLock<Option<Published>>,
    /// Runs that begin at once publish once.
    publishing: Mutex<()>,
}

impl SharedNetwork {
    /// Makes one, with nothing but a loopback: a launcher sets it up in fresh namespaces, and ends. Where the policy names hosts,
    /// `ports` are listened on, and what arrives there is answered by the rules of `profile`.
    pub(crate) fn new(
        launcher: &Launcher,
        profile: &ExecutionProfile,
        ports: &Ports,
        outside: &Outside,
    ) -> Result<Self, BridgeError> {
        let flags = libc::CLONE_NEWUSER | libc::CLONE_NEWNET;
        let parked = Parked::with_plan(launcher, flags, beforehand::network(flags, ports))?;
        let mut sockets = Sockets::default();
        let spawn_failed = |error: io::Error| step_report::spawn_failed(&error);
        loop {
            match receive(parked.control()?).map_err(spawn_failed)? {
                Some(message) if message.kind == message::READY => break,
                Some(message) if message.kind == message::FAILED => return Err(parked.explain(&message)),
                Some(message) => sockets.take(message),
                None => return Err(step_report::silent()),
            }
        }
        // It waits, and is not reaped before it is dropped: the number is its own.
        let pid = parked.pid().unwrap_or(0);
        let open = |name: &str| File::open(format!("/proc/{pid}/ns/{name}")).map(OwnedFd::from).map_err(spawn_failed);
        let names = (!ports.is_empty()).then(|| Network::start(profile, outside, sockets, None)).transpose();
        Ok(Self {
            user: open("user")?,
            network: open("net")?,
            names: names.map_err(spawn_failed)?,
            published: OnceLock::new(),
            publishing: Mutex::default(),
        })
    }

    /// What answers there, where the policy names hosts.
    pub(crate) fn names(&self) -> Option<&Network> {
        self.names.as_ref()
    }

    /// What the host's loopback has of it: bound when the first run begins, and from then on for as long as the network lasts.
    pub(crate) fn published(&self, profile: &NetworkProfile) -> Result<Option<&Published>, BridgeError> {
        let _turn = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(published) = self.published.get() {
            return Ok(published.as_ref());
        }
        let bound = Bound::new(profile)?;
        let served = bound.serve(|| Door::of(self.user(), self.network()).map(Way::Door));
        let served = served.map_err(|error| step_report::spawn_failed(&error))?;
        Ok(self.published.get_or_init(|| served).as_ref())
    }

    /// The same, once a run has begun.
    pub(crate) fn already_published(&self) -> Option<&Published> {
        self.published.get()?.as_ref()
    }

    /// The user namespace that owns the network.
    pub(crate) fn user(&self) -> BorrowedFd<'_> {
        self.user.as_fd()
    }

    /// The network.
    pub(crate) fn network(&self) -> BorrowedFd<'_> {
        self.network.as_fd()
    }
}
