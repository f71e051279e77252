//! Whether the workspace is still as the run saw it, wherever the run changed it.

use crate::changes::entry::{Facts, MOST_LEVELS, beneath, names, split};
use crate::changes::fault;
use crate::changes::layers::{Layers, child};
use crate::changes::merge::{Action, Merge};
use crate::changes::stamp::{Mark, Stamp};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use nix::errno::Errno;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// As many paths as an error names.
const MOST: usize = 100;

/// Refuses with `changes_conflict` when an entry that `merge` would change is not as `stamp` has it.
pub(super) fn check(layers: &Layers, merge: &Merge, stamp: &Stamp) -> Result<(), BridgeError> {
    let mut found = BTreeSet::new();
    let failed = |path: &Path, errno| fault::io("cannot look at the workspace's", path, errno);
    for path in &merge.merged {
        let now = now(layers, path).map_err(|errno| failed(path, errno))?;
        if now.is_some_and(|now| now.is_directory() && stamp.at(path) != Some(&Mark::of(&now))) {
            found.insert(path.clone());
        }
    }
    for action in &merge.actions {
        let path = action.path();
        let marked = action.before().map(Mark::of);
        if stamp.at(path).copied() != marked {
            found.insert(path.to_owned());
            continue;
        }
        let whole = !matches!(action, Action::Adjust { .. }) && marked.is_some_and(|mark| mark.is_directory());
        if whole {
            subtree(layers, path, stamp, 0, &mut found).map_err(|errno| failed(path, errno))?;
            let there = |place: &&Path| now(layers, place).is_ok_and(|now| now.is_some());
            found.extend(stamp.beneath(path).filter(|place| !there(place)).map(Path::to_owned));
        }
    }
    if found.is_empty() { Ok(()) } else { Err(conflict(found)) }
}

fn now(layers: &Layers, path: &Path) -> Result<Option<Facts>, Errno> {
    if path.as_os_str().is_empty() {
        return Facts::of(&layers.lower).map(Some);
    }
    let (parent, name) = split(path)?;
    match beneath(&layers.lower, parent) {
        Ok(parent) => Facts::if_there(parent, &name),
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Everything beneath `path` must be as it was, since all of it would go.
fn subtree(
    layers: &Layers,
    path: &Path,
    stamp: &Stamp,
    level: usize,
    found: &mut BTreeSet<PathBuf>,
) -> Result<(), Errno> {
    if level > MOST_LEVELS {
        return Err(Errno::ENAMETOOLONG);
    }
    let folder = beneath(&layers.lower, path)?;
    for name in names(&folder)? {
        let path = child(path, &name);
        let Some(facts) = Facts::if_there(&folder, &name)? else { continue };
        if stamp.at(&path) != Some(&Mark::of(&facts)) {
            found.insert(path);
        } else if facts.is_directory() {
            subtree(layers, &path, stamp, level + 1, found)?;
        }
    }
    Ok(())
}

/// The error that names the paths which stand in the way.
pub(super) fn conflict(paths: impl IntoIterator<Item = PathBuf>) -> BridgeError {
    let paths: Vec<_> = paths.into_iter().collect();
    let shown = |path: &PathBuf| {
        if path.as_os_str().is_empty() { ".".to_owned() } else { path.to_string_lossy().into_owned() }
    };
    let first: Vec<_> = paths.iter().take(3).map(|path| format!("`{}`", shown(path).escape_debug())).collect();
    let more = if paths.len() > 3 { format!(" and {} more", paths.len() - 3) } else { String::new() };
    let message = format!(
        "nothing was committed: since the run began, the workspace was changed at {}{more}, which the run changed, too; merge them by hand, or run again",
        first.join(", ")
    );
    let told: Vec<_> = paths.iter().take(MOST).map(shown).collect();
    BridgeError::new(ErrorCode::ChangesConflict, message).with("paths", told).with("paths_count", paths.len())
}
