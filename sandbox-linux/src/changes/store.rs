//! Where change sets lie: a directory of the user's, outside of every guest's reach.

use super::change_set::ChangeSet;
use super::commit::{self, CommitSteps, Recovered};
use super::entry::{Facts, names, without_links};
use super::fault::{self, io, unsuitable};
use super::recording::is_id;
use cofferdam_bridge::error::BridgeError;
use std::ffi::{CStr, CString};
use std::fs::DirBuilder;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// What a change set consists of.
pub(crate) const UPPER: &CStr = c"upper";
pub(crate) const WORK: &CStr = c"work";
pub(crate) const LOCK: &CStr = c"lock";

/// The place of all change sets of one user, or of one embedder.
#[derive(Clone, Debug)]
pub struct ChangeStore {
    path: PathBuf,
}

impl ChangeStore {
    /// A store at an absolute path. It is made when it is first needed, for its user alone.
    ///
    /// # Errors
    /// `changes_store_unsuitable` for a path that is not absolute.
    pub fn at(path: impl Into<PathBuf>) -> Result<Self, BridgeError> {
        let path = path.into();
        if !path.is_absolute() {
            return Err(unsuitable(format!("the path `{}` of the store is not absolute", path.display())));
        }
        Ok(Self { path })
    }

    /// The user's own: `cofferdam/changes` in `$XDG_STATE_HOME`, or in `~/.local/state` (XDG Base Directory Specification).
    ///
    /// # Errors
    /// `changes_store_unsuitable` where neither is set.
    pub fn of_user() -> Result<Self, BridgeError> {
        let set = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")));
        match state {
            Some(state) => Self::at(state.join("cofferdam/changes")),
            None => Err(unsuitable("neither XDG_STATE_HOME nor HOME says where changes may be kept; set one of them")),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes it where it is not there yet, and opens it.
    pub(crate) fn make(&self) -> Result<OpenStore, BridgeError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.path);
        made.map_err(|error| self.failed(&error))?;
        self.recover()?;
        match self.open()? {
            Some(store) => Ok(store),
            None => Err(self.failed(&std::io::ErrorKind::NotFound.into())),
        }
    }

    /// Opens it, if it is there. Links on the way to it are resolved once, here.
    pub(crate) fn open(&self) -> Result<Option<OpenStore>, BridgeError> {
        let path = match self.path.canonicalize() {
            Ok(path) => path,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.failed(&error)),
        };
        let root = without_links(&path).map_err(|errno| self.failed(&errno.into()))?;
        let facts = Facts::of(&root).map_err(|errno| self.failed(&errno.into()))?;
        if facts.user != nix::unistd::geteuid().as_raw() || facts.mode & 0o022 != 0 {
            return Err(unsuitable(format!(
                "the store of changes `{}` belongs to somebody else, or others may write to it; make it yours alone: chmod 700",
                path.display()
            )));
        }
        Ok(Some(OpenStore { root, path }))
    }

    /// Brings commits that were cut short to their end: done where all had been decided, else undone. Every other way to a change set, and the
    /// start of a run that fills one, does so first; this tells what came of it.
    ///
    /// # Errors
    /// `io_failed`, `changes_store_unsuitable`.
    pub fn recover(&self) -> Result<Vec<Recovered>, BridgeError> {
        self.recover_watched(&mut ())
    }

    /// As [`recover`](Self::recover); `steps` is told before each step.
    ///
    /// # Errors
    /// As [`recover`](Self::recover).
    pub fn recover_watched(&self, steps: &mut dyn CommitSteps) -> Result<Vec<Recovered>, BridgeError> {
        Ok(self.open()?.map(|store| commit::recover_all(&store, steps)).unwrap_or_default())
    }

    /// All change sets, the newest first.
    ///
    /// # Errors
    /// `io_failed`, `changes_store_unsuitable`. A set that cannot be read is passed over, as one is that is just being made.
    pub fn list(&self) -> Result<Vec<ChangeSet>, BridgeError> {
        self.recover()?;
        let Some(store) = self.open()? else { return Ok(Vec::new()) };
        let names = names(&store.root).map_err(|errno| self.failed(&errno.into()))?;
        let ids = names.iter().filter(|name| is_id(name));
        let mut sets: Vec<_> = ids.filter_map(|name| ChangeSet::open(&store, name).ok().flatten()).collect();
        sets.sort_by_key(|set| std::cmp::Reverse(set.created()));
        Ok(sets)
    }

    /// The change set `id`.
    ///
    /// # Errors
    /// `changes_not_found`, `changes_damaged`, `io_failed`.
    pub fn find(&self, id: &str) -> Result<ChangeSet, BridgeError> {
        let name = CString::new(id).ok().filter(|name| is_id(name)).ok_or_else(|| fault::unknown(id))?;
        self.recover()?;
        let Some(store) = self.open()? else { return Err(fault::unknown(id)) };
        ChangeSet::open(&store, &name)?.ok_or_else(|| fault::unknown(id))
    }

    /// The newest change set of the workspace at a canonical path.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    pub fn newest_of(&self, workspace: &Path) -> Result<Option<ChangeSet>, BridgeError> {
        Ok(self.list()?.into_iter().find(|set| set.workspace() == workspace))
    }

    fn failed(&self, error: &std::io::Error) -> BridgeError {
        let errno = nix::errno::Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO));
        io("cannot use the store of changes at", &self.path, errno)
    }
}

/// A store that is there.
#[derive(Debug)]
pub(crate) struct OpenStore {
    pub(crate) root: OwnedFd,
    /// Its path without links.
    pub(crate) path: PathBuf,
}
