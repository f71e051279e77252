//! What a file system in memory holds, its bounds, and its changes, each made as a whole.

use super::lock;
use super::tree::{Content, Node, Tree, error, not_found};
use crate::error::BridgeError;
use crate::error_code::ErrorCode;
use crate::filesystem::{FileChange, FileKind, FileMetadata, WatchSink};
use crate::ids::VmId;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

/// How much a [`MemoryFilesystem`] holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StorageLimits {
    /// Bytes of all files together.
    pub bytes: u64,
    /// Files, directories and links.
    pub entries: u64,
    /// Watches.
    pub watches: usize,
}

impl Default for StorageLimits {
    fn default() -> Self {
        Self { bytes: 256 << 20, entries: 100_000, watches: 1_000 }
    }
}

impl StorageLimits {
    /// Bounds on bytes and on entries.
    pub fn new(bytes: u64, entries: u64) -> Self {
        Self { bytes, entries, ..Self::default() }
    }
}

pub(super) struct Watch {
    pub(super) vm_id: VmId,
    pub(super) path: String,
    pub(super) recursive: bool,
    pub(super) sink: Arc<dyn WatchSink>,
}

pub(super) struct State {
    pub(super) tree: Tree,
    pub(super) watches: BTreeMap<u64, Watch>,
    pub(super) last_watch: u64,
}

/// A file system of one VM, in memory. Links, `..` and renames work as on a disk; nothing leads out of it.
pub struct MemoryFilesystem {
    pub(super) limits: StorageLimits,
    pub(super) state: Mutex<State>,
}

impl fmt::Debug for MemoryFilesystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = lock(&self.state);
        f.debug_struct("MemoryFilesystem")
            .field("entries", &state.tree.count())
            .field("bytes", &state.tree.bytes())
            .finish_non_exhaustive()
    }
}

impl Default for MemoryFilesystem {
    fn default() -> Self {
        Self::new(StorageLimits::default())
    }
}

impl MemoryFilesystem {
    /// An empty root directory.
    pub fn new(limits: StorageLimits) -> Self {
        let state = State { tree: Tree::new(), watches: BTreeMap::new(), last_watch: 0 };
        Self { limits, state: Mutex::new(state) }
    }

    /// Changes the tree as a whole or not at all, and tells watches of `changes`.
    pub(super) fn change<T>(
        &self,
        change: impl FnOnce(&mut Tree) -> Result<(T, Vec<(String, FileChange)>), BridgeError>,
    ) -> Result<T, BridgeError> {
        let mut state = lock(&self.state);
        let (answer, changes) = change(&mut state.tree)?;
        let mut heard: Vec<(u64, Arc<dyn WatchSink>, String, FileChange)> = Vec::new();
        for (path, change) in changes {
            let watching = state.watches.iter().filter(|(_, watch)| watch.covers(&path));
            heard.extend(watching.map(|(number, watch)| (*number, watch.sink.clone(), path.clone(), change)));
        }
        drop(state);
        for (number, sink, path, change) in heard {
            if !sink.changed(number, &path, change) {
                lock(&self.state).watches.remove(&number);
            }
        }
        Ok(answer)
    }

    pub(super) fn room(&self, tree: &Tree, more_bytes: u64, more_entries: u64) -> Result<(), BridgeError> {
        let bytes = tree.bytes().saturating_add(more_bytes);
        if bytes > self.limits.bytes || tree.count().saturating_add(more_entries) > self.limits.entries {
            let message = "the file system is full; remove something, or give it more room";
            return Err(error(ErrorCode::DiskLimitExceeded, message)
                .with("limit_bytes", self.limits.bytes)
                .with("limit_entries", self.limits.entries));
        }
        Ok(())
    }

