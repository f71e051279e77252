//! Figures about a machine and the host's own processes, by name, such as `memory_available_bytes`.

use std::collections::BTreeMap;

/// Figures by name. A figure that is not known is not there.
pub type Figures = BTreeMap<String, u64>;

/// Where figures come from.
pub trait FigureBridge: Send + Sync {
    /// The figures now. Takes no longer than reading a few small files.
    fn figures(&self) -> Figures;
}

/// Figures that stay as they are: for hosts that measure nothing, and for tests.
impl FigureBridge for Figures {
    fn figures(&self) -> Figures {
        self.clone()
    }
}
