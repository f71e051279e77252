//! One change set: what a run left, to be looked at, committed or discarded.

use super::commit::{self, CommitSteps};
use super::diff::Diff;
use super::entry::{beneath, directory, file, split};
use super::fault::{self, io};
use super::layers::Layers;
use super::lock::Lock;
use super::record::{self, RECORD, Record};
use super::removal;
use super::store::{LOCK, OpenStore};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::event::ChangeSummary;
use nix::errno::Errno;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What one run changed.
#[derive(Debug)]
pub struct ChangeSet {
    pub(crate) name: CString,
    pub(crate) store: OwnedFd,
    pub(crate) folder: OwnedFd,
    pub(crate) place: PathBuf,
    pub(crate) record: Record,
}

/// Which of two trees is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Side {
    /// The workspace.
    Before,
    /// What the run left.
    After,
}

impl ChangeSet {
    /// Opens the change set `name`; none where it is not there, or not made yet.
    pub(crate) fn open(store: &OpenStore, name: &CStr) -> Result<Option<Self>, BridgeError> {
        let place = store.path.join(super::entry::as_path(name));
        let failed = |errno| io("cannot open the change set", &place, errno);
        let folder = match directory(&store.root, name) {
            Ok(folder) => folder,
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno) => return Err(failed(errno)),
        };
        let Some(record) = record::read::<Record>(&folder, RECORD, &place)? else { return Ok(None) };
        if record.version != 1 {
            return Err(fault::damaged("it was made by another version of this program", &place));
        }
        let store = store.root.try_clone().map_err(|_| failed(Errno::EMFILE))?;
        Ok(Some(Self { name: name.to_owned(), store, folder, place, record }))
    }

    /// Its id.
    pub fn id(&self) -> String {
        self.name.to_string_lossy().into_owned()
    }

    /// The workspace that the run saw.
    pub fn workspace(&self) -> &Path {
        &self.record.workspace
    }

    /// When the run began.
    pub fn created(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.record.created_ms)
    }

    /// The program that ran, without its arguments.
    pub fn program(&self) -> &str {
        &self.record.program
    }

    /// Whether the run came to its end. Not so while it is under way, or when whoever started it was killed: what it had changed by
    /// then is there.
    pub fn is_finished(&self) -> bool {
        self.record.finished
    }

    /// How much the run changed, as it was counted at its end.
    pub fn summary(&self) -> Option<&ChangeSummary> {
        self.record.summary.as_ref()
    }

    /// Whether a run or another command works on it just now.
    pub fn is_in_use(&self) -> bool {
        self.record.is_alive() || !matches!(Lock::try_take(&self.folder, LOCK), Ok(Some(_)))
    }

    /// What the run changed, against the workspace as it is now.
    ///
    /// # Errors
    /// `changes_in_use`, `changes_conflict` when the workspace is another directory, `changes_damaged`, `io_failed`.
    pub fn diff(&self) -> Result<Diff, BridgeError> {
        let _lock = self.lock()?;
        Diff::of(&Layers::open(&self.folder, &self.record, &self.place)?)
    }

    /// The first bytes of the regular file at `path`, at most `most`; none where there is none on that side.
    ///
    /// # Errors
    /// As [`diff`](Self::diff).
    pub fn contents(&self, side: Side, path: &Path, most: u64) -> Result<Option<Vec<u8>>, BridgeError> {
        let _lock = self.lock()?;
        let layers = Layers::open(&self.folder, &self.record, &self.place)?;
        let root = if side == Side::Before { &layers.lower } else { &layers.upper };
        let failed = |errno| io("cannot read", path, errno);
        let found = split(path).and_then(|(parent, name)| file(beneath(root, parent)?, &name));
        let found = match found {
            Ok(found) => found,
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::EINVAL | Errno::ELOOP | Errno::ENXIO) => return Ok(None),
            Err(errno) => return Err(failed(errno)),
        };
        let mut bytes = Vec::new();
        let read = File::from(found).take(most).read_to_end(&mut bytes);
        read.map_err(|error| failed(Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))))?;
        Ok(Some(bytes))
    }

    /// Makes the changes in the workspace, all of them or none, and removes the change set. Answers what was changed.
    ///
    /// A commit that a crash cuts short is brought to its end by the next use of the store. Set-id bits are dropped, sockets are left
    /// out, and a file that had several names in the workspace is replaced under those alone that the run changed it by.
    ///
    /// # Errors
    /// `changes_conflict` with the `paths` that the host changed since the run began, `changes_in_use`, `changes_damaged`,
    /// `changes_store_unsuitable`, `io_failed`. In each case the workspace is as it was before.
    pub fn commit(&self) -> Result<Diff, BridgeError> {
        commit::commit(self, &mut ())
    }

    /// As [`commit`](Self::commit); `steps` is told before each step.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn commit_watched(&self, steps: &mut dyn CommitSteps) -> Result<Diff, BridgeError> {
        commit::commit(self, steps)
    }

    /// Removes it. The workspace stays as it is.
    ///
    /// # Errors
    /// `changes_in_use`, `io_failed`.
    pub fn discard(self) -> Result<(), BridgeError> {
        let _lock = self.lock()?;
        self.remove()
    }

    pub(crate) fn remove(&self) -> Result<(), BridgeError> {
        let failed = |errno| io("cannot remove the change set", &self.place, errno);
        // Without its record it is no change set any more, wherever the removal ends.
        removal::remove(&self.folder, RECORD).map_err(failed)?;
        removal::remove(&self.store, &self.name).map_err(failed)
    }

    pub(crate) fn lock(&self) -> Result<Lock, BridgeError> {
        let failed = |errno| io("cannot lock the change set", &self.place, errno);
        let lock = Lock::try_take(&self.folder, LOCK).map_err(failed)?;
        // Whoever started the run may have been killed just now, and what ran may write for a moment more.
        lock.filter(|_| !self.record.is_alive()).ok_or_else(|| fault::in_use(&self.id()))
    }
}
