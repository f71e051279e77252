//! Answers that are remembered: as long as a VM lives here, and for always in the host's store.

use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::ids::{GrantId, VmId};
use cofferdam_bridge::prompt::{Grant, GrantStore, Prompt, PromptAccess, Remember};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Grants of one VM that are remembered in memory; a further answer holds once.
const MOST_OF_A_VM: usize = 4096;

/// What was granted, and until when.
type Session = Vec<(Grant, Option<Instant>)>;

/// All grants that a kernel knows.
#[derive(Default)]
pub(super) struct Grants {
    sessions: Mutex<(HashMap<VmId, Session>, u64)>,
    store: Option<Arc<dyn GrantStore>>,
}

impl Grants {
    /// Grants that are kept in `store`, too.
    pub(super) fn new(store: Option<Arc<dyn GrantStore>>) -> Self {
        Self { sessions: Mutex::default(), store }
    }

    /// Whether a grant that holds now covers a request. A store that cannot be read grants nothing.
    pub(super) fn cover(&self, vm: &VmId, workspace: Option<&str>, access: PromptAccess, subject: &str) -> bool {
        let now = Instant::now();
        let holds = |(grant, end): &(Grant, Option<Instant>)| {
            end.is_none_or(|end| now < end) && grant.covers(access, subject, workspace)
        };
        if self.lock().0.get(vm).is_some_and(|session| session.iter().any(holds)) {
            return true;
        }
        let stored = self.store.as_ref().map(|store| store.grants());
        stored.is_some_and(|stored| {
            stored.is_ok_and(|stored| stored.iter().any(|grant| grant.covers(access, subject, workspace)))
        })
    }

    /// Remembers a yes to `prompt` in a VM of `workspace`.
    ///
    /// # Errors
    /// What kept it from being remembered for always; it is not then.
    pub(super) fn remember(
        &self,
        prompt: &Prompt,
        workspace: Option<&str>,
        remember: Remember,
        expires: Option<Duration>,
    ) -> Result<(), BridgeError> {
        let grant = |id: String| {
            Grant::new(
                GrantId::new(id),
                prompt.question.access,
                &*prompt.question.subject,
                workspace.map(str::to_owned),
            )
        };
        match remember {
            Remember::Session => {
                let mut sessions = self.lock();
                sessions.1 += 1;
                let grant = grant(format!("session-{}", sessions.1));
                let session = sessions.0.entry(prompt.vm_id.clone()).or_default();
                let now = Instant::now();
                session.retain(|(_, end)| end.is_none_or(|end| now < end));
                if session.len() < MOST_OF_A_VM {
                    session.push((grant, expires.and_then(|time| now.checked_add(time))));
                }
                Ok(())
            }
            Remember::Always => {
                let store = self.store.as_ref().ok_or_else(|| {
                    let message =
                        "answers cannot be remembered for always: the host keeps none; the answer holds for this once";
                    BridgeError::new(ErrorCode::UnsupportedOperation, message)
                })?;
                let expires = expires.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
                // The store gives it a name of its own.
                store.add(grant(String::new()), expires).map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Grants of a VM that hold as long as it lives.
    pub(super) fn of(&self, vm: &VmId) -> Vec<Grant> {
        let now = Instant::now();
        let holds = |(grant, end): &(Grant, Option<Instant>)| end.is_none_or(|end| now < end).then(|| grant.clone());
        self.lock().0.get(vm).map(|session| session.iter().filter_map(holds).collect()).unwrap_or_default()
    }

    /// Takes a grant of a VM back; `false` when there is none of that id.
    pub(super) fn revoke(&self, vm: &VmId, id: &GrantId) -> bool {
        let mut sessions = self.lock();
        let Some(session) = sessions.0.get_mut(vm) else { return false };
        let before = session.len();
        session.retain(|(grant, _)| grant.id != *id);
        session.len() < before
    }

    /// Forgets what was granted to a VM.
    pub(super) fn forget(&self, vm: &VmId) {
        self.lock().0.remove(vm);
    }

    fn lock(&self) -> MutexGuard<'_, (HashMap<VmId, Session>, u64)> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
