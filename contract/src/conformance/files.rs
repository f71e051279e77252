//! The operations on files, written short.

use cofferdam_bridge::call::CallContext;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::filesystem::{
    ChmodRequest, CreateDirectoryRequest, FileMetadata, FilesystemBridge, PathRequest, ReadRangeRequest,
    SymlinkRequest, TruncateRequest, TwoPathsRequest, WriteFileRequest, WriteRangeRequest,
};
use cofferdam_bridge::ids::VmId;
use std::cell::Cell;

/// The operations, written short.
pub(super) struct Files<'a, F> {
    pub(super) bridge: &'a F,
    vm_id: VmId,
    next: Cell<u32>,
}

/// What an operation comes to.
pub(super) type Done<T> = Result<T, BridgeError>;

impl<'a, F: FilesystemBridge> Files<'a, F> {
    /// The operations of `bridge`, for one VM.
    pub(super) fn new(bridge: &'a F) -> Self {
        Self { bridge, vm_id: VmId::new("conformance"), next: Cell::new(0) }
    }

    pub(super) fn call<T>(&self, done: Result<T, F::Error>) -> Done<T> {
        done.map_err(Into::into)
    }

    /// A folder of its own for a check.
    pub(super) fn folder(&self) -> Result<String, String> {
        self.next.set(self.next.get() + 1);
        let path = format!("/conformance-{}", self.next.get());
        self.mkdir(&path).map_err(|error| error.message)?;
        Ok(path)
    }

    pub(super) fn path(&self, path: &str) -> PathRequest {
        PathRequest::new(self.vm_id.clone(), path)
    }

    pub(super) fn two(&self, from: &str, to: &str) -> TwoPathsRequest {
        TwoPathsRequest::new(self.vm_id.clone(), from, to)
    }

    pub(super) fn write(&self, path: &str, bytes: &[u8]) -> Done<()> {
        self.call(
            self.bridge.write_file(&CallContext::unbounded(), WriteFileRequest::new(self.vm_id.clone(), path, bytes)),
        )
    }

    pub(super) fn append(&self, path: &str, bytes: &[u8]) -> Done<()> {
        self.call(
            self.bridge.append_file(&CallContext::unbounded(), WriteFileRequest::new(self.vm_id.clone(), path, bytes)),
        )
    }

    pub(super) fn read(&self, path: &str) -> Done<Vec<u8>> {
        self.call(self.bridge.read_file(&CallContext::unbounded(), self.path(path)))
    }

    pub(super) fn range(&self, path: &str, offset: u64, length: u64) -> Done<Vec<u8>> {
        let request = ReadRangeRequest::new(self.vm_id.clone(), path, offset, length);
        self.call(self.bridge.read_range(&CallContext::unbounded(), request))
    }

    pub(super) fn write_at(&self, path: &str, offset: u64, bytes: &[u8]) -> Done<()> {
        let request = WriteRangeRequest::new(self.vm_id.clone(), path, offset, bytes);
        self.call(self.bridge.write_range(&CallContext::unbounded(), request))
    }

    pub(super) fn mkdir(&self, path: &str) -> Done<()> {
        let request = CreateDirectoryRequest::new(self.vm_id.clone(), path, false);
        self.call(self.bridge.create_dir(&CallContext::unbounded(), request))
    }

    pub(super) fn mkdirs(&self, path: &str) -> Done<()> {
        let request = CreateDirectoryRequest::new(self.vm_id.clone(), path, true);
        self.call(self.bridge.create_dir(&CallContext::unbounded(), request))
    }

    pub(super) fn stat(&self, path: &str) -> Done<FileMetadata> {
        self.call(self.bridge.stat(&CallContext::unbounded(), self.path(path)))
    }

    pub(super) fn lstat(&self, path: &str) -> Done<FileMetadata> {
        self.call(self.bridge.lstat(&CallContext::unbounded(), self.path(path)))
    }

    pub(super) fn names(&self, path: &str) -> Done<Vec<String>> {
        let entries = self.call(self.bridge.read_dir(&CallContext::unbounded(), self.path(path)))?;
        let mut names: Vec<_> = entries.into_iter().map(|entry| entry.name).collect();
        names.sort();
        Ok(names)
    }

    pub(super) fn remove(&self, path: &str) -> Done<()> {
        self.call(self.bridge.remove_file(&CallContext::unbounded(), self.path(path)))
    }

    pub(super) fn rmdir(&self, path: &str) -> Done<()> {
        self.call(self.bridge.remove_dir(&CallContext::unbounded(), self.path(path)))
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> Done<()> {
        self.call(self.bridge.rename(&CallContext::unbounded(), self.two(from, to)))
    }

    pub(super) fn copy(&self, from: &str, to: &str) -> Done<()> {
        self.call(self.bridge.copy(&CallContext::unbounded(), self.two(from, to)))
    }

    pub(super) fn link(&self, from: &str, to: &str) -> Done<()> {
        self.call(self.bridge.hard_link(&CallContext::unbounded(), self.two(from, to)))
    }

    pub(super) fn symlink(&self, target: &str, path: &str) -> Done<()> {
        let request = SymlinkRequest::new(self.vm_id.clone(), target, path);
        self.call(self.bridge.symlink(&CallContext::unbounded(), request))
    }

    pub(super) fn target(&self, path: &str) -> Done<String> {
        self.call(self.bridge.read_link(&CallContext::unbounded(), self.path(path)))
    }

    pub(super) fn chmod(&self, path: &str, mode: u32) -> Done<()> {
        self.call(self.bridge.chmod(&CallContext::unbounded(), ChmodRequest::new(self.vm_id.clone(), path, mode)))
    }

    pub(super) fn truncate(&self, path: &str, length: u64) -> Done<()> {
        let request = TruncateRequest::new(self.vm_id.clone(), path, length);
        self.call(self.bridge.truncate(&CallContext::unbounded(), request))
    }

    pub(super) fn canonical(&self, path: &str) -> Done<String> {
        self.call(self.bridge.canonicalize(&CallContext::unbounded(), self.path(path)))
    }

    pub(super) fn exists(&self, path: &str) -> Done<bool> {
        self.call(self.bridge.exists(&CallContext::unbounded(), self.path(path)))
    }
}
