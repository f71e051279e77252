//! Whether a cgroup with limits could be made: a folder is made where one would be, and removed.

use super::Tried;
use super::attempt::Outcome;
use super::calls::errno_of;
use nix::errno::Errno;
use std::fs;
use std::path::{Path, PathBuf};

const MOUNTS: &str = "/sys/fs/cgroup";

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

/// Version 2: below our own group, if its controllers are handed down.
fn unified(own: &str) -> Outcome {
    let Some(path) = own.lines().find_map(|line| line.strip_prefix("0::")) else {
        return Outcome::Refused { step: NOT_DELEGATED, errno: Errno::ENOENT };
    };
    let parent = Path::new(MOUNTS).join(path.trim_start_matches('/'));
    let handed_down = match fs::read_to_string(parent.join("cgroup.subtree_control")) {
        Ok(text) => text,
        Err(error) => return Outcome::Refused { step: NOT_DELEGATED, errno: errno_of(&error) },
    };
    let has = |name: &str| handed_down.split_whitespace().any(|controller| controller == name);
    if has("memory") && has("pids") {
        make(&parent)
    } else {
        Outcome::Refused { step: NOT_DELEGATED, errno: Errno::ENOENT }
    }
}

/// Version 1: `None` where the controller is not mounted.
fn separate(own: &str, controller: &str) -> Option<Outcome> {
    let path = own.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let controllers = fields.next()?;
        let path = fields.next()?;
        controllers.split(',').any(|name| name == controller).then_some(path)
    })?;
    let parent = Path::new(MOUNTS).join(controller).join(path.trim_start_matches('/'));
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
