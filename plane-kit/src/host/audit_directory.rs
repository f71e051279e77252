//! The directory of an audit log: made for its owner alone, and refused where anybody else could write in it.

use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};
use nix::unistd::{UnlinkatFlags, geteuid, unlinkat};
use std::ffi::OsStr;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// An open directory. All that is done in it is done by its descriptor, and no link in it is followed.
#[derive(Debug)]
pub(super) struct AuditDirectory {
    path: PathBuf,
    /// Also what is locked (flock(2)): unlike a file in it, nobody can put another in its place unnoticed.
    handle: File,
    trust: Trust,
}

/// Whose files are opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    /// This user's own alone: something will be written, or has been.
    Own,
    /// Anybody's, to be read.
    Any,
}

const DIRECTORY: OFlag = OFlag::O_DIRECTORY.union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

impl AuditDirectory {
    /// Opens it to be read, whoever it belongs to.
    pub(super) fn read_only(path: &Path) -> Result<Self, BridgeError> {
        let path = path.canonicalize().map_err(|error| unavailable(path, "cannot be found", &error))?;
        let handle = open(&path, DIRECTORY, Mode::empty());
        let handle = File::from(handle.map_err(|error| unavailable(&path, "cannot be opened", &error.into()))?);
        Ok(Self { path, handle, trust: Trust::Any })
    }

    /// Opens it, or makes it with mode 0700, and makes sure of its name.
    pub(super) fn open(path: &Path) -> Result<Self, BridgeError> {
        let path = std::path::absolute(path).map_err(|error| unavailable(path, "cannot be found", &error))?;
        let opened = match open(&path, DIRECTORY, Mode::empty()) {
            Err(nix::Error::ENOENT) => {
                make(&path).map_err(|error| unavailable(&path, "cannot be made", &error))?;
                open(&path, DIRECTORY, Mode::empty())
            }
            other => other,
        };
        let handle = File::from(opened.map_err(|error| unavailable(&path, "cannot be opened", &error.into()))?);
        let facts = fstat(&handle).map_err(|error| unavailable(&path, "cannot be looked at", &error.into()))?;
        if facts.st_uid != geteuid().as_raw() {
            return Err(unsafe_place(&path, "belongs to somebody else"));
        }
        if facts.st_mode & 0o077 != 0 {
            return Err(unsafe_place(&path, "is open to others; close it by chmod 700, or name another"));
        }
        // Directories above it may be links of the user's own.
        let path = path.canonicalize().map_err(|error| unavailable(&path, "cannot be found", &error))?;
        Ok(Self { path, handle, trust: Trust::Own })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn handle(&self) -> &File {
        &self.handle
    }

    /// Whether this is still what the path leads to.
    pub(super) fn is_in_place(&self) -> Result<(), BridgeError> {
        let found = std::fs::symlink_metadata(&self.path);
        let own = self.handle.metadata();
        match (found, own) {
            (Ok(found), Ok(own)) if (found.dev(), found.ino()) == (own.dev(), own.ino()) => Ok(()),
            _ => Err(unsafe_place(&self.path, "is not where it was: it was moved or replaced while it was written")),
        }
    }

    /// Opens a file in it: a regular one of this user's, of one name, that nobody else may write.
    pub(super) fn file(&self, name: &str, flags: OFlag) -> Result<File, BridgeError> {
        // Opening never waits: a FIFO that somebody has put there is refused.
        let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let opened = openat(&self.handle, name, flags, Mode::S_IRUSR | Mode::S_IWUSR);
        let file = File::from(opened.map_err(|error| self.failed(name, "cannot be opened", &error.into()))?);
        let facts = fstat(&file).map_err(|error| self.failed(name, "cannot be looked at", &error.into()))?;
        self.is_own(name, &facts)?;
        Ok(file)
    }

    fn is_own(&self, name: &str, facts: &FileStat) -> Result<(), BridgeError> {
        let regular = facts.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFREG.bits();
        let own = facts.st_uid == geteuid().as_raw() && facts.st_mode & 0o022 == 0;
        if regular && (self.trust == Trust::Any || (own && facts.st_nlink == 1)) {
            return Ok(());
        }
        Err(unsafe_place(&self.path.join(name), "is no file of one name that only you can write"))
    }

    /// Names and lengths of all in it.
    pub(super) fn list(&self) -> Result<Vec<(String, u64)>, BridgeError> {
        let failed = |error: nix::Error| unavailable(&self.path, "cannot be listed", &error.into());
        let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut directory = nix::dir::Dir::openat(&self.handle, ".", flags, Mode::empty()).map_err(failed)?;
        let mut found = Vec::new();
        for entry in directory.iter() {
            let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') {
                continue;
            }
            match nix::sys::stat::fstatat(self.handle.as_fd(), name.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
                Ok(facts) => found.push((name, u64::try_from(facts.st_size).unwrap_or(0))),
                // Another process has removed it meanwhile.
                Err(nix::Error::ENOENT) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(found)
    }

    /// Makes sure of names that were made or removed.
    pub(super) fn sync(&self) -> Result<(), BridgeError> {
        self.handle.sync_all().map_err(|error| unavailable(&self.path, "cannot be made sure of", &error))
    }

    pub(super) fn remove(&self, name: &str) -> Result<(), BridgeError> {
        unlinkat(&self.handle, name, UnlinkatFlags::NoRemoveDir)
            .map_err(|error| self.failed(name, "cannot be removed", &error.into()))
    }

    pub(super) fn failed(&self, name: &str, what: &str, error: &io::Error) -> BridgeError {
        unavailable(&self.path.join(name), what, error)
    }
}

/// Makes a directory and those above it that are missing, and makes sure of each new name.
fn make(path: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = path.ancestors().take_while(|above| above.symlink_metadata().is_err()).collect();
    for above in missing.iter().rev() {
        match DirBuilder::new().mode(0o700).create(above) {
            // Another process makes it at the same time.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => other?,
        }
        let parent = above.parent().unwrap_or(Path::new("/"));
        // A parent that cannot be read, such as another user's, keeps its names safe in its own time.
        if let Ok(parent) = File::open(parent) {
            parent.sync_all()?;
        }
    }
    Ok(())
}

fn unavailable(path: &Path, what: &str, error: &io::Error) -> BridgeError {
    let message = match error.raw_os_error().map(nix::Error::from_raw) {
        Some(nix::Error::ENOSPC | nix::Error::EDQUOT) => {
            format!(
                "the audit log has no room: `{}` {what}. Free some of the disk, or name another place",
                path.display()
            )
        }
        Some(nix::Error::ELOOP | nix::Error::ENOTDIR) => {
            format!(
                "the audit log `{}` {what}: it is a link or no directory, and links are not followed",
                path.display()
            )
        }
        _ => format!("the audit log `{}` {what}: {error}", path.display()),
    };
    refusal(message).with("kind", error.kind().to_string()).with("os_error", error.raw_os_error().unwrap_or(0))
}

fn unsafe_place(path: &Path, what: &str) -> BridgeError {
    refusal(format!("the audit log `{}` {what}", path.display()))
}

pub(super) fn refusal(message: impl Into<String>) -> BridgeError {
    BridgeError::new(ErrorCode::AuditUnavailable, message)
}

/// The name of a file that the log knows, as its first sequence number.
pub(super) fn number(name: &str) -> Option<u64> {
    let digits = Path::new(name).file_stem().and_then(OsStr::to_str)?;
    (name.len() == 26 && name.ends_with(".jsonl") && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| digits.parse().ok())
        .flatten()
}
