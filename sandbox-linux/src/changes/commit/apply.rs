//! Does and undoes the operations of a journal, by descriptors beneath the workspace.
//!
//! Between looking and renaming the host may put something else there; so what came into the slot is looked at once more, and put
//! back if it is not what was meant.

use super::Watched;
use super::journal::{Journal, Operation, Seen, slot_name};
use super::stage::{set_mode, set_times};
use crate::changes::entry::{Facts, Time, beneath, handle, split};
use nix::errno::Errno;
use nix::fcntl::{RenameFlags, renameat2};
use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Why an operation was not done.
#[derive(Debug)]
pub(super) enum Hindrance {
    /// The host changed what is there.
    Conflict(PathBuf),
    /// The system refused.
    System(PathBuf, Errno),
}

/// The places that operations work in.
pub(super) struct Places<'a> {
    pub(super) workspace: &'a OwnedFd,
    pub(super) staging: &'a OwnedFd,
}

impl Places<'_> {
    /// Does all that is not done yet.
    pub(super) fn apply(&self, journal: &Journal, watched: &mut Watched<'_>) -> Result<(), Hindrance> {
        for operation in &journal.operations {
            watched.before("apply");
            let path = operation.path();
            match self.one(operation) {
                Ok(()) => {}
                Err(Errno::ESTALE | Errno::EEXIST | Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => {
                    return Err(Hindrance::Conflict(path.to_owned()));
                }
                Err(errno) => return Err(Hindrance::System(path.to_owned(), errno)),
            }
        }
        Ok(())
    }

    /// Undoes all that was done; answers the paths whose earlier entries could not be put back, which stay in the staging directory.
    pub(super) fn undo(&self, journal: &Journal, watched: &mut Watched<'_>) -> Vec<PathBuf> {
        let mut left = Vec::new();
        for operation in journal.operations.iter().rev() {
            watched.before("undo");
            if self.undo_one(operation).is_err() && self.keeps(operation) {
                left.push(operation.path().to_owned());
            }
        }
        left
    }

    fn one(&self, operation: &Operation) -> Result<(), Errno> {
        match operation {
            // One that has been taken away already, or given another name, needs no rights; what does need them will say so.
            Operation::Open { path, before } => match self.open(path.as_path(), before) {
                Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ESTALE | Errno::ELOOP) => Ok(()),
                other => other,
            },
            Operation::Put { path, slot, before, .. } => {
                let slot = slot_name(*slot)?;
                if self.is_put(&slot, before.as_ref())? {
                    return Ok(());
                }
                let (parent, name) = self.place(path.as_path())?;
                match before {
                    None => renameat2(
                        self.staging,
                        slot.as_c_str(),
                        &parent,
                        name.as_c_str(),
                        RenameFlags::RENAME_NOREPLACE,
                    ),
                    Some(before) => self.exchange(&slot, &parent, &name, before),
                }
            }
            Operation::Take { path, slot, before } => {
                let slot = slot_name(*slot)?;
                if Facts::if_there(self.staging, &slot)?.is_some() {
                    return Ok(());
                }
                let (parent, name) = self.place(path.as_path())?;
                if !before.is_untouched(&Facts::at(&parent, &name)?) {
                    return Err(Errno::ESTALE);
                }
                let out = RenameFlags::RENAME_NOREPLACE;
                renameat2(&parent, name.as_c_str(), self.staging, slot.as_c_str(), out)?;
                if before.is_still(&Facts::at(self.staging, &slot)?) {
                    return Ok(());
                }
                renameat2(self.staging, slot.as_c_str(), &parent, name.as_c_str(), out)?;
                Err(Errno::ESTALE)
            }
            Operation::Adjust { path, before, mode, modified } => {
                self.adjust(path.as_path(), before, *mode, *modified, *modified)
            }
        }
    }

    fn exchange(&self, slot: &CStr, parent: &OwnedFd, name: &CStr, before: &Seen) -> Result<(), Errno> {
        if !before.is_untouched(&Facts::at(parent, name)?) {
            return Err(Errno::ESTALE);
        }
        let swap = || renameat2(self.staging, slot, parent, name, RenameFlags::RENAME_EXCHANGE);
        swap()?;
        if before.is_still(&Facts::at(self.staging, slot)?) {
            return Ok(());
        }
        swap()?;
        Err(Errno::ESTALE)
    }

    /// Whether what was staged has left its slot: for nothing, or for what was there before.
    fn is_put(&self, slot: &CStr, before: Option<&Seen>) -> Result<bool, Errno> {
        let facts = Facts::if_there(self.staging, slot)?;
        Ok(match (before, facts) {
            (None, facts) => facts.is_none(),
            (Some(before), Some(facts)) => facts.inode == before.inode,
            (Some(_), None) => false,
        })
    }

    fn open(&self, path: &Path, before: &Seen) -> Result<(), Errno> {
        if before.mode & 0o700 == 0o700 {
            return Ok(());
        }
        let own = self.object(path, before, before.modified)?;
        set_mode(&own, before.mode | 0o700)
    }

    /// Sets mode and times of what `before` tells of, or which has the times `after` already.
    fn adjust(&self, path: &Path, before: &Seen, mode: u32, modified: Time, after: Time) -> Result<(), Errno> {
        let own = self.object(path, before, after)?;
        if Facts::of(&own)?.mode != mode {
            set_mode(&own, mode)?;
        }
        let (parent, name) = self.place(path)?;
        set_times(parent, &name, modified)
    }

    fn undo_one(&self, operation: &Operation) -> Result<(), Errno> {
        match operation {
            Operation::Open { path, before } => {
                self.adjust(path.as_path(), before, before.mode, before.modified, before.modified)
            }
            Operation::Adjust { path, before, modified, .. } => {
                // What is in a directory is undone after this, so it stays open until its own `Open` is undone.
                let more = if before.directory { 0o700 } else { 0 };
                self.adjust(path.as_path(), before, before.mode | more, before.modified, *modified)
            }
            Operation::Put { path, slot, staged, before } => {
                let slot = slot_name(*slot)?;
                if !self.is_put(&slot, before.as_ref())? {
                    return Ok(());
                }
                let (parent, name) = self.place(path.as_path())?;
                // What the host has put there since is the host's.
                if !staged.is_still(&Facts::at(&parent, &name)?) {
                    return Err(Errno::ESTALE);
                }
                let how = if before.is_some() { RenameFlags::RENAME_EXCHANGE } else { RenameFlags::RENAME_NOREPLACE };
                renameat2(&parent, name.as_c_str(), self.staging, slot.as_c_str(), how)
            }
            Operation::Take { path, slot, .. } => {
                let slot = slot_name(*slot)?;
                if Facts::if_there(self.staging, &slot)?.is_none() {
                    return Ok(());
                }
                let (parent, name) = self.place(path.as_path())?;
                renameat2(self.staging, slot.as_c_str(), &parent, name.as_c_str(), RenameFlags::RENAME_NOREPLACE)
            }
        }
    }

    /// Whether the staging directory holds something of the host's that belongs elsewhere.
    fn keeps(&self, operation: &Operation) -> bool {
        let in_slot = |slot: &usize, before: &Seen| {
            let facts = slot_name(*slot).and_then(|slot| Facts::if_there(self.staging, &slot));
            facts.is_ok_and(|facts| facts.is_some_and(|facts| facts.inode == before.inode))
        };
        match operation {
            Operation::Put { slot, before: Some(before), .. } | Operation::Take { slot, before, .. } => {
                in_slot(slot, before)
            }
            _ => false,
        }
    }

    /// The directory and the name of an entry of the workspace.
    fn place(&self, path: &Path) -> Result<(OwnedFd, CString), Errno> {
        let (parent, name) = split(path)?;
        Ok((beneath(self.workspace, parent)?, name))
    }

    /// The very object that was seen, with its own times or with `after`. A number alone tells little: that of a removed file is soon
    /// given to another.
    fn object(&self, path: &Path, seen: &Seen, after: Time) -> Result<OwnedFd, Errno> {
        let (parent, name) = self.place(path)?;
        let own = handle(parent, &name)?;
        let facts = Facts::of(&own)?;
        let same = seen.is_still(&facts) || Seen { modified: after, ..*seen }.is_still(&facts);
        if same { Ok(own) } else { Err(Errno::ESTALE) }
    }
}
