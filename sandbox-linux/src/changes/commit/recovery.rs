//! Brings commits to their end: the one under way, and those that a crash cut short.

use super::apply::{Hindrance, Places};
use super::conflict::conflict;
use super::journal::{JOURNAL, Journal, Operation, Phase};
use super::stage::{set_mode, set_times};
use super::{CommitSteps, How, Watched, clear_remains, is_empty, one_at_a_time, shown};
use crate::changes::entry::{Facts, beneath, directory, names, split, without_links};
use crate::changes::fault::io;
use crate::changes::lock::Lock;
use crate::changes::record::{RECORD, sync_directory};
use crate::changes::recording::is_id;
use crate::changes::removal;
use crate::changes::stamp::Stamp;
use crate::changes::store::{LOCK, OpenStore};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use nix::errno::Errno;
use nix::unistd::syncfs;
use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// What a commit that was cut short came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// All of it is done, and its change set is gone.
    Done,
    /// Nothing of it is done, and its change set is there.
    Undone,
}

/// A commit that was cut short, and what it came to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovered {
    /// The change set.
    pub id: String,
    /// What it came to, or why it could not be brought to its end; that is tried again each time.
    pub outcome: Result<Outcome, BridgeError>,
}

/// Brings every commit of `store` that was cut short to its end, as far as that is possible.
pub(crate) fn recover_all(store: &OpenStore, steps: &mut dyn CommitSteps) -> Vec<Recovered> {
    let mut recovered = Vec::new();
    let Ok(names) = names(&store.root) else { return recovered };
    for name in names.iter().filter(|name| is_id(name)) {
        let Ok(folder) = directory(&store.root, name) else { continue };
        let there = |what: &CStr| Facts::at(&folder, what).is_ok();
        if !there(RECORD) && !there(JOURNAL) {
            clear_remains(&store.root, name, &folder);
        }
        if !there(JOURNAL) {
            continue;
        }
        // Whoever holds these is at it.
        let Ok(Some(_one)) = one_at_a_time(&store.root, How::OrLeave) else { return recovered };
        let Ok(Some(_lock)) = Lock::try_take(&folder, LOCK) else { continue };
        let place = store.path.join(crate::changes::entry::as_path(name));
        let outcome = recover(&store.root, name, &folder, &place, &mut Watched(steps));
        recovered.push(Recovered { id: name.to_string_lossy().into_owned(), outcome });
    }
    recovered
}

/// Brings the commit whose journal is in `folder` to its end. Both locks are held.
pub(super) fn recover(
    store: &OwnedFd,
    name: &CStr,
    folder: &OwnedFd,
    place: &Path,
    watched: &mut Watched<'_>,
) -> Result<Outcome, BridgeError> {
    let Some(mut journal) = Journal::read(folder, place)? else { return Ok(Outcome::Undone) };
    let about = journal.workspace.clone();
    let failed = |errno| io("cannot go on with the commit to", &about, errno);
    if journal.phase == Phase::Cleaning && Facts::if_there(folder, RECORD).map_err(failed)?.is_none() {
        // All was done but the last of removing the change set; the workspace is the host's again.
        return removal::remove(store, name).map_err(failed).map(|()| Outcome::Done);
    }
    let workspace = workspace_of(&journal)?;
    let staging = journal.staging().map_err(failed)?;
    if journal.phase == Phase::Staging {
        drop_staging(&workspace, folder, &journal, watched).map_err(failed)?;
        return Ok(Outcome::Undone);
    }
    match directory(&workspace, &staging) {
        Ok(staging) => {
            if Some(Facts::of(&staging).map_err(failed)?.inode) != journal.staging_inode {
                return Err(failed(Errno::ESTALE));
            }
            let places = Places { workspace: &workspace, staging: &staging };
            if journal.phase == Phase::Undoing {
                let stamp = Stamp::read(folder).map_err(failed)?;
                back(folder, &places, &journal, stamp, watched)?;
                return Ok(Outcome::Undone);
            }
            let stamp = Stamp::read(folder).map_err(failed)?;
            forward(folder, &places, &mut journal, stamp, watched)?;
        }
        Err(Errno::ENOENT) if journal.phase == Phase::Cleaning => finish_root(&workspace, &journal).map_err(failed)?,
        // Nothing was left to put back.
        Err(Errno::ENOENT) if journal.phase == Phase::Undoing => {
            close(folder, watched).map_err(failed)?;
            return Ok(Outcome::Undone);
        }
        Err(errno) => return Err(failed(errno)),
    }
    watched.before("discard");
    removal::remove(folder, RECORD).and_then(|()| removal::remove(store, name)).map_err(failed)?;
    Ok(Outcome::Done)
}

fn workspace_of(journal: &Journal) -> Result<OwnedFd, BridgeError> {
    let exchanged = |_| {
        let message = format!(
            "a commit to `{}` was cut short, and that is another directory now; put the old one back and try again, or discard the changes",
            journal.workspace.display()
        );
        BridgeError::new(ErrorCode::ChangesConflict, message)
    };
    let workspace = without_links(&journal.workspace).map_err(exchanged)?;
    let facts = Facts::of(&workspace).map_err(exchanged)?;
    if (facts.device, facts.inode) == (journal.device, journal.inode) {
        Ok(workspace)
    } else {
        Err(exchanged(Errno::ESTALE))
    }
}

