//! A profile resolved against this host, kept for the moment between asking whether it can be enforced and enforcing it.

use crate::network::name_files;
use crate::plan::brokered::Brokered;
use crate::plan::landlock;
use crate::plan::view::View;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::profile::{ExecutionProfile, NetworkMode};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A resolved profile describes the host as it was; what is older than this is looked up again.
const FRESH: Duration = Duration::from_millis(250);

/// What a profile comes to on this host.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    /// What is visible, and how.
    pub(crate) view: View,
    /// What mounts cannot hold.
    pub(crate) brokered: Brokered,
    /// What nothing but mounts can hold.
    pub(crate) only_by_mounts: Vec<String>,
}

/// What must be there for a profile to be held.
#[derive(Clone, Debug)]
pub(crate) struct Needs {
    /// What mounts cannot hold.
    pub(crate) brokered: Brokered,
    /// What nothing but mounts can hold, in a sentence each.
    pub(crate) only_by_mounts: Vec<String>,
    /// Why changes could not be kept apart, in a sentence each.
    pub(crate) not_apart: Vec<String>,
}

impl Prepared {
    /// Looks at the host.
    pub(crate) fn new(profile: &ExecutionProfile) -> Result<Self, BridgeError> {
        let mut view = View::new(profile)?;
        if profile.network.mode == NetworkMode::Allowlist {
            for (path, contents) in name_files::files() {
                view.plant(Path::new(path), contents);
            }
        }
        let (brokered, only_by_mounts) = (Brokered::of(&view), landlock::beyond(&view));
        Ok(Self { view, brokered, only_by_mounts })
    }

    /// What must be there for it to be held.
    pub(crate) fn needs(&self, profile: &ExecutionProfile) -> Needs {
        Needs {
            brokered: self.brokered,
            only_by_mounts: self.only_by_mounts.clone(),
            not_apart: self.view.beyond_an_overlay(profile.filesystem.workspace.as_deref()),
        }
    }
}

/// The profile that was prepared last.
#[derive(Debug, Default)]
pub(crate) struct LastPrepared(Mutex<Option<(Instant, ExecutionProfile, Prepared)>>);

impl LastPrepared {
    /// Prepares `profile` and keeps a copy.
    pub(crate) fn prepare(&self, profile: &ExecutionProfile) -> Result<Needs, BridgeError> {
        let prepared = Prepared::new(profile)?;
        let needs = prepared.needs(profile);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), profile.clone(), prepared));
        Ok(needs)
    }

    /// What was kept, if it is for `profile` and fresh; else prepared now.
    pub(crate) fn take(&self, profile: &ExecutionProfile) -> Result<Prepared, BridgeError> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        match kept {
            Some((when, own, prepared)) if when.elapsed() < FRESH && own == *profile => Ok(prepared),
            _ => Prepared::new(profile),
        }
    }
}
