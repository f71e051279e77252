//! One run's part in a network: one of its own, or one that it shares with the other runs of its context.

use super::{Bound, Network, Outside, Proxied, Published, Sockets};
use crate::context::Context;
use crate::inner_sockets::Door;
use crate::shared_network::SharedNetwork;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::event::{ExecutionEventSink, ExecutionReport};
use cofferdam_bridge::published_port::PublishedPort;
use std::io;
use std::sync::Arc;

/// Whose network a run is in, for as long as it lasts.
#[derive(Debug)]
pub(crate) struct OneNetwork {
    names: Whose<Network>,
    published: Whose<Published>,
    /// By what it reaches hosts, where it has no network namespace.
    proxied: Option<Proxied>,
    /// The run's first process, by the host's number.
    first: i32,
}

#[derive(Debug)]
enum Whose<T> {
    Nobodys,
    Own(T),
    Shared(Arc<SharedNetwork>),
}

/// The host's ports for a run that is about to begin.
pub(crate) fn bound(context: &Context) -> Result<Bound, BridgeError> {
    match &context.network {
        // They are the network's, and bound with its first run.
        Some(shared) => shared.published(&context.profile.network).map(|_| Bound::default()),
        None if context.publishes_alone() => Bound::new(&context.profile.network),
        // Sockets from inside would be the host's own.
        None => Ok(Bound::default()),
    }
}

impl OneNetwork {
    /// The part of the run whose first process is `first`, and for which `host` is asked. `bound`: the host's ports, and the way in to what is published there.
    pub(crate) fn of(
        context: &Context,
        (bound, door): (Bound, Option<Door>),
        sockets: Sockets,
        outside: &Outside,
        (first, host): (i32, &Arc<dyn ExecutionEventSink>),
    ) -> io::Result<Self> {
        let names = match &context.network {
            _ if context.ports.is_empty() => Whose::Nobodys,
            Some(shared) => Whose::Shared(shared.clone()),
            None => Whose::Own(Network::start(&context.profile, outside, sockets)?),
        };
        let published = match &context.network {
            Some(shared) => Whose::Shared(shared.clone()),
            None => {
                let door = || door.ok_or_else(|| io::ErrorKind::NotFound.into());
                bound.serve(door)?.map_or(Whose::Nobodys, Whose::Own)
            }
        };
        let own = Self { names, published, proxied: None, first };
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
            Whose::Nobodys => None,
            Whose::Own(network) => Some(network),
            Whose::Shared(shared) => shared.names(),
        }
    }

    fn published(&self) -> Option<&Published> {
        match &self.published {
            Whose::Nobodys => None,
            Whose::Own(published) => Some(published),
            Whose::Shared(shared) => shared.already_published(),
        }
    }

    /// Where the host's loopback has its ports.
    pub(crate) fn ports(&self) -> Vec<PublishedPort> {
        self.published().map(Published::ports).unwrap_or_default()
    }

    /// The run has ended: tells what happened. Of a shared network that is what has happened since another run told it.
    pub(crate) fn finish(mut self, report: &mut ExecutionReport) {
        if let Whose::Own(network) = &mut self.names {
            network.end();
        }
        if let Whose::Own(published) = &mut self.published {
            published.end();
        }
        report.published = self.published().map(Published::tell).unwrap_or_default();
        if let Some(network) = self.network() {
            network.end_run(self.first);
            network.tell(report);
        }
        if let Some(proxied) = self.proxied {
            proxied.finish(report);
        }
    }
}
