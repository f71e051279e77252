//! How a plane reaches what is outside.

use cofferdam_plane_kit::network::https::Authority;
use cofferdam_plane_kit::network::resolver::{Resolve, SystemResolver};
use cofferdam_plane_kit::network::upstream::Upstream;
use std::sync::Arc;

/// Who resolves names, and through whom hosts are reached.
#[derive(Clone, Debug)]
pub(crate) struct Outside {
    pub(crate) resolver: Arc<dyn Resolve>,
    pub(crate) upstream: Option<Upstream>,
    /// By whom TLS is ended, where rules are about what is inside it: a context's.
    pub(crate) authority: Option<Arc<Authority>>,
}

impl Outside {
    /// The same with the authority of one context.
    pub(crate) fn ending_tls_by(&self, authority: &Option<Arc<Authority>>) -> Self {
        Self { authority: authority.clone(), ..self.clone() }
    }
}

impl Default for Outside {
    fn default() -> Self {
        Self { resolver: Arc::new(SystemResolver::default()), upstream: None, authority: None }
    }
}
