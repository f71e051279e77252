//! Commits a change set: all of it or nothing, whatever ends the process or the machine meanwhile.
//!
//! 1. Under the store's lock, the layers are compared and the workspace is held against the stamp (`conflict`).
//! 2. All that is new is copied into a staging directory inside the workspace (`stage`), and brought to disk.
//! 3. The journal with every operation is brought to disk (`journal`). Up to here a crash changes nothing; from here on whoever
//!    comes next brings it to an end.
//! 4. The operations are done (`apply`): each is one rename or change of mode, and tells by the staging directory whether it was done. Where
//!    the host is in the way, all are undone.
//! 5. The staging directory, with what was replaced, and the change set are removed.

mod apply;
mod conflict;
mod journal;
mod operations;
mod recovery;
mod stage;

use super::change_set::ChangeSet;
use super::diff::Diff;
use super::entry::{Facts, directory, names};
use super::fault::{self, io};
use super::layers::Layers;
use super::lock::Lock;
use super::merge::Merge;
use super::removal;
use super::stamp::Stamp;
use super::store::LOCK;
use apply::Places;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use journal::{Journal, Phase, slot_name};
use nix::errno::Errno;
use nix::fcntl::{OFlag, RenameFlags, openat, renameat2};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::syncfs;
use operations::Slot;
use stage::{Fault, Stage, set_mode};
use std::collections::HashMap;
use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

pub(crate) use recovery::recover_all;
pub use recovery::{Outcome, Recovered};

/// The lock of a store: one commit at a time.
const ONE_AT_A_TIME: &CStr = c".commit";

/// Told before each step of a commit that changes something on disk. For tests that end a commit at any of them.
pub trait CommitSteps {
    /// The step of that name comes next.
    fn before(&mut self, step: &'static str);
}

/// Nobody watches.
impl CommitSteps for () {
    fn before(&mut self, _: &'static str) {}
}

/// The one who is told.
pub(crate) struct Watched<'a>(pub(crate) &'a mut dyn CommitSteps);

impl Watched<'_> {
    fn before(&mut self, step: &'static str) {
        self.0.before(step);
    }
}

/// Takes the store's lock; waits for another commit to end.
fn one_at_a_time(store: impl AsFd, how: How) -> Result<Option<Lock>, Errno> {
    match how {
        How::Wait => Lock::wait(store, ONE_AT_A_TIME),
        How::OrLeave => Lock::try_take(store, ONE_AT_A_TIME),
    }
}

enum How {
    Wait,
    OrLeave,
}

/// Commits `set`, and answers what was changed.
pub(crate) fn commit(set: &ChangeSet, steps: &mut dyn CommitSteps) -> Result<Diff, BridgeError> {
    let mut watched = Watched(steps);
    let failed = |errno| io("cannot lock the store of", &set.place, errno);
    let _one = one_at_a_time(&set.store, How::Wait).map_err(failed)?;
    let _lock = set.lock()?;
    if Journal::read(&set.folder, &set.place)?.is_some() {
        return match recovery::recover(&set.store, &set.name, &set.folder, &set.place, &mut watched)? {
            // It had been decided before; what it came to was told by whoever began it, or by nobody.
            Outcome::Done => Ok(Diff::default()),
            Outcome::Undone => begin(set, &mut watched),
        };
    }
    begin(set, &mut watched)
}

fn begin(set: &ChangeSet, watched: &mut Watched<'_>) -> Result<Diff, BridgeError> {
    let layers = Layers::open(&set.folder, &set.record, &set.place)?;
    let failed = |errno| io("cannot commit to", &set.record.workspace, errno);
    let Some(stamp) = Stamp::read(&set.folder).map_err(failed)? else {
        return Err(fault::damaged("the stamp of the workspace is missing", &set.place));
    };
    let merge = Merge::of(&layers)?;
    conflict::check(&layers, &merge, &stamp)?;
    let diff = Diff::of(&layers)?;
    if !merge.actions.is_empty() {
        let root = Facts::of(&layers.lower).map_err(failed)?;
        let mut journal = Journal::new(&set.record, &set.id(), &root);
        nothing_in_the_way(set, &layers, &journal)?;
        watched.before("journal");
        journal.write(&set.folder).map_err(failed)?;
        if let Err(error) = stage_all(set, &layers, &merge, &mut journal, watched) {
            recovery::drop_staging(&layers.lower, &set.folder, &journal, watched).map_err(failed)?;
            return Err(error);
        }
        let staging = journal.staging().and_then(|name| directory(&layers.lower, &name)).map_err(failed)?;
        let places = Places { workspace: &layers.lower, staging: &staging };
        recovery::forward(&set.folder, &places, &mut journal, Some(stamp), watched)?;
    }
    watched.before("discard");
    set.remove()?;
    Ok(diff)
}

