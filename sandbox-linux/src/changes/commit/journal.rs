//! What a commit is about to do, on disk before it does it, so that whoever comes after a crash can bring it to an end.
//!
//! What was done is told by the staging directory alone, never by the workspace, which the host may change meanwhile: an operation
//! moves something out of its slot, into it, or both at once, by one rename(2).

use crate::changes::entry::{Facts, Kind, Time};
use crate::changes::record::{self, Durable, Record};
use crate::changes::stored_path::StoredPath;
use cofferdam_bridge::error::BridgeError;
use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use std::ffi::{CStr, CString};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// The name of the journal in a change set.
pub(crate) const JOURNAL: &CStr = c"journal.json";

/// How far a commit has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    /// New contents are being copied beside the workspace's own. After a crash they are dropped.
    Staging,
    /// All are there and on disk: after a crash the rest is done.
    Applying,
    /// Something was in the way: after a crash the rest is undone.
    Undoing,
    /// All is done: after a crash the rest is cleared up.
    Cleaning,
}

/// What is known of an object, to tell it from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) inode: u64,
    pub(crate) mode: u32,
    pub(crate) size: u64,
    pub(crate) modified: Time,
    pub(crate) changed: Time,
    pub(crate) directory: bool,
}

impl Seen {
    pub(crate) fn of(facts: &Facts) -> Self {
        let Facts { inode, mode, size, modified, changed, .. } = *facts;
        Self { inode, mode, size, modified, changed, directory: facts.kind == Kind::Directory }
    }

    /// Whether `facts` are of the same object with the same contents. Renaming it gives it another time of change, and what is in a
    /// directory tells itself.
    pub(crate) fn is_still(&self, facts: &Facts) -> bool {
        let whole = self.directory || (self.size == facts.size && self.modified == facts.modified);
        self.inode == facts.inode && self.directory == facts.is_directory() && whole
    }

    /// As [`is_still`](Self::is_still), of an object that has not been renamed either.
    pub(crate) fn is_untouched(&self, facts: &Facts) -> bool {
        self.is_still(facts) && (self.directory || self.changed == facts.changed)
    }
}

/// One thing to do. Each can be done again, and undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Operation {
    /// Lets the user work in a directory whose mode forbids it, or move it. Undone, it gives mode and times back.
    Open { path: StoredPath, before: Seen },
    /// Puts what is staged in a slot at the path, in place of `before`, which comes into the slot.
    Put { path: StoredPath, slot: usize, staged: Seen, before: Option<Seen> },
    /// Takes what is at the path into a slot.
    Take { path: StoredPath, slot: usize, before: Seen },
    /// Sets mode and times.
    Adjust { path: StoredPath, before: Seen, mode: u32, modified: Time },
}

impl Operation {
    /// Where it is done.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Open { path, .. } | Self::Put { path, .. } | Self::Take { path, .. } | Self::Adjust { path, .. } => {
                path.as_path()
            }
        }
    }
}

/// The journal of one commit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Journal {
    pub(crate) phase: Phase,
    /// The workspace, as the change set's record tells it.
    pub(crate) workspace: PathBuf,
    pub(crate) device: u64,
    pub(crate) inode: u64,
    /// The name of the staging directory in it, and its inode once that is known.
    staging: String,
    pub(crate) staging_inode: Option<u64>,
    /// The workspace's own mode and times: staging beside its entries changes them.
    pub(crate) root: Seen,
    /// Mode and times that the workspace itself is to have at the end.
    pub(crate) root_after: (u32, Time),
    pub(crate) operations: Vec<Operation>,
}

impl Journal {
    /// The journal of a commit of the change set `id` that begins.
    pub(crate) fn new(record: &Record, id: &str, root: &Facts) -> Self {
        Self {
            phase: Phase::Staging,
            workspace: record.workspace.clone(),
            device: record.device,
            inode: record.inode,
            staging: format!(".cofferdam-commit-{id}"),
            staging_inode: None,
            root: Seen::of(root),
            root_after: (root.mode, root.modified),
            operations: Vec::new(),
        }
    }

    /// The name of the staging directory.
    pub(crate) fn staging(&self) -> Result<CString, Errno> {
        crate::changes::entry::as_name(std::ffi::OsStr::new(&self.staging))
    }

    /// Brings it to disk.
    pub(crate) fn write(&self, set: impl AsFd) -> Result<(), Errno> {
        record::write(set, JOURNAL, self, Durable::Yes)
    }

    /// Reads it; none where no commit was begun.
    pub(crate) fn read(set: impl AsFd, place: &Path) -> Result<Option<Self>, BridgeError> {
        record::read(set, JOURNAL, place)
    }
}

/// The name of a slot in the staging directory.
pub(crate) fn slot_name(slot: usize) -> Result<CString, Errno> {
    CString::new(slot.to_string()).map_err(|_| Errno::EINVAL)
}
