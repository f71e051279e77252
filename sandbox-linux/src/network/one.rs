//! One run's part in a network: one of its own, or one that it shares with the other runs of its context.

use super::{HostPorts, Network, NetworkAhead, Outside, Proxied, Sockets, Visited};
use crate::context::Context;
use crate::inner_sockets::Door;
use crate::shared_network::SharedNetwork;
use cofferdam_bridge::event::{ExecutionEventSink, ExecutionReport};
use cofferdam_bridge::published_port::PublishedPort;
use cofferdam_plane_kit::network::worker::Stop;
use std::io;
use std::sync::Arc;

/// Whose network a run is in, for as long as it lasts.
#[derive(Debug)]
pub(crate) struct OneNetwork {
    names: Names,
    visited: Visited,
    /// By what it reaches hosts, where it has no network namespace.
    proxied: Option<Proxied>,
    /// The run's first process, by the host's number.
    first: i32,
}

#[derive(Debug)]
enum Names {
    Nobodys,
    Own(Network),
    Shared(Arc<SharedNetwork>),
}

impl OneNetwork {
    /// What of a network of its own can be there before its sockets, where a run in `context` has one.
    pub(crate) fn ahead(context: &Context, outside: &Outside) -> Option<io::Result<NetworkAhead>> {
        let has_own = context.network.is_none() && !context.ports.is_empty();
        has_own.then(|| NetworkAhead::new(&context.profile, &outside.ending_tls_by(&context.authority)))
    }

    /// The part of the run whose first process is `first`, and for which `host` is asked. `ports`: the host's ports, and the way in to what is published there.
    pub(crate) fn of(
        context: &Context,
        (ports, door): (HostPorts, Option<Door>),
        (sockets, ahead): (Sockets, Option<io::Result<NetworkAhead>>),
        outside: &Outside,
        (first, host): (i32, &Arc<dyn ExecutionEventSink>),
    ) -> io::Result<Self> {
        let names = match &context.network {
            Some(shared) if !context.ports.is_empty() => Names::Shared(shared.clone()),
            _ => match ahead.or_else(|| Self::ahead(context, outside)) {
                Some(ahead) => Names::Own(Network::start(ahead?, sockets)),
                None => Names::Nobodys,
            },
        };
        let own = Self { names, visited: ports.serve(context, door)?, proxied: None, first };
        own.network().into_iter().for_each(|network| network.begin(first, host.clone()));
        Ok(own)
    }

    /// The same with a proxy by which the run reaches hosts.
    pub(crate) fn reaching_through(mut self, proxied: Option<Proxied>, host: &Arc<dyn ExecutionEventSink>) -> Self {
        proxied.iter().for_each(|proxied| proxied.begin(self.first, host.clone()));
        self.proxied = proxied;
        self
    }

    fn network(&self) -> Option<&Network> {
        match &self.names {
            Names::Nobodys => None,
            Names::Own(network) => Some(network),
            Names::Shared(shared) => shared.names(),
        }
    }

    /// Where the host's loopback has its ports.
    pub(crate) fn ports(&self) -> Vec<PublishedPort> {
        self.visited.ports()
    }

    /// What tells a network of its own that the run has ended, ahead of `finish`.
    pub(crate) fn stop(&self) -> Option<Stop> {
        match &self.names {
            Names::Own(network) => Some(network.stop()),
            _ => None,
        }
    }

    /// The run has ended: tells what happened. Of a shared network that is what has happened since another run told it.
    pub(crate) fn finish(mut self, report: &mut ExecutionReport) {
        if let Names::Own(network) = &mut self.names {
            network.end();
        }
        if let Some(network) = self.network() {
            network.end_run(self.first);
            network.tell(report);
        }
        report.published = self.visited.finish();
        if let Some(proxied) = self.proxied {
            proxied.finish(report);
        }
    }
}
