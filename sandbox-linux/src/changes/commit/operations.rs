//! From what is to be done to the operations of a journal.

use super::journal::{Operation, Seen};
use crate::changes::entry::{Facts, Time};
use crate::changes::merge::{Action, Merge};
use crate::changes::stored_path::StoredPath;
use nix::errno::Errno;
use std::path::PathBuf;

/// What a slot of the staging directory holds before anything is done.
pub(super) enum Slot {
    /// What is to be put at this path.
    Staged(PathBuf),
    /// Nothing: what is taken away comes into it.
    Empty,
}

/// The slots that `merge` needs, one for each action.
pub(super) fn slots(merge: &Merge) -> Vec<Slot> {
    let slot = |action: &Action| match action {
        Action::Place { path, .. } => Slot::Staged(path.clone()),
        Action::Remove { .. } | Action::Adjust { .. } => Slot::Empty,
    };
    merge.actions.iter().map(slot).collect()
}

/// Mode and times of the workspace itself at the end.
pub(super) fn root_after(merge: &Merge, root: &Seen) -> (u32, Time) {
    let own = merge.actions.iter().find_map(|action| match action {
        Action::Adjust { path, after, .. } if path.as_os_str().is_empty() => Some((after.mode, after.modified)),
        _ => None,
    });
    own.unwrap_or((root.mode, root.modified))
}

/// The operations for `merge`; `staged` tells what is in each slot.
pub(super) fn of(merge: &Merge, staged: &[Option<Facts>]) -> Result<Vec<Operation>, Errno> {
    let mut opened = Vec::new();
    let mut operations = Vec::new();
    for (slot, action) in merge.actions.iter().enumerate() {
        let stored = StoredPath::from(action.path());
        // The workspace itself is opened and adjusted by whoever stages in it.
        if stored.as_path().as_os_str().is_empty() {
            continue;
        }
        let adjusted = matches!(action, Action::Adjust { .. });
        if let Some(before) = action.before().filter(|before| before.is_directory()) {
            // To be worked in, or moved, which a directory that its owner may not write to cannot be.
            if adjusted || before.mode & 0o200 == 0 {
                opened.push(Operation::Open { path: stored.clone(), before: Seen::of(before) });
            }
        }
        match action {
            Action::Remove { before, .. } => {
                operations.push(Operation::Take { path: stored, slot, before: Seen::of(before) });
            }
            Action::Place { before, after, .. } => {
                let facts = staged.get(slot).copied().flatten().ok_or(Errno::ENOENT)?;
                let (seen, before) = (Seen::of(&facts), before.as_ref().map(Seen::of));
                operations.push(Operation::Put { path: stored.clone(), slot, staged: seen, before });
                if facts.is_directory() && facts.mode != after.mode {
                    let (mode, modified) = (facts.mode & !0o700 | after.mode & 0o700, after.modified);
                    operations.push(Operation::Adjust { path: stored, before: seen, mode, modified });
                }
            }
            Action::Adjust { before, after, .. } => {
                let (before, modified) = (Seen::of(before), after.modified);
                operations.push(Operation::Adjust { path: stored, before, mode: after.mode, modified });
            }
        }
    }
    // A directory is opened before what is in it: its path comes first.
    opened.sort_by(|one, other| one.path().cmp(other.path()));
    opened.extend(operations);
    Ok(opened)
}
