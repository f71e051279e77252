//! Copies what a run left beside the workspace's own entries, whole, with modes, times, links and attributes.

use super::Watched;
use crate::changes::attribute;
use crate::changes::entry::{
    Facts, Kind, MOST_LEVELS, Time, beneath, directory, file, handle, names, own_path, target,
};
use crate::changes::layers::{Layers, Meaning, carried};
use cofferdam_bridge::error::BridgeError;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, UtimensatFlags, fchmodat, mkdirat, mknodat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{FchownatFlags, Gid, Uid, fchownat, linkat, symlinkat};
use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Fills a staging directory.
pub(super) struct Stage<'a, 'w> {
    pub(super) watched: &'a mut Watched<'w>,
    pub(super) layers: &'a Layers,
    pub(super) staging: &'a OwnedFd,
    /// Where the first name of each upper file with several names was staged.
    pub(super) linked: HashMap<(u64, u64), (PathBuf, CString)>,
}

/// Why something could not be staged: as the change set is, or as the system answered.
pub(super) enum Fault {
    Set(BridgeError),
    System(Errno),
}

impl From<Errno> for Fault {
    fn from(errno: Errno) -> Self {
        Self::System(errno)
    }
}

impl Stage<'_, '_> {
    /// Stages the upper entry at `path` as `slot`.
    pub(super) fn entry(&mut self, path: &Path, slot: &CStr) -> Result<Facts, Fault> {
        let (parent, name) = crate::changes::entry::split(path)?;
        let folder = beneath(&self.layers.upper, parent)?;
        let staging = self.staging.try_clone().map_err(|_| Errno::EMFILE)?;
        let at = At { folder: &staging, path: Path::new(""), name: slot };
        self.copy(&folder, &name, path, &at, 0)?;
        Ok(Facts::at(self.staging, slot)?)
    }

    fn copy(&mut self, upper: &OwnedFd, name: &CStr, path: &Path, to: &At<'_>, level: usize) -> Result<(), Fault> {
        if level > MOST_LEVELS {
            return Err(Errno::ENAMETOOLONG.into());
        }
        let facts = match self.layers.meaning(upper, name, path).map_err(Fault::Set)? {
            // Nobody listens on a socket that is left.
            Meaning::Whole(facts) | Meaning::Merged(facts) if facts.kind == Kind::Socket => return Ok(()),
            Meaning::Gone => return Ok(()),
            Meaning::Whole(facts) | Meaning::Merged(facts) => facts,
        };
        self.watched.before("stage");
        if facts.links > 1 && !facts.is_directory() {
            let key = (facts.device, facts.inode);
            if let Some((folder, first)) = self.linked.get(&key) {
                let folder = beneath(self.staging, folder)?;
                linkat(folder, first.as_c_str(), to.folder, to.name, AtFlags::empty())?;
                return Ok(());
            }
            self.linked.insert(key, (to.path.to_owned(), to.name.to_owned()));
        }
        match facts.kind {
            Kind::Directory => {
                mkdirat(to.folder, to.name, Mode::S_IRWXU)?;
                let own = directory(to.folder, to.name)?;
                let inner = directory(upper, name)?;
                let place = crate::changes::layers::child(to.path, to.name);
                for name in names(&inner)? {
                    let at = At { folder: &own, path: &place, name: &name };
                    let path = crate::changes::layers::child(path, &name);
                    self.copy(&inner, &name, &path, &at, level + 1)?;
                }
            }
            Kind::File => {
                let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
                let new = openat(to.folder, to.name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?;
                // The standard library copies within the kernel, and shares blocks where the file system can.
                let copied = std::io::copy(&mut File::from(file(upper, name)?), &mut File::from(new));
                copied.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))?;
            }
            Kind::Link => {
                let leads = target(upper, name)?;
                symlinkat(leads.as_os_str(), to.folder, to.name)?;
            }
            Kind::Fifo => mknodat(to.folder, to.name, SFlag::S_IFIFO, Mode::S_IRUSR | Mode::S_IWUSR, 0)?,
            Kind::Socket | Kind::Whiteout | Kind::Device => return Ok(()),
        }
        self.finish(upper, name, &facts, to, level)
    }

    /// Owner, attributes, mode and times, in the order in which each leaves the later ones alone.
    fn finish(&self, upper: &OwnedFd, name: &CStr, facts: &Facts, to: &At<'_>, level: usize) -> Result<(), Fault> {
        let own = handle(to.folder, to.name)?;
        let made = Facts::of(&own)?;
        if (made.user, made.group) != (facts.user, facts.group) {
            let (user, group) = (Uid::from_raw(facts.user), Gid::from_raw(facts.group));
            fchownat(to.folder, to.name, Some(user), Some(group), FchownatFlags::AT_SYMLINK_NOFOLLOW)?;
        }
        if facts.kind != Kind::Link {
            for (name, value) in carried(handle(upper, name)?)? {
                attribute::set(&own, &name, &value)?;
            }
            // A directory can be moved by whoever may write to it; its own mode comes after.
            let more = if facts.is_directory() && level == 0 { 0o700 } else { 0 };
            set_mode(&own, facts.mode | more)?;
        }
        Ok(set_times(to.folder, to.name, facts.modified)?)
    }
}

/// A name in the staging directory.
struct At<'a> {
    folder: &'a OwnedFd,
    /// The path of `folder` beneath the staging directory.
    path: &'a Path,
    name: &'a CStr,
}

/// Sets the mode of what a descriptor names.
pub(super) fn set_mode(object: &OwnedFd, mode: u32) -> Result<(), Errno> {
    let mode = Mode::from_bits_truncate(mode);
    fchmodat(AT_FDCWD, own_path(object.as_fd()).as_str(), mode, FchmodatFlags::FollowSymlink)
}

/// Sets when an entry was last written to. When it was last read is left alone.
pub(super) fn set_times(folder: impl AsFd, name: &CStr, modified: Time) -> Result<(), Errno> {
    let (left, modified) = (TimeSpec::UTIME_OMIT, TimeSpec::new(modified.0, modified.1));
    utimensat(folder, name, &left, &modified, UtimensatFlags::NoFollowSymlink)
}
