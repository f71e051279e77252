//! The contexts that a kernel has had made, so that a plane that was started anew can be told of them again.

use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::ids::{ContextId, VmId};
use cofferdam_contract::wire::data::Data;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How a context was asked for, and what the plane's present process calls it.
#[derive(Debug)]
pub(crate) struct Context {
    vm_id: VmId,
    pub(crate) method: &'static str,
    pub(crate) params: Data,
    /// The generation of the process that knows it, and its id there.
    pub(crate) made: Mutex<(u64, ContextId)>,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Contexts {
    known: Mutex<(u64, HashMap<ContextId, Arc<Context>>)>,
}

impl Contexts {
    fn lock(&self) -> MutexGuard<'_, (u64, HashMap<ContextId, Arc<Context>>)> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers one, and gives it an id that outlives the process.
    pub(crate) fn add(
        &self,
        vm_id: VmId,
        method: &'static str,
        params: Data,
        generation: u64,
        made: ContextId,
    ) -> ContextId {
        let mut known = self.lock();
        known.0 += 1;
        let id = ContextId::new(format!("wire-{}", known.0));
        let context = Context { vm_id, method, params, made: Mutex::new((generation, made)) };
        known.1.insert(id.clone(), Arc::new(context));
        id
    }

    /// The context of that VM.
    pub(crate) fn find(&self, id: &ContextId, vm_id: &VmId) -> Result<Arc<Context>, BridgeError> {
        let context = self.lock().1.get(id).filter(|context| context.vm_id == *vm_id).cloned();
        context
            .ok_or_else(|| BridgeError::new(ErrorCode::UnknownContext, "this VM has no such context; create it first"))
    }

    /// Forgets those of a VM.
    pub(crate) fn forget(&self, vm_id: &VmId) {
        self.lock().1.retain(|_, context| context.vm_id != *vm_id);
    }
}
