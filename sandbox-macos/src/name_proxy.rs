//! The local name proxy of a run whose policy names hosts: its port is all of the network that the profile lets out.

use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::event::ExecutionReport;
use cofferdam_bridge::profile::{NetworkMode, NetworkProfile};
use cofferdam_plane_kit::network::gate::Gate;
use cofferdam_plane_kit::network::local_proxy::{LocalProxy, UnknownAsker};
use cofferdam_plane_kit::network::resolver::{Resolve, SystemResolver};
use cofferdam_plane_kit::network::upstream::Upstream;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What names lead to, and through what hosts are reached.
#[derive(Debug)]
pub(crate) struct Outside {
    pub(crate) resolver: Arc<dyn Resolve>,
    pub(crate) upstream: Option<Upstream>,
}

impl Default for Outside {
    fn default() -> Self {
        Self { resolver: Arc::new(SystemResolver::default()), upstream: None }
    }
}

/// The proxy of one run.
#[derive(Debug)]
pub(crate) struct NameProxy(LocalProxy);

impl NameProxy {
    /// Starts one where the policy names hosts.
    ///
    /// # Errors
    /// `sandbox_setup_failed` where there is no port or thread for it.
    pub(crate) fn start(profile: &NetworkProfile, outside: &Outside) -> Result<Option<Self>, BridgeError> {
        if profile.mode != NetworkMode::Allowlist {
            return Ok(None);
        }
        let gate = Gate::new(profile, outside.resolver.clone(), true).through(outside.upstream.clone());
        let proxy = LocalProxy::start(gate, Arc::new(UnknownAsker::default())).map_err(|error| {
            let message = format!("the run's name proxy could not be started: {error}; the host may be at its limit");
            BridgeError::new(ErrorCode::SandboxSetupFailed, message).with("step", "name proxy")
        })?;
        Ok(Some(Self(proxy)))
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.port()
    }

    /// Names it for programs, but for what the policy or the request has set.
    pub(crate) fn name_in(&self, environment: &mut BTreeMap<String, String>) {
        for (name, value) in self.0.environment() {
            environment.entry(name.to_owned()).or_insert(value);
        }
    }

    /// Ends it and tells what went over it.
    pub(crate) fn tell(mut self, report: &mut ExecutionReport) {
        self.0.end();
        let (traffic, denials) = self.0.take();
        report.network = traffic;
        report.denials.extend(denials);
    }
}
