//! One run's part in a network: one of its own, or one that it shares with the other runs of its context.

use super::{Network, Outside, Proxied, Sockets};
use crate::context::Context;
use crate::shared_network::SharedNetwork;
use cofferdam_bridge::event::ExecutionReport;
use std::io;
use std::sync::Arc;

/// Whose network a run is in, for as long as it lasts.
#[derive(Debug)]
pub(crate) struct OneNetwork {
    whose: Whose,
    /// The run's first process, by the host's number.
    first: i32,
}

#[derive(Debug)]
enum Whose {
    Own(Network),
    Shared(Arc<SharedNetwork>),
    Proxied(Proxied),
}

impl OneNetwork {
    /// That of a run which has a proxy instead, and whose first process is `first`.
    pub(crate) fn proxied(proxied: Proxied, first: i32) -> Self {
        proxied.askers().begin(first);
        Self { whose: Whose::Proxied(proxied), first }
    }

    /// The part of the run whose first process is `first`; none where the policy names no host.
    pub(crate) fn of(context: &Context, sockets: Sockets, outside: &Outside, first: i32) -> io::Result<Option<Self>> {
        if context.ports.is_empty() {
            return Ok(None);
        }
        let whose = match &context.network {
            Some(shared) => Whose::Shared(shared.clone()),
            None => Whose::Own(Network::start(&context.profile.network, outside, sockets)?),
        };
        let own = Self { whose, first };
        own.network().into_iter().for_each(|network| network.askers().begin(first));
        Ok(Some(own))
    }

    fn network(&self) -> Option<&Network> {
        match &self.whose {
            Whose::Own(network) => Some(network),
            Whose::Shared(shared) => shared.names(),
            Whose::Proxied(_) => None,
        }
    }

    /// The run has ended: tells what happened. Of a shared network that is what has happened since another run told it.
    pub(crate) fn finish(mut self, report: &mut ExecutionReport) {
        if let Whose::Proxied(proxied) = self.whose {
            return proxied.finish(report);
        }
        if let Whose::Own(network) = &mut self.whose {
            network.end();
        }
        if let Some(network) = self.network() {
            network.askers().end(self.first);
            network.tell(report);
        }
    }
}
