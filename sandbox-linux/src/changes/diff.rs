//! What a run changed, entry by entry, for people and programs to look at.

use super::entry::{Facts, Kind, MOST_LEVELS, beneath, names, split, target};
use super::fault;
use super::layers::{Layers, Meaning, child, digest};
use super::merge::{Action, Merge};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::event::ChangeSummary;
use nix::errno::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// All that a run changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Diff {
    /// The changes, by path.
    pub changes: Vec<Change>,
    /// Sockets that the run left. A commit leaves them out: nobody listens on them.
    pub left_out: Vec<PathBuf>,
}

/// One changed entry.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// Its path, relative to the workspace; empty for the workspace itself.
    pub path: PathBuf,
    /// What happened to it.
    pub kind: ChangeKind,
    /// The name it had, of one that was renamed.
    pub from: Option<PathBuf>,
    /// What was there; none of a created one.
    pub before: Option<Entry>,
    /// What is there now; none of a deleted one.
    pub after: Option<Entry>,
}

/// What happened to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ChangeKind {
    /// It was not there.
    Created,
    /// It has other contents, leads elsewhere, or is of another kind.
    Changed,
    /// It is gone.
    Deleted,
    /// It has another name. Told only where it is certain: a file that was copied up from beneath, with the very contents and times of
    /// just one that is gone. Other renamed entries are told as deleted and created.
    Renamed,
    /// Its mode is another, and nothing else but times.
    ModeChanged,
    /// Its times are others, and nothing else.
    Touched,
}

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// Its kind.
    pub kind: EntryKind,
    /// Its permission bits.
    pub mode: u32,
    /// Its length in bytes.
    pub size: u64,
    /// Where a symbolic link leads.
    pub target: Option<OsString>,
}

/// A kind of entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A FIFO.
    Fifo,
    /// A socket.
    Socket,
    /// A device.
    Device,
}

impl Diff {
    /// How many changes there are of each kind.
    pub fn summary(&self, id: &str) -> ChangeSummary {
        let mut summary = ChangeSummary::new(id);
        for change in &self.changes {
            *match change.kind {
                ChangeKind::Created => &mut summary.created,
                ChangeKind::Changed => &mut summary.changed,
                ChangeKind::Deleted => &mut summary.deleted,
                ChangeKind::Renamed => &mut summary.renamed,
                ChangeKind::ModeChanged => &mut summary.mode_changed,
                ChangeKind::Touched => &mut summary.touched,
            } += 1;
        }
        summary
    }

    /// Whether there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    pub(crate) fn of(layers: &Layers) -> Result<Self, BridgeError> {
        let merge = Merge::of(layers)?;
        let mut comparison = Comparison { layers, changes: Vec::new(), times: BTreeMap::new(), left_out: Vec::new() };
        for action in &merge.actions {
            comparison.action(action)?;
        }
        comparison.renames();
        let Comparison { mut changes, mut left_out, .. } = comparison;
        changes.sort_by(|one, other| (&one.path, one.kind).cmp(&(&other.path, other.kind)));
        left_out.extend(merge.left_out);
        left_out.sort();
        left_out.dedup();
        Ok(Self { changes, left_out })
    }
}

struct Comparison<'a> {
    layers: &'a Layers,
    changes: Vec<Change>,
    /// When created and deleted files were last written to: part of what tells a rename.
    times: BTreeMap<PathBuf, (u64, super::entry::Time)>,
    left_out: Vec<PathBuf>,
}

