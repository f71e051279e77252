//! The host's ports by which a run is visited, and whose they are: the run's own, or those of all runs of its context.

use super::own_loopback::OwnLoopback;
use super::{Bound, Published, Way};
use crate::context::Context;
use crate::inner_sockets::Door;
use crate::shared_network::SharedNetwork;
use crate::step_report;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::profile::NetworkProfile;
use cofferdam_bridge::published_port::PublishedPort;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// The ports of a context whose runs share them without having a network of their own: taken with its first run, and kept until it is
/// forgotten.
#[derive(Debug, Default)]
pub(crate) struct SharedPorts {
    all: OnceLock<(Arc<OwnLoopback>, Published)>,
    /// Runs that begin at once take them once.
    taking: Mutex<()>,
}

impl SharedPorts {
    /// Where its runs listen, from the first one on.
    fn taken(&self, profile: &NetworkProfile) -> Result<Arc<OwnLoopback>, BridgeError> {
        let _turn = self.taking.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((loopback, _)) = self.all.get() {
            return Ok(loopback.clone());
        }
        let bound = Bound::new(profile)?;
        let loopback = loopback(profile)?;
        let way = || Ok(Way::Loopback(loopback.clone()));
        let served = bound.serve(way).map_err(|error| step_report::spawn_failed(&error))?;
        Ok(served.map_or(loopback.clone(), |published| self.all.get_or_init(|| (loopback, published)).0.clone()))
    }

    fn published(&self) -> Option<&Published> {
        self.all.get().map(|(_, published)| published)
    }
}

fn loopback(profile: &NetworkProfile) -> Result<Arc<OwnLoopback>, BridgeError> {
    let own = OwnLoopback::new(&profile.publish).map_err(|error| step_report::spawn_failed(&error))?;
    Ok(Arc::new(own))
}

/// The ports of a run that is about to begin.
#[derive(Debug, Default)]
pub(crate) struct HostPorts {
    bound: Bound,
    loopback: Option<Arc<OwnLoopback>>,
}

impl HostPorts {
    /// Those of a run in `context`.
    ///
    /// # Errors
    /// `port_unavailable` for one that cannot be had; none of them is then.
    pub(crate) fn of(context: &Context) -> Result<Self, BridgeError> {
        let profile = &context.profile.network;
        if let Some(shared) = &context.network {
            // They are the network's, and bound with its first run.
            return shared.published(profile).map(|_| Self::default());
        }
        if context.publishes_alone() {
            return Ok(Self { bound: Bound::new(profile)?, loopback: None });
        }
        if !context.publishes_on_loopback() {
            // With the host's own network there is nothing to publish.
            return Ok(Self::default());
        }
        match &context.ports_of_all {
            Some(shared) => Ok(Self { bound: Bound::default(), loopback: Some(shared.taken(profile)?) }),
            None => Ok(Self { bound: Bound::new(profile)?, loopback: Some(loopback(profile)?) }),
        }
    }

    /// Where the run may listen, where it has no network of its own.
    pub(crate) fn loopback(&self) -> Option<Arc<OwnLoopback>> {
        self.loopback.clone()
    }

    /// Serves them for a run in `context` that has begun. `door`: the way in where it has a network of its own.
    ///
    /// # Errors
    /// No thread or descriptors for it.
    pub(crate) fn serve(self, context: &Context, door: Option<Door>) -> io::Result<Visited> {
        if let Some(shared) = &context.network {
            return Ok(Visited::OfNetwork(shared.clone()));
        }
        if let Some(shared) = &context.ports_of_all {
            return Ok(Visited::OfContext(shared.clone()));
        }
        let door = || door.map(Way::Door).ok_or_else(|| io::ErrorKind::NotFound.into());
        let served = self.bound.serve(|| self.loopback.map_or_else(door, |own| Ok(Way::Loopback(own))))?;
        Ok(served.map_or(Visited::Nowhere, Visited::Own))
    }
}

/// Where a run is visited.
#[derive(Debug)]
pub(crate) enum Visited {
    /// At no port.
    Nowhere,
    /// At ports of its own.
    Own(Published),
    /// At those of the network that it shares.
    OfNetwork(Arc<SharedNetwork>),
    /// At those that it shares without one.
    OfContext(Arc<SharedPorts>),
}

impl Visited {
    fn published(&self) -> Option<&Published> {
        match self {
            Self::Nowhere => None,
            Self::Own(published) => Some(published),
            Self::OfNetwork(shared) => shared.already_published(),
            Self::OfContext(shared) => shared.published(),
        }
    }

    /// Where the host's loopback has its ports.
    pub(crate) fn ports(&self) -> Vec<PublishedPort> {
        self.published().map(Published::ports).unwrap_or_default()
    }

    /// The run has ended: lets its own ports go, and tells what came. Of shared ones that is what came since another run told it.
    pub(crate) fn finish(mut self) -> Vec<PublishedPort> {
        if let Self::Own(published) = &mut self {
            published.end();
        }
        self.published().map(Published::tell).unwrap_or_default()
    }
}
