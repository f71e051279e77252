//! What would have to be done to a workspace for it to become what the run left: the fewest whole entries to put, remove or adjust.

use super::entry::{Facts, Kind, MOST_LEVELS, directory, names};
use super::fault;
use super::layers::{Layers, Meaning, child};
use cofferdam_bridge::error::BridgeError;
use nix::errno::Errno;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// One thing to do at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Take the entry away, with all beneath it.
    Remove { path: PathBuf, before: Facts },
    /// Put the upper entry there, with all beneath it, in place of what there is.
    Place { path: PathBuf, before: Option<Facts>, after: Facts },
    /// Give what is there the mode and times of the upper entry: its contents are the same, or it is a directory.
    Adjust { path: PathBuf, before: Facts, after: Facts },
}

impl Action {
    /// Where.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Remove { path, .. } | Self::Place { path, .. } | Self::Adjust { path, .. } => path,
        }
    }

    /// What is there now.
    pub(crate) fn before(&self) -> Option<&Facts> {
        match self {
            Self::Remove { before, .. } | Self::Adjust { before, .. } => Some(before),
            Self::Place { before, .. } => before.as_ref(),
        }
    }
}

/// All there is to do.
#[derive(Debug, Default)]
pub(crate) struct Merge {
    /// In the order in which it can be done: a directory's own mode and times come after what is in it.
    pub(crate) actions: Vec<Action>,
    /// Names that the run removed where there is nothing any more, or never was.
    pub(crate) gone: Vec<PathBuf>,
    /// Directories of the upper layer that come on top of one beneath, or did when the run began.
    pub(crate) merged: Vec<PathBuf>,
    /// Sockets: without whoever listened they are of no use, so they are left out.
    pub(crate) left_out: Vec<PathBuf>,
}

impl Merge {
    /// Compares the layers.
    pub(crate) fn of(layers: &Layers) -> Result<Self, BridgeError> {
        let mut merge = Self::default();
        let failed = |errno| fault::io("cannot look at the workspace", Path::new("."), errno);
        let after = layers.upper_root().map_err(failed)?;
        merge.folder(layers, &layers.upper, &layers.lower, Path::new(""), 0)?;
        let before = Facts::of(&layers.lower).map_err(failed)?;
        merge.adjust_directory(Path::new(""), before, after, false);
        Ok(merge)
    }

    fn folder(
        &mut self,
        layers: &Layers,
        upper: &OwnedFd,
        lower: &OwnedFd,
        path: &Path,
        level: usize,
    ) -> Result<(), BridgeError> {
        let failed = |errno| fault::io("cannot compare the directory", path, errno);
        if level > MOST_LEVELS {
            return Err(failed(Errno::ENAMETOOLONG));
        }
        self.merged.push(path.to_owned());
        for name in names(upper).map_err(failed)? {
            let path = child(path, &name);
            let before = Facts::if_there(lower, &name).map_err(failed)?;
            match (layers.meaning(upper, &name, &path)?, before) {
                (Meaning::Gone, Some(before)) => self.actions.push(Action::Remove { path, before }),
                (Meaning::Gone, None) => self.gone.push(path),
                (Meaning::Merged(after), Some(before)) if before.is_directory() => {
                    let (upper, lower) =
                        (directory(upper, &name).map_err(failed)?, directory(lower, &name).map_err(failed)?);
                    let done = self.actions.len();
                    self.folder(layers, &upper, &lower, &path, level + 1)?;
                    let filled = self.actions.len() > done;
                    self.adjust_directory(&path, before, after, filled);
                }
                (Meaning::Merged(after), before) => {
                    self.merged.push(path.clone());
                    self.actions.push(Action::Place { path, before, after });
                }
                (Meaning::Whole(after), before) if after.kind == Kind::Socket => {
                    self.left_out.push(path.clone());
                    if let Some(before) = before {
                        self.actions.push(Action::Remove { path, before });
                    }
                }
                (Meaning::Whole(after), Some(before)) if same(layers, &path, &before, &after) => {
                    if before.mode != after.mode || before.modified != after.modified {
                        self.actions.push(Action::Adjust { path, before, after });
                    }
                }
                (Meaning::Whole(after), before) => self.actions.push(Action::Place { path, before, after }),
            }
        }
        Ok(())
    }

    /// `filled`: something is done in it, which gives it other times.
    fn adjust_directory(&mut self, path: &Path, before: Facts, mut after: Facts, filled: bool) {
        // A shared directory hands its group on; a run cannot have taken that away, as it cannot set it.
        after.mode |= before.mode & 0o6000;
        if filled || before.mode != after.mode || before.modified != after.modified {
            self.actions.push(Action::Adjust { path: path.to_owned(), before, after });
        }
    }
}

/// Whether an entry differs in mode and times at most. Names of one file are put as one, or they would part.
fn same(layers: &Layers, path: &Path, before: &Facts, after: &Facts) -> bool {
    before.kind == Kind::File
        && after.kind == Kind::File
        && after.links == 1
        && before.size == after.size
        && (before.user, before.group) == (after.user, after.group)
        && layers.same_attributes(path)
        && layers.same_contents(path, path)
}
