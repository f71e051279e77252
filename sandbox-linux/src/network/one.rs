//! One run's part in a network: one of its own, or one that it shares with the other runs of its context.

use super::quiet::Quiet;
use super::{HostPorts, Known, Network, Outside, Proxied, Sockets, Visited};
use crate::context::Context;
use crate::inner_sockets::Door;
use crate::shared_network::SharedNetwork;
use cofferdam_bridge::event::ExecutionReport;
use cofferdam_bridge::published_port::PublishedPort;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::{io, mem};

/// Whose network a run is in, for as long as it lasts.
pub(crate) struct OneNetwork {
    names: Names,
    visited: Visited,
    /// The run, for as long as a shared one is to know of it.
    known: Known,
    /// By what it reaches hosts, where it has no network namespace.
    proxied: Option<Proxied>,
}

enum Names {
    Nobodys,
    /// Its own, which it has not used yet. Most runs never do, and a start that need not wait for a thread is a shorter one.
    Quiet {
        sockets: Quiet,
        context: Arc<Context>,
        outside: Box<Outside>,
    },
    Own(Network),
    Shared(Arc<SharedNetwork>),
}

impl OneNetwork {
    /// The part of the run that is `known`. `ports`: the host's ports, and the way in to what is published there. `proxied`: by what it
    /// reaches hosts without a network namespace.
    pub(crate) fn of(
        context: &Arc<Context>,
        (ports, door): (HostPorts, Option<Door>),
        sockets: Sockets,
        outside: &Outside,
        (known, proxied): (Known, Option<Proxied>),
    ) -> io::Result<Self> {
        let names = match &context.network {
            _ if context.ports.is_empty() => Names::Nobodys,
            Some(shared) => Names::Shared(shared.clone()),
            None => {
                let outside = Box::new(outside.ending_tls_by(&context.authority));
                Names::Quiet { sockets: Quiet::new(sockets)?, context: context.clone(), outside }
            }
        };
        Ok(Self { names, visited: ports.serve(context, door)?, known, proxied })
    }

    /// What becomes readable when [`Self::serve`] has something to do.
    pub(crate) fn waits_on(&self) -> Option<BorrowedFd<'_>> {
        match &self.names {
            Names::Quiet { sockets, .. } => Some(sockets.as_fd()),
            _ => None,
        }
    }

    /// Begins to serve the run's own network where it has been asked for something.
    ///
    /// # Errors
    /// Where there is no thread or no descriptor for that. What was asked is refused then.
    pub(crate) fn serve(&mut self) -> io::Result<()> {
        if !matches!(&self.names, Names::Quiet { sockets, .. } if sockets.is_over()) {
            return Ok(());
        }
        if let Names::Quiet { sockets, context, outside } = mem::replace(&mut self.names, Names::Nobodys) {
            let run = Some((self.known.first, self.known.host.clone()));
            self.names = Names::Own(Network::start(&context.profile, &outside, sockets.into_sockets(), run)?);
        }
        Ok(())
    }

    fn network(&self) -> Option<&Network> {
        match &self.names {
            Names::Nobodys | Names::Quiet { .. } => None,
            Names::Own(network) => Some(network),
            Names::Shared(shared) => shared.names(),
        }
    }

    /// Where the host's loopback has its ports.
    pub(crate) fn ports(&self) -> Vec<PublishedPort> {
        self.visited.ports()
    }

    /// The run has ended: tells what happened. Of a shared network that is what has happened since another run told it.
    pub(crate) fn finish(mut self, report: &mut ExecutionReport) {
        // What it asked for last; without a thread for it there is nobody left to hear that.
        let _ = self.serve();
        if let Names::Own(network) = &mut self.names {
            network.end();
        }
        if let Some(network) = self.network() {
            network.tell(report);
        }
        drop(self.known);
        report.published = self.visited.finish();
        if let Some(proxied) = self.proxied {
            proxied.finish(report);
        }
    }
}
