//! Which grants a run has used already: the first use of each is recorded, so that a guest cannot fill the log with what it was granted.

use cofferdam_bridge::ids::{ExecutionId, GrantId};
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The grants that were used, by execution.
#[derive(Default)]
pub(super) struct Uses(Mutex<HashMap<ExecutionId, HashSet<GrantId>>>);

impl Uses {
    /// Whether `execution` has not used `grant` yet. What a host asks itself, for no run, is a first use each time.
    pub(super) fn is_first(&self, execution: Option<&ExecutionId>, grant: &GrantId) -> bool {
        let used = |execution| self.lock().get(execution).is_some_and(|used| used.contains(grant));
        !execution.is_some_and(used)
    }

    /// It has.
    pub(super) fn note(&self, execution: Option<&ExecutionId>, grant: &GrantId) {
        if let Some(execution) = execution {
            self.lock().entry(execution.clone()).or_default().insert(grant.clone());
        }
    }

    /// Forgets an execution that has ended.
    pub(super) fn forget(&self, execution: &ExecutionId) {
        self.lock().remove(execution);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ExecutionId, HashSet<GrantId>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
