//! A run that those who answer on its network know of.

use super::Proxied;
use crate::context::Context;
use crate::shared_network::SharedNetwork;
use cofferdam_bridge::event::ExecutionEventSink;
use std::sync::Arc;

/// From before its program runs, which may ask for something before anybody looks, until this is dropped.
pub(crate) struct Known {
    /// Its first process, by the host's number.
    pub(super) first: i32,
    /// Who is asked for it.
    pub(super) host: Arc<dyn ExecutionEventSink>,
    shared: Option<Arc<SharedNetwork>>,
}

impl Known {
    /// Tells the network that `context` shares among its runs, or `proxied`, of the run whose first process is `first`, and for which `host`
    /// is asked. A network of its own is told when it begins.
    pub(crate) fn of(
        context: &Context,
        proxied: Option<&Proxied>,
        first: i32,
        host: &Arc<dyn ExecutionEventSink>,
    ) -> Self {
        let known = Self { first, host: host.clone(), shared: context.network.clone() };
        if let Some(names) = known.shared.as_ref().and_then(|shared| shared.names()) {
            names.begin(first, host.clone());
        }
        if let Some(proxied) = proxied {
            proxied.begin(first, host.clone());
        }
        known
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        if let Some(names) = self.shared.as_ref().and_then(|shared| shared.names()) {
            names.end_run(self.first);
        }
    }
}
