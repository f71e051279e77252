//! A profile resolved against this host, kept for the moment between asking whether it can be enforced and enforcing it.

use crate::network::{name_files, trust_files};
use crate::plan::brokered::Brokered;
use crate::plan::landlock;
use crate::plan::view::View;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::profile::{Changes, ExecutionProfile, NetworkMode};
use cofferdam_plane_kit::network::https::Authority;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
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
    /// By whom TLS is ended, where rules are about what is inside it.
    pub(crate) authority: Option<Arc<Authority>>,
}

/// What must be there for a profile to be held.
#[derive(Clone, Debug)]
pub(crate) struct Needs {
    /// What mounts cannot hold.
    pub(crate) brokered: Brokered,
    /// What nothing but mounts can hold, in a sentence each.
    pub(crate) only_by_mounts: Vec<String>,
    /// Why changes could not be kept apart, in a sentence each, where they are to be.
    pub(crate) not_apart: Vec<String>,
}

impl Prepared {
    /// Looks at the host.
    pub(crate) fn new(profile: &ExecutionProfile) -> Result<Self, BridgeError> {
        Self::with_authority(profile, trust_files::authority(profile)?)
    }

    /// Looks at the host, but for the authority that `profile` names.
    pub(crate) fn with_authority(
        profile: &ExecutionProfile,
        authority: Option<Arc<Authority>>,
    ) -> Result<Self, BridgeError> {
        let mut view = View::new(profile)?;
        if profile.network.mode == NetworkMode::Allowlist {
            for (path, contents) in name_files::files() {
                view.plant(Path::new(path), contents);
            }
        }
        if let Some(named) = &profile.network.http_authority {
            trust_files::check_hidden(&view, named, authority.as_deref())?;
        }
        if let Some(authority) = &authority {
            trust_files::plant(&mut view, authority)?;
        }
        let (brokered, only_by_mounts) = (Brokered::of(&view), landlock::beyond(&view));
        Ok(Self { view, brokered, only_by_mounts, authority })
    }

    /// What must be there for it to be held.
    pub(crate) fn needs(&self, profile: &ExecutionProfile) -> Needs {
        let apart = profile.filesystem.changes == Changes::Overlay;
        let workspace = profile.filesystem.workspace.as_deref();
        Needs {
            brokered: self.brokered,
            only_by_mounts: self.only_by_mounts.clone(),
            not_apart: if apart { self.view.beyond_an_overlay(workspace) } else { Vec::new() },
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
