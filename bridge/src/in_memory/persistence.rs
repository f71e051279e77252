//! Snapshots kept for as long as the process lives.

use super::lock;
use crate::call::CallContext;
use crate::error::BridgeError;
use crate::execution::BridgeTypes;
use crate::ids::VmId;
use crate::persistence::{
    FilesystemSnapshot, FlushFilesystemStateRequest, LoadFilesystemStateRequest, PersistenceBridge,
};
use std::collections::HashMap;
use std::sync::Mutex;

/// The last snapshot of each VM.
#[derive(Debug, Default)]
pub struct MemoryPersistence(Mutex<HashMap<VmId, FilesystemSnapshot>>);

impl MemoryPersistence {
    /// Nothing kept yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Drops what is kept for a VM.
    pub fn forget_vm(&self, vm_id: &VmId) {
        lock(&self.0).remove(vm_id);
    }
}

impl BridgeTypes for MemoryPersistence {
    type Error = BridgeError;
}

impl PersistenceBridge for MemoryPersistence {
    fn load_filesystem_state(
        &self,
        _: &CallContext,
        request: LoadFilesystemStateRequest,
    ) -> Result<Option<FilesystemSnapshot>, BridgeError> {
        Ok(lock(&self.0).get(&request.vm_id).cloned())
    }

    fn flush_filesystem_state(&self, _: &CallContext, request: FlushFilesystemStateRequest) -> Result<(), BridgeError> {
        lock(&self.0).insert(request.vm_id, request.snapshot);
        Ok(())
    }
}
