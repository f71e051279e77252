//! The network of a run that has no namespace for it: a proxy at a port of loopback, which is all that it can connect to.

use super::Outside;
use super::asker::Askers;
use super::serve::tell;
use cofferdam_bridge::event::{ExecutionEventSink, ExecutionReport};
use cofferdam_bridge::profile::ExecutionProfile;
use cofferdam_plane_kit::network::gate::Gate;
use cofferdam_plane_kit::network::local_proxy::LocalProxy;
use std::io;
use std::sync::Arc;

/// One run's proxy, as long as it lasts.
#[derive(Debug)]
pub(crate) struct Proxied {
    proxy: LocalProxy,
    askers: Askers,
}

impl Proxied {
    /// Starts one that decides by the rules of `profile`.
    pub(crate) fn start(profile: &ExecutionProfile, outside: &Outside) -> io::Result<Self> {
        let gate = Gate::new(&profile.network, outside.resolver.clone(), true)
            .through(outside.upstream.clone())
            .asking(&profile.prompts)
            .ending_tls_by(outside.authority.clone());
        let askers = Askers::default();
        Ok(Self { proxy: LocalProxy::start(gate, Arc::new(askers.clone()))?, askers })
    }

    /// The port that the run may connect to.
    pub(crate) fn port(&self) -> u16 {
        self.proxy.port()
    }

    /// The variables by which its programs find the proxy.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        self.proxy.environment()
    }

    /// Its run has begun, whose first process is `first`, and for which `host` is asked.
    pub(crate) fn begin(&self, first: i32, host: Arc<dyn ExecutionEventSink>) {
        self.askers.begin(first);
        self.proxy.gate().begin(first, host);
    }

    /// Ends it, when what was sent has been handed on, and tells what happened.
    pub(crate) fn finish(mut self, report: &mut ExecutionReport) {
        self.proxy.end();
        tell(report, self.proxy.take());
    }
}
