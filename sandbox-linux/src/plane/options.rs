//! What a host may say about a plane before it uses it.

use super::{LinuxPlane, no_streams};
use crate::changes::ChangeStore;
use crate::pool::{Pool, PoolOptions, Tools};
use cofferdam_bridge::error::BridgeError;
use cofferdam_plane_kit::network::resolver::Resolve;
use cofferdam_plane_kit::network::upstream::Upstream;
use std::sync::Arc;

impl LinuxPlane {
    /// Keeps the changes of runs under `changes = "overlay"` in `store`, in place of [`ChangeStore::of_user`].
    #[must_use]
    pub fn keep_changes_in(mut self, store: ChangeStore) -> Self {
        self.changes = Some(store);
        self
    }

    /// Resolves the names that runs ask for by `resolver`, in place of the system's own.
    #[must_use]
    pub fn resolve_names_by(mut self, resolver: Arc<dyn Resolve>) -> Self {
        self.outside.resolver = resolver;
        self
    }

    /// Reaches the hosts that policies name through `upstream`, where it takes them.
    #[must_use]
    pub fn reach_hosts_through(mut self, upstream: Upstream) -> Self {
        self.outside.upstream = Some(upstream);
        self
    }

    /// Starts the first sandbox at once, as far as it depends on no policy, so that it gets ready while a policy is read. For
    /// hosts that start one program and end; nothing is left behind when none is started. The end of the plane waits for nothing then.
    #[must_use]
    pub fn ahead(mut self) -> Self {
        self.ends_with_its_run = true;
        if self.offer.may_have_namespaces() {
            self.ahead.begin(&self.launcher, self.offer.all_namespaces());
        }
        self
    }

    /// Holds launchers ready, as many as `options` says.
    ///
    /// # Errors
    /// `spawn_failed` where there is no thread or descriptor for it.
    pub fn pooled(mut self, options: PoolOptions) -> Result<Self, BridgeError> {
        let tools = Tools { launcher: self.launcher.clone(), cgroups: self.cgroups.clone() };
        self.pool = Some(Pool::start(options, tools).map_err(|error| no_streams(&error))?);
        Ok(self)
    }

    /// As on a kernel whose Landlock is older, so that what is done there can be tested. Never newer than it is.
    #[doc(hidden)]
    #[must_use]
    pub fn with_landlock_at_most(mut self, abi: u32) -> Self {
        self.offer.landlock_at_most(abi);
        self
    }
}
