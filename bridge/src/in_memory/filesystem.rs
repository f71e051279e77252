//! Files in memory, with a bound on how much they hold.

use super::lock;
use super::store::{MemoryFilesystem, Watch, already_exists, is_a_directory, kind, too_long};
use super::tree::{Content, Place, ROOT, Tree, error, not_found};
use crate::call::CallContext;
use crate::error::BridgeError;
use crate::error_code::ErrorCode;
use crate::execution::BridgeTypes;
use crate::filesystem::{
    ChmodRequest, CreateDirectoryRequest, DirectoryEntry, FileChange, FileKind, FileMetadata, FilesystemBridge,
    PathRequest, ReadRangeRequest, SetTimesRequest, SymlinkRequest, TruncateRequest, TwoPathsRequest, UnwatchRequest,
    WatchRequest, WatchSink, WriteFileRequest, WriteRangeRequest,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Set-user-id, set-group-id and sticky: refused, as nothing here runs as anybody.
const SPECIAL_BITS: u32 = 0o7000;

/// A place in a file as an index; none for one that no memory reaches.
fn index(at: u64) -> Option<usize> {
    usize::try_from(at).ok().filter(|at| *at <= isize::MAX as usize)
}

impl BridgeTypes for MemoryFilesystem {
    type Error = BridgeError;
}

impl FilesystemBridge for MemoryFilesystem {
    fn read_file(&self, _: &CallContext, request: PathRequest) -> Result<Vec<u8>, BridgeError> {
        self.bytes(&request.path, <[u8]>::to_vec)
    }

    fn read_range(&self, _: &CallContext, request: ReadRangeRequest) -> Result<Vec<u8>, BridgeError> {
        self.bytes(&request.path, |bytes| {
            let from = index(request.offset).unwrap_or(usize::MAX).min(bytes.len());
            let rest = bytes.get(from..).unwrap_or_default();
            let length = index(request.length).unwrap_or(usize::MAX).min(rest.len());
            rest.get(..length).unwrap_or_default().to_vec()
        })
    }

    fn write_file(&self, _: &CallContext, request: WriteFileRequest) -> Result<(), BridgeError> {
        self.edit(&request.path, true, |_| Some(request.contents))
    }

    fn write_range(&self, _: &CallContext, request: WriteRangeRequest) -> Result<(), BridgeError> {
        let end = request.offset.saturating_add(request.contents.len() as u64);
        if end > self.limits.bytes {
            return Err(too_long());
        }
        self.edit(&request.path, false, |old| {
            let (from, end) = (index(request.offset)?, index(end)?);
            let mut bytes = old.to_vec();
            bytes.resize(bytes.len().max(end), 0);
            bytes.get_mut(from..end)?.copy_from_slice(&request.contents);
            Some(bytes)
        })
    }

    fn append_file(&self, _: &CallContext, request: WriteFileRequest) -> Result<(), BridgeError> {
        self.edit(&request.path, true, |old| Some([old, &request.contents].concat()))
    }

    fn stat(&self, _: &CallContext, request: PathRequest) -> Result<FileMetadata, BridgeError> {
        self.metadata(&request.path, true)
    }

    fn lstat(&self, _: &CallContext, request: PathRequest) -> Result<FileMetadata, BridgeError> {
        self.metadata(&request.path, false)
    }

    fn read_dir(&self, _: &CallContext, request: PathRequest) -> Result<Vec<DirectoryEntry>, BridgeError> {
        let state = lock(&self.state);
        let place = state.tree.place(&request.path, true)?;
        let entries = state.tree.entries(place.node.ok_or_else(not_found)?)?;
        let is_directory = |number: &u64| state.tree.get(*number).is_ok_and(|node| kind(node) == FileKind::Directory);
        Ok(entries.iter().map(|(name, number)| DirectoryEntry::new(name, is_directory(number))).collect())
    }

    fn create_dir(&self, _: &CallContext, request: CreateDirectoryRequest) -> Result<(), BridgeError> {
        if !request.recursive {
            return self.make(&request.path, Content::Directory(BTreeMap::new()));
        }
        let mut path = String::new();
        for name in request.path.split('/').filter(|name| !name.is_empty()) {
            path = path + "/" + name;
            match self.make(&path, Content::Directory(BTreeMap::new())) {
                Err(error) if error.code == ErrorCode::AlreadyExists => {
                    // What is there must be a directory, or lead to one.
                    let state = lock(&self.state);
                    state.tree.entries(state.tree.place(&path, true)?.node.ok_or_else(not_found)?)?;
                }
                other => other?,
            }
        }
        Ok(())
    }

    fn remove_file(&self, _: &CallContext, request: PathRequest) -> Result<(), BridgeError> {
        self.change(|tree| {
            let place = tree.place(&request.path, false)?;
            if kind(tree.get(place.node.ok_or_else(not_found)?)?) == FileKind::Directory {
                return Err(is_a_directory());
            }
            tree.detach(&place)?;
            Ok(((), vec![(place.path, FileChange::Removed)]))
        })
    }

    fn remove_dir(&self, _: &CallContext, request: PathRequest) -> Result<(), BridgeError> {
        self.change(|tree| {
            let place = tree.place(&request.path, false)?;
            let number = place.node.ok_or_else(not_found)?;
            if number == ROOT {
                return Err(error(ErrorCode::PathInvalid, "the root cannot be removed"));
            }
            if !tree.entries(number)?.is_empty() {
                return Err(error(ErrorCode::DirectoryNotEmpty, "the directory holds something; remove that first"));
            }
            tree.detach(&place)?;
            Ok(((), vec![(place.path, FileChange::Removed)]))
        })
    }

    fn rename(&self, _: &CallContext, request: TwoPathsRequest) -> Result<(), BridgeError> {
        self.change(|tree| {
            let (from, to) = (tree.place(&request.from, false)?, tree.place(&request.to, false)?);
            let moved = from.node.ok_or_else(not_found)?;
            if moved == ROOT || to.name.is_empty() || tree.is_within(to.directory, moved) {
                return Err(error(
                    ErrorCode::PathInvalid,
                    "a directory cannot be moved into itself, nor the root at all",
                ));
            }
            if to.node == Some(moved) {
                return Ok(((), Vec::new()));
            }
            replaceable(tree, moved, &to)?;
            if to.node.is_some() {
                tree.detach(&to)?;
            }
            tree.attach(&to, moved)?;
            tree.detach(&from)?;
            Ok(((), vec![(from.path, FileChange::Removed), (to.path, FileChange::Created)]))
        })
    }

    fn copy(&self, call: &CallContext, request: TwoPathsRequest) -> Result<(), BridgeError> {
        let contents = self.bytes(&request.from, <[u8]>::to_vec)?;
        let mode = self.metadata(&request.from, true)?.mode;
        self.write_file(call, WriteFileRequest::new(request.vm_id, request.to.as_str(), contents))?;
        self.mark(&request.to, |node| node.mode = mode)
    }

    fn hard_link(&self, _: &CallContext, request: TwoPathsRequest) -> Result<(), BridgeError> {
        self.change(|tree| {
            let (from, to) = (tree.place(&request.from, false)?, tree.place(&request.to, false)?);
            let number = from.node.ok_or_else(not_found)?;
            if kind(tree.get(number)?) == FileKind::Directory {
                return Err(is_a_directory());
            }
            if to.node.is_some() {
                return Err(already_exists());
            }
            tree.attach(&to, number)?;
            Ok(((), vec![(to.path, FileChange::Created)]))
        })
    }

    fn symlink(&self, _: &CallContext, request: SymlinkRequest) -> Result<(), BridgeError> {
        if request.target.is_empty() || request.target.contains('\0') {
            return Err(error(ErrorCode::PathInvalid, "a link's target is empty or holds a NUL byte"));
        }
        self.make(&request.path, Content::Link(request.target))
    }

    fn read_link(&self, _: &CallContext, request: PathRequest) -> Result<String, BridgeError> {
        let state = lock(&self.state);
        match &state.tree.get(state.tree.place(&request.path, false)?.node.ok_or_else(not_found)?)?.content {
            Content::Link(target) => Ok(target.clone()),
            _ => Err(error(ErrorCode::PathInvalid, "what is there is no symbolic link")),
        }
    }

    fn chmod(&self, _: &CallContext, request: ChmodRequest) -> Result<(), BridgeError> {
        if request.mode & SPECIAL_BITS != 0 {
            return Err(error(ErrorCode::DeniedByPolicy, "set-id and sticky bits are not given"));
        }
        self.mark(&request.path, |node| node.mode = request.mode & 0o777)
    }

    fn truncate(&self, _: &CallContext, request: TruncateRequest) -> Result<(), BridgeError> {
        if request.length > self.limits.bytes {
            return Err(too_long());
        }
        self.edit(&request.path, false, |old| {
            let mut bytes = old.to_vec();
            bytes.resize(index(request.length)?, 0);
            Some(bytes)
        })
    }

    fn set_times(&self, _: &CallContext, request: SetTimesRequest) -> Result<(), BridgeError> {
        self.mark(&request.path, |node| {
            node.accessed = request.accessed.unwrap_or(node.accessed);
            node.modified = request.modified.unwrap_or(node.modified);
        })
    }

    fn canonicalize(&self, _: &CallContext, request: PathRequest) -> Result<String, BridgeError> {
        let state = lock(&self.state);
        let walked = state.tree.walk(&request.path, true)?;
        // What is missing is kept as it was asked for; a `..` in it has nothing to lead back from.
        match walked {
            Ok(place) => Ok(place.path),
            Err(path) if path.split('/').any(|name| name == "..") => Err(not_found()),
            Err(path) => Ok(path),
        }
    }

    fn exists(&self, _: &CallContext, request: PathRequest) -> Result<bool, BridgeError> {
        match self.metadata(&request.path, true) {
            Ok(_) => Ok(true),
            Err(error) if error.code == ErrorCode::PathInvalid => Err(error),
            Err(_) => Ok(false),
        }
    }

    fn watch(&self, _: &CallContext, request: WatchRequest, sink: Arc<dyn WatchSink>) -> Result<u64, BridgeError> {
        let mut state = lock(&self.state);
        if state.watches.len() >= self.limits.watches {
            let message = "too many files are watched; end a watch first";
            return Err(error(ErrorCode::QueueFull, message).with("limit", self.limits.watches));
        }
        let place = state.tree.place(&request.path, true)?;
        place.node.ok_or_else(not_found)?;
        state.last_watch += 1;
        let number = state.last_watch;
        let watch = Watch { vm_id: request.vm_id, path: place.path, recursive: request.recursive, sink };
        state.watches.insert(number, watch);
        Ok(number)
    }

    fn unwatch(&self, _: &CallContext, request: UnwatchRequest) -> Result<(), BridgeError> {
        let own = |number: &u64, watch: &Watch| *number == request.watch_id && watch.vm_id == request.vm_id;
        lock(&self.state).watches.retain(|number, watch| !own(number, watch));
        Ok(())
    }
}

/// May `moved` take the place of what is there? As rename(2): a file that of a file, a directory that of an empty one.
fn replaceable(tree: &Tree, moved: u64, to: &Place) -> Result<(), BridgeError> {
    let Some(replaced) = to.node else { return Ok(()) };
    let is_directory = |number: u64| tree.get(number).map(|node| kind(node) == FileKind::Directory);
    match (is_directory(moved)?, is_directory(replaced)?) {
        (false, true) => Err(is_a_directory()),
        (true, false) => Err(error(ErrorCode::NotADirectory, "a directory cannot take the place of a file")),
        (true, true) if !tree.entries(replaced)?.is_empty() => {
            Err(error(ErrorCode::DirectoryNotEmpty, "the directory in its place holds something"))
        }
        _ => Ok(()),
    }
}
