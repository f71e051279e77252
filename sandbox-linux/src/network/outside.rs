//! How a plane reaches what is outside.

use cofferdam_plane_kit::network::resolver::{Resolve, SystemResolver};
use cofferdam_plane_kit::network::upstream::Upstream;
use std::sync::Arc;

/// Who resolves names, and through whom hosts are reached.
#[derive(Clone, Debug)]
pub(crate) struct Outside {
    pub(crate) resolver: Arc<dyn Resolve>,
    pub(crate) upstream: Option<Upstream>,
}

impl Default for Outside {
    fn default() -> Self {
        Self { resolver: Arc::new(SystemResolver::default()), upstream: None }
    }
}