/// What an earlier commit could not put back is kept under the name that this one needs.
fn nothing_in_the_way(set: &ChangeSet, layers: &Layers, journal: &Journal) -> Result<(), BridgeError> {
    let there = journal.staging().and_then(|name| Ok((Facts::if_there(&layers.lower, &name)?, name)));
    let (there, name) = there.map_err(|errno| io("cannot commit to", &set.record.workspace, errno))?;
    if there.is_none() {
        return Ok(());
    }
    let place = set.record.workspace.join(super::entry::as_path(&name));
    let message = format!("`{}` is in the way: look what is in it, and move it elsewhere", shown(&place));
    Err(BridgeError::new(ErrorCode::AlreadyExists, message).with("path", shown(&place)))
}

/// Copies all that is new into the staging directory, and writes down what is to be done with it.
fn stage_all(
    set: &ChangeSet,
    layers: &Layers,
    merge: &Merge,
    journal: &mut Journal,
    watched: &mut Watched<'_>,
) -> Result<(), BridgeError> {
    let failed = |errno: Errno| io("cannot put changes beside the workspace", &set.record.workspace, errno);
    watched.before("open workspace");
    if journal.root.mode & 0o700 != 0o700 {
        set_mode(&layers.lower, journal.root.mode | 0o700).map_err(failed)?;
    }
    let name = journal.staging().map_err(failed)?;
    watched.before("make staging");
    mkdirat(&layers.lower, name.as_c_str(), Mode::S_IRWXU).map_err(failed)?;
    let staging = directory(&layers.lower, &name).map_err(failed)?;
    exchanges(&staging).map_err(|errno| match errno {
        Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP => fault::unsuitable(format!(
            "the file system of `{}` cannot exchange two names at once, so nothing can be committed all or nothing; copy what you want by hand",
            set.record.workspace.display()
        )),
        errno => failed(errno),
    })?;
    let mut stage = Stage { watched, layers, staging: &staging, linked: HashMap::new() };
    let slots = operations::slots(merge);
    let mut staged = Vec::new();
    for (number, slot) in slots.iter().enumerate() {
        let facts = match slot {
            Slot::Staged(path) => {
                let name = slot_name(number).map_err(failed)?;
                let facts = stage.entry(path, &name).map_err(|fault| match fault {
                    Fault::Set(error) => error,
                    Fault::System(errno) => io("cannot put beside the workspace what is to be", path, errno),
                })?;
                Some(facts)
            }
            Slot::Empty => None,
        };
        staged.push(facts);
    }
    journal.operations = operations::of(merge, &staged).map_err(failed)?;
    journal.root_after = operations::root_after(merge, &journal.root);
    journal.staging_inode = Some(Facts::of(&staging).map_err(failed)?.inode);
    watched.before("sync staging");
    syncfs(&staging).map_err(failed)?;
    journal.phase = Phase::Applying;
    watched.before("journal");
    journal.write(&set.folder).map_err(failed)
}

/// Whether two names can be exchanged here (renameat2(2): not on every file system).
fn exchanges(staging: &OwnedFd) -> Result<(), Errno> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
    for name in [c"one", c"other"] {
        drop(openat(staging, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?);
    }
    renameat2(staging, c"one", staging, c"other", RenameFlags::RENAME_EXCHANGE)?;
    removal::remove(staging, c"one")?;
    removal::remove(staging, c"other")
}

/// Removes what a discard or a start that was cut short left of a change set: one without a record, that nobody works on.
pub(crate) fn clear_remains(store: &OwnedFd, name: &CStr, folder: &OwnedFd) {
    const OLD: i64 = 60;
    let Ok(facts) = Facts::at(store, name) else { return };
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_REALTIME_COARSE).map_or(0, |now| now.tv_sec());
    // One that is just being made has no record yet either.
    if now - facts.changed.0 < OLD {
        return;
    }
    if let Ok(Some(_lock)) = Lock::try_take(folder, LOCK) {
        let _ = removal::remove(store, name);
    }
}

/// Whether the staging directory is empty.
fn is_empty(staging: &OwnedFd) -> bool {
    names(staging).is_ok_and(|names| names.is_empty())
}

/// Where a change set is, for messages.
fn shown(place: &Path) -> String {
    place.display().to_string()
}