impl Comparison<'_> {
    fn action(&mut self, action: &Action) -> Result<(), BridgeError> {
        match action {
            Action::Remove { path, before } => self.deleted(path, before, 0),
            Action::Place { path, before, after } => self.entry(path, before.as_ref(), Some(after), 0),
            Action::Adjust { path, before, after } => {
                self.adjusted(path, before, after);
                Ok(())
            }
        }
    }

    fn adjusted(&mut self, path: &Path, before: &Facts, after: &Facts) {
        let kind = match (before.mode != after.mode, before.modified != after.modified) {
            (true, _) => ChangeKind::ModeChanged,
            // A directory's times tell of what happened in it, which is told by itself.
            (false, true) if !after.is_directory() => ChangeKind::Touched,
            _ => return,
        };
        self.tell(path, kind, Some(before), Some(after));
    }

    /// Compares what is at `path` beneath with what the run put there, `after`, and all beneath both.
    fn entry(
        &mut self,
        path: &Path,
        before: Option<&Facts>,
        after: Option<&Facts>,
        level: usize,
    ) -> Result<(), BridgeError> {
        let failed = |errno| fault::io("cannot compare", path, errno);
        if level > MOST_LEVELS {
            return Err(failed(Errno::ENAMETOOLONG));
        }
        let after = match after {
            Some(after) if after.kind == Kind::Socket => {
                self.left_out.push(path.to_owned());
                None
            }
            other => other,
        };
        match (before, after) {
            (None, None) => return Ok(()),
            (Some(before), None) => return self.deleted(path, before, level),
            (None, Some(after)) => self.tell(path, ChangeKind::Created, None, Some(after)),
            (Some(before), Some(after)) => {
                if self.differs(path, before, after) {
                    self.tell(path, ChangeKind::Changed, Some(before), Some(after));
                } else {
                    self.adjusted(path, before, after);
                }
            }
        }
        let beneath_before = before.is_some_and(Facts::is_directory);
        let beneath_after = after.is_some_and(Facts::is_directory);
        let mut inner = BTreeSet::new();
        let lower = beneath_before.then(|| beneath(&self.layers.lower, path)).transpose().map_err(failed)?;
        let upper = beneath_after.then(|| beneath(&self.layers.upper, path)).transpose().map_err(failed)?;
        for folder in [&lower, &upper].into_iter().flatten() {
            inner.extend(names(folder).map_err(failed)?);
        }
        for name in inner {
            let path = child(path, &name);
            let before = match &lower {
                Some(lower) => Facts::if_there(lower, &name).map_err(failed)?,
                None => None,
            };
            let there = |upper: &OwnedFd| Facts::if_there(upper, &name).map_err(failed);
            let after = match &upper {
                Some(upper) if there(upper)?.is_some() => match self.layers.meaning(upper, &name, &path)? {
                    Meaning::Gone => None,
                    Meaning::Merged(facts) | Meaning::Whole(facts) => Some(facts),
                },
                _ => None,
            };
            self.entry(&path, before.as_ref(), after.as_ref(), level + 1)?;
        }
        Ok(())
    }

    fn deleted(&mut self, path: &Path, before: &Facts, level: usize) -> Result<(), BridgeError> {
        let failed = |errno| fault::io("cannot look at the workspace's", path, errno);
        if level > MOST_LEVELS {
            return Err(failed(Errno::ENAMETOOLONG));
        }
        self.tell(path, ChangeKind::Deleted, Some(before), None);
        if before.is_directory() {
            let folder = beneath(&self.layers.lower, path).map_err(failed)?;
            for name in names(&folder).map_err(failed)? {
                if let Some(facts) = Facts::if_there(&folder, &name).map_err(failed)? {
                    self.deleted(&child(path, &name), &facts, level + 1)?;
                }
            }
        }
        Ok(())
    }

    fn differs(&self, path: &Path, before: &Facts, after: &Facts) -> bool {
        match (before.kind, after.kind) {
            (Kind::File, Kind::File) => before.size != after.size || !self.layers.same_contents(path, path),
            (Kind::Link, Kind::Link) => leads(&self.layers.lower, path) != leads(&self.layers.upper, path),
            (one, other) => one != other,
        }
    }

    fn tell(&mut self, path: &Path, kind: ChangeKind, before: Option<&Facts>, after: Option<&Facts>) {
        let before = before.map(|facts| {
            self.note_times(path, kind == ChangeKind::Deleted, facts);
            entry(facts, leads(&self.layers.lower, path))
        });
        let after = after.map(|facts| {
            self.note_times(path, kind == ChangeKind::Created, facts);
            entry(facts, leads(&self.layers.upper, path))
        });
        self.changes.push(Change { path: path.to_owned(), kind, from: None, before, after });
    }

    fn note_times(&mut self, path: &Path, wanted: bool, facts: &Facts) {
        // One that has several names was not simply given another.
        if wanted && facts.kind == Kind::File && facts.links == 1 {
            self.times.insert(path.to_owned(), (facts.size, facts.modified));
        }
    }

    /// Files that are alike in length and times are told apart by what they hold.
    fn by_contents<K: Ord + Copy>(
        &self,
        groups: BTreeMap<K, Vec<usize>>,
        root: &OwnedFd,
    ) -> BTreeMap<(K, u64), Vec<usize>> {
        let mut found: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (key, group) in groups {
            for at in group {
                let digest = self.changes.get(at).and_then(|change| digest(root, &change.path));
                if let Some(digest) = digest {
                    found.entry((key, digest)).or_default().push(at);
                }
            }
        }
        found
    }

    /// Tells a created and a deleted file as one that was renamed, where nothing else can have been.
    fn renames(&mut self) {
        let mut gone: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        let mut new: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (at, change) in self.changes.iter().enumerate() {
            let Some(key) = self.times.get(&change.path) else { continue };
            let of = match change.kind {
                ChangeKind::Deleted => &mut gone,
                ChangeKind::Created if self.layers.is_copied_up(&change.path) => &mut new,
                _ => continue,
            };
            of.entry(*key).or_default().push(at);
        }
        gone.retain(|key, _| new.contains_key(key));
        new.retain(|key, _| gone.contains_key(key));
        let (gone, new) = (self.by_contents(gone, &self.layers.lower), self.by_contents(new, &self.layers.upper));
        let mut told = Vec::new();
        for (key, from) in gone {
            let (&[from], Some(&[to])) = (from.as_slice(), new.get(&key).map(Vec::as_slice)) else { continue };
            let paths = self.changes.get(from).zip(self.changes.get(to));
            if paths.is_some_and(|(from, to)| self.layers.same_contents(&to.path, &from.path)) {
                told.push((from, to));
            }
        }
        for (from, to) in &told {
            let Some(Change { path, before, .. }) = self.changes.get(*from).cloned() else { continue };
            if let Some(change) = self.changes.get_mut(*to) {
                (change.kind, change.from, change.before) = (ChangeKind::Renamed, Some(path), before);
            }
        }
        let gone: BTreeSet<usize> = told.into_iter().map(|(from, _)| from).collect();
        let mut at = 0..;
        self.changes.retain(|_| at.next().is_none_or(|at| !gone.contains(&at)));
    }
}

fn entry(facts: &Facts, target: Option<OsString>) -> Entry {
    let kind = match facts.kind {
        Kind::File => EntryKind::File,
        Kind::Directory => EntryKind::Directory,
        Kind::Link => EntryKind::Link,
        Kind::Fifo => EntryKind::Fifo,
        Kind::Socket => EntryKind::Socket,
        Kind::Whiteout | Kind::Device => EntryKind::Device,
    };
    let target = target.filter(|_| kind == EntryKind::Link);
    Entry { kind, mode: facts.mode, size: facts.size, target }
}

fn leads(root: &OwnedFd, path: &Path) -> Option<OsString> {
    let (parent, name) = split(path).ok()?;
    target(beneath(root, parent).ok()?, &name).ok()
}