/// Does all operations and clears up; where something is in the way, undoes them and tells what.
pub(super) fn forward(
    folder: &OwnedFd,
    places: &Places<'_>,
    journal: &mut Journal,
    stamp: Option<Stamp>,
    watched: &mut Watched<'_>,
) -> Result<(), BridgeError> {
    let workspace = journal.workspace.clone();
    let failed = |errno| io("cannot commit to", &workspace, errno);
    if journal.phase == Phase::Applying {
        if let Err(hindrance) = places.apply(journal, watched) {
            journal.phase = Phase::Undoing;
            watched.before("journal");
            journal.write(folder).map_err(failed)?;
            back(folder, places, journal, stamp, watched)?;
            return Err(match hindrance {
                Hindrance::Conflict(path) => conflict([path]),
                Hindrance::System(path, errno) => io("nothing was committed: cannot change", &path, errno),
            });
        }
        watched.before("sync workspace");
        syncfs(places.workspace).map_err(failed)?;
        journal.phase = Phase::Cleaning;
        watched.before("journal");
        journal.write(folder).map_err(failed)?;
    }
    watched.before("remove staging");
    journal.staging().and_then(|name| removal::remove(places.workspace, &name)).map_err(failed)?;
    watched.before("finish workspace");
    finish_root(places.workspace, journal).map_err(failed)
}

fn finish_root(workspace: &OwnedFd, journal: &Journal) -> Result<(), Errno> {
    let (mode, modified) = journal.root_after;
    root(workspace, mode, modified)
}

fn root(workspace: &OwnedFd, mode: u32, modified: (i64, i64)) -> Result<(), Errno> {
    if Facts::of(workspace)?.mode != mode {
        set_mode(workspace, mode)?;
    }
    set_times(workspace, c".", modified)
}

/// Undoes what was done, and drops what was staged.
fn back(
    folder: &OwnedFd,
    places: &Places<'_>,
    journal: &Journal,
    stamp: Option<Stamp>,
    watched: &mut Watched<'_>,
) -> Result<(), BridgeError> {
    let failed = |errno| io("cannot undo the commit to", &journal.workspace, errno);
    let left = places.undo(journal, watched);
    if let Some(mut stamp) = stamp {
        renew(&mut stamp, places.workspace, journal);
        watched.before("stamp");
        stamp.write(folder, crate::changes::record::Durable::Yes).map_err(failed)?;
    }
    if left.is_empty() || is_empty(places.staging) {
        return drop_staging(places.workspace, folder, journal, watched).map_err(failed);
    }
    root(places.workspace, journal.root.mode | 0o700, journal.root.modified).map_err(failed)?;
    close(folder, watched).map_err(failed)?;
    Err(lost(&left, journal))
}

/// What was taken away could not be put back, as the host has put something else there meanwhile.
fn lost(left: &[PathBuf], journal: &Journal) -> BridgeError {
    let staging = journal.staging().unwrap_or_default();
    let kept = journal.workspace.join(crate::changes::entry::as_path(&staging));
    let message = format!(
        "the commit was undone, but while it was under way the workspace was changed at {} of its paths; what was there before is kept in `{}`",
        left.len(),
        shown(&kept)
    );
    let told: Vec<_> = left.iter().take(100).map(|path| path.to_string_lossy().into_owned()).collect();
    BridgeError::new(ErrorCode::ChangesConflict, message).with("paths", told)
}

/// Being renamed to and fro gave entries another time of change; they are what they were before.
fn renew(stamp: &mut Stamp, workspace: &OwnedFd, journal: &Journal) {
    for operation in &journal.operations {
        let before = match operation {
            Operation::Open { before, .. } | Operation::Take { before, .. } => before,
            Operation::Put { before: Some(before), .. } => before,
            Operation::Adjust { before, .. } => before,
            Operation::Put { before: None, .. } => continue,
        };
        let path = operation.path();
        let facts = split(path).and_then(|(parent, name)| Facts::at(beneath(workspace, parent)?, &name));
        if let Ok(facts) = facts
            && stamp.at(path).is_some()
            && before.is_still(&facts)
            && before.mode == facts.mode
        {
            stamp.renew(path, &facts);
        }
    }
}

/// Drops what was staged: the workspace is as it was before the commit began.
pub(super) fn drop_staging(
    workspace: &OwnedFd,
    folder: &OwnedFd,
    journal: &Journal,
    watched: &mut Watched<'_>,
) -> Result<(), Errno> {
    watched.before("drop staging");
    removal::remove(workspace, &journal.staging()?)?;
    watched.before("restore workspace");
    root(workspace, journal.root.mode, journal.root.modified)?;
    close(folder, watched)
}

/// The commit is over without having been made.
fn close(folder: &OwnedFd, watched: &mut Watched<'_>) -> Result<(), Errno> {
    watched.before("close journal");
    removal::remove(folder, JOURNAL)?;
    sync_directory(folder)
}
