//! The directories that an overlay is made of, each with what the launcher knows it by.

use super::entry::{Facts, named};
use nix::errno::Errno;
use std::path::{Path, PathBuf};

/// A directory of the host and its identity.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    pub(crate) path: PathBuf,
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

impl Directory {
    /// The directory that `path` names now.
    pub(crate) fn find(path: &Path) -> Result<Self, Errno> {
        let facts = Facts::of(named(path)?)?;
        Ok(Self { path: path.to_owned(), device: facts.device, inode: facts.inode })
    }
}

/// Where one run's overlay stands and what it is made of.
#[derive(Clone, Debug)]
pub(crate) struct OverlayPlace {
    /// What lies beneath, and where the overlay stands.
    pub(crate) workspace: Directory,
    /// Where changes land.
    pub(crate) upper: Directory,
    /// Where overlayfs prepares them: empty, on the same file system.
    pub(crate) work: Directory,
}