    /// Replaces a file's bytes by what `edit` makes of them; a missing file is made where `create` says so.
    pub(super) fn edit(
        &self,
        path: &str,
        create: bool,
        edit: impl FnOnce(&[u8]) -> Option<Vec<u8>>,
    ) -> Result<(), BridgeError> {
        self.change(|tree| {
            let place = tree.place(path, true)?;
            let old = match place.node.map(|number| tree.get(number)).transpose()?.map(|node| &node.content) {
                Some(Content::File(bytes)) => Some(bytes.as_slice()),
                Some(Content::Directory(_) | Content::Link(_)) => return Err(is_a_directory()),
                None if create => None,
                None => return Err(not_found()),
            };
            let before = old.map_or(0, <[u8]>::len) as u64;
            let bytes = edit(old.unwrap_or_default()).ok_or_else(too_long)?;
            self.room(tree, (bytes.len() as u64).saturating_sub(before), u64::from(place.node.is_none()))?;
            let change = match place.node {
                Some(number) => {
                    tree.get_mut(number)?.content = Content::File(bytes);
                    FileChange::Modified
                }
                None => {
                    tree.insert(&place, Node::new(Content::File(bytes)))?;
                    FileChange::Created
                }
            };
            Ok(((), vec![(place.path, change)]))
        })
    }

    /// Changes what is known of a node.
    pub(super) fn mark(&self, path: &str, mark: impl FnOnce(&mut Node)) -> Result<(), BridgeError> {
        self.change(|tree| {
            let place = tree.place(path, true)?;
            mark(tree.get_mut(place.node.ok_or_else(not_found)?)?);
            Ok(((), vec![(place.path, FileChange::Modified)]))
        })
    }

    pub(super) fn metadata(&self, path: &str, follow: bool) -> Result<FileMetadata, BridgeError> {
        let state = lock(&self.state);
        let node = state.tree.get(state.tree.place(path, follow)?.node.ok_or_else(not_found)?)?;
        let mut metadata = FileMetadata::new(kind(node), node.mode, node.size());
        (metadata.links, metadata.accessed, metadata.modified) = (node.links, node.accessed, node.modified);
        Ok(metadata)
    }

    pub(super) fn bytes<T>(&self, path: &str, part: impl FnOnce(&[u8]) -> T) -> Result<T, BridgeError> {
        let state = lock(&self.state);
        match &state.tree.get(state.tree.place(path, true)?.node.ok_or_else(not_found)?)?.content {
            Content::File(bytes) => Ok(part(bytes)),
            Content::Directory(_) | Content::Link(_) => Err(is_a_directory()),
        }
    }

    /// Makes something where nothing is.
    pub(super) fn make(&self, path: &str, content: Content) -> Result<(), BridgeError> {
        self.change(|tree| {
            let place = tree.place(path, false)?;
            if place.node.is_some() {
                return Err(already_exists());
            }
            let node = Node::new(content);
            self.room(tree, node.size(), 1)?;
            tree.insert(&place, node)?;
            Ok(((), vec![(place.path, FileChange::Created)]))
        })
    }
}

impl Watch {
    fn covers(&self, path: &str) -> bool {
        let beneath = path.strip_prefix(self.path.trim_end_matches('/')).and_then(|rest| rest.strip_prefix('/'));
        path == self.path || beneath.is_some_and(|rest| self.recursive || !rest.contains('/'))
    }
}

pub(super) fn kind(node: &Node) -> FileKind {
    match node.content {
        Content::File(_) => FileKind::File,
        Content::Directory(_) => FileKind::Directory,
        Content::Link(_) => FileKind::SymbolicLink,
    }
}

pub(super) fn is_a_directory() -> BridgeError {
    error(ErrorCode::IsADirectory, "a file was needed where a directory is")
}

pub(super) fn already_exists() -> BridgeError {
    error(ErrorCode::AlreadyExists, "something of that name is there already")
}

pub(super) fn too_long() -> BridgeError {
    error(ErrorCode::DiskLimitExceeded, "the file would be longer than memory can hold")
}
