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

    /// The grant that holds now and covers a request. A store that cannot be read grants nothing.
    pub(super) fn covering(
        &self,
        vm: &VmId,
        workspace: Option<&str>,
        access: PromptAccess,
        subject: &str,
    ) -> Option<Grant> {
        let now = Instant::now();
        let holds = |(grant, end): &&(Grant, Option<Instant>)| {
            end.is_none_or(|end| now < end) && grant.covers(access, subject, workspace)
        };
        let own = self.lock().0.get(vm).and_then(|session| session.iter().find(holds).map(|(grant, _)| grant.clone()));
        own.or_else(|| {
            let stored = self.store.as_ref()?.grants().ok()?;
            stored.into_iter().find(|grant| grant.covers(access, subject, workspace))
        })
    }

    /// Remembers a yes to `prompt` in a VM of `workspace`; answers what it is remembered as, where it is.
    ///
    /// # Errors
    /// What kept it from being remembered for always; it is not then.
    pub(super) fn remember(
        &self,
        prompt: &Prompt,
        workspace: Option<&str>,
        remember: Remember,
        expires: Option<Duration>,
    ) -> Result<Option<Grant>, BridgeError> {
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
                if session.len() >= MOST_OF_A_VM {
                    return Ok(None);
                }
                session.push((grant.clone(), expires.and_then(|time| now.checked_add(time))));
                Ok(Some(grant))
            }
            Remember::Always => {
                let store = self.store.as_ref().ok_or_else(|| {
                    let message =
                        "answers cannot be remembered for always: the host keeps none; the answer holds for this once";
                    BridgeError::new(ErrorCode::UnsupportedOperation, message)
                })?;
                let expires = expires.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
                // The store gives it a name of its own.
                store.add(grant(String::new()), expires).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Grants of a VM that hold as long as it lives.
    pub(super) fn of(&self, vm: &VmId) -> Vec<Grant> {
        let now = Instant::now();
        let holds = |(grant, end): &(Grant, Option<Instant>)| end.is_none_or(|end| now < end).then(|| grant.clone());
        self.lock().0.get(vm).map(|session| session.iter().filter_map(holds).collect()).unwrap_or_default()
    }

    /// Takes a grant of a VM back, and answers it; none when there is none of that id.
    pub(super) fn revoke(&self, vm: &VmId, id: &GrantId) -> Option<Grant> {
        let mut sessions = self.lock();
        let session = sessions.0.get_mut(vm)?;
        let at = session.iter().position(|(grant, _)| grant.id == *id)?;
        Some(session.remove(at).0)
    }

    /// Takes back what was just remembered, wherever that is.
    ///
    /// # Errors
    /// What keeps the store from forgetting it.
    pub(super) fn unmake(&self, vm: &VmId, grant: &Grant) -> Result<(), BridgeError> {
        match (self.revoke(vm, &grant.id), &self.store) {
            (None, Some(store)) => store.revoke(&grant.id).map(drop),
            _ => Ok(()),
        }
    }

    /// Forgets what was granted to a VM.
    pub(super) fn forget(&self, vm: &VmId) {
        self.lock().0.remove(vm);
    }

    fn lock(&self) -> MutexGuard<'_, (HashMap<VmId, Session>, u64)> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
