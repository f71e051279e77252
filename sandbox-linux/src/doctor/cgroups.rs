//! Whether a cgroup with limits could be made: a folder is made where one would be, and removed.

use super::Tried;
use super::attempt::Outcome;
use super::calls::errno_of;
use crate::cgroup::home::{self, MOUNTS};
use nix::errno::Errno;
use std::fs;
use std::path::{Path, PathBuf};

/// The step's name where version 2 is there without controllers handed down to us.
pub(super) const NOT_DELEGATED: &str = "cgroup.subtree_control";
/// The step's name where a folder could not be made.
pub(super) const MAKE: &str = "mkdir of a cgroup";

pub(super) fn limits() -> Tried {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let unified = unified(&own);
    if unified == Outcome::Worked {
        return Tried { outcome: unified, detail: Some("cgroup v2".to_owned()) };
    }
    let separate: Vec<_> = ["memory", "pids"].iter().map(|controller| separate(&own, controller)).collect();
    match separate.as_slice() {
        [Some(Outcome::Worked), Some(Outcome::Worked)] => {
            Tried { outcome: Outcome::Worked, detail: Some("cgroup v1".to_owned()) }
        }
        [Some(refused), _] | [None, Some(refused)] if *refused != Outcome::Worked => (*refused).into(),
        [_, Some(refused)] if *refused != Outcome::Worked => (*refused).into(),
        _ => unified.into(),
    }
}

/// Version 2: below the nearest group that hands its controllers down and lets us.
fn unified(own: &str) -> Outcome {
    let mounts = Path::new(MOUNTS);
    let tried: Vec<Outcome> = home::delegated(own, mounts).iter().map(|parent| make(parent)).collect();
    if let Some(outcome) = tried.iter().find(|outcome| **outcome == Outcome::Worked).or(tried.first()) {
        return *outcome;
    }
    let own = home::own_unified(own, mounts);
    let read = own.and_then(|own| fs::read_to_string(own.join("cgroup.subtree_control")).err());
    Outcome::Refused { step: NOT_DELEGATED, errno: read.map_or(Errno::ENOENT, |error| errno_of(&error)) }
}

/// Version 1: `None` where the controller is not mounted.
fn separate(own: &str, controller: &str) -> Option<Outcome> {
    let parent = home::own_of(own, controller, Path::new(MOUNTS))?;
    parent.exists().then(|| make(&parent))
}

fn make(parent: &Path) -> Outcome {
    let folder: PathBuf = parent.join(format!("cofferdam-{}-doctor", std::process::id()));
    let made = fs::create_dir(&folder).map_err(|error| errno_of(&error));
    if made.is_ok() {
        let _ = fs::remove_dir(&folder);
    }
    Outcome::of(MAKE, made)
}
