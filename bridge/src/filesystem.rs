//! Files as a guest sees them: the trait that a virtual or a host file system implements.
//!
//! Paths are absolute, `/`-separated, UTF-8. An implementation resolves `.`, `..` and symbolic links within its own root: none of them
//! leads out of it.

use crate::call::CallContext;
use crate::clock::Timestamp;
use crate::execution::BridgeTypes;
use crate::request::requests;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    SymbolicLink,
    /// A device, a socket, a FIFO.
    Other,
}

/// What is known of a file without opening it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct FileMetadata {
    /// What it is.
    pub kind: FileKind,
    /// Permission bits (chmod(2)), without the kind.
    pub mode: u32,
    /// Bytes.
    pub size: u64,
    /// Names that it has.
    pub links: u64,
    /// When it was last read.
    pub accessed: Timestamp,
    /// When its contents last changed.
    pub modified: Timestamp,
}

impl FileMetadata {
    /// Metadata of something with one name and no times.
    pub fn new(kind: FileKind, mode: u32, size: u64) -> Self {
        Self { kind, mode, size, links: 1, accessed: Timestamp::default(), modified: Timestamp::default() }
    }
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct DirectoryEntry {
    /// Its name, without the directory.
    pub name: String,
    /// Whether it is a directory.
    pub directory: bool,
}

impl DirectoryEntry {
    /// An entry.
    pub fn new(name: impl Into<String>, directory: bool) -> Self {
        Self { name: name.into(), directory }
    }
}

/// What happened to a watched file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FileChange {
    /// It appeared.
    Created,
    /// Its contents or metadata changed.
    Modified,
    /// It is gone from that name.
    Removed,
    /// More happened than was kept: look at everything again.
    Overflow,
}

/// Takes what a watch sees.
pub trait WatchSink: Send + Sync {
    /// Something happened at `path`. Answers whether anybody still listens. Must not block.
    fn changed(&self, watch_id: u64, path: &str, change: FileChange) -> bool;
}

requests! {
    /// Names one path.
    PathRequest {
        /// Where.
        path: String,
    }
    /// Asks for a part of a file.
    ReadRangeRequest {
        /// Where.
        path: String,
        /// First byte.
        offset: u64,
        /// At most so many bytes; fewer come at the end of the file.
        length: u64,
    }
    /// Asks for a file's contents to be these. It is made when it is not there, and cut when it was longer.
    WriteFileRequest {
        /// Where.
        path: String,
        /// The contents.
        contents: Vec<u8>,
    }
    /// Asks for bytes at a place in a file that exists; a gap before them reads as zeros.
    WriteRangeRequest {
        /// Where.
        path: String,
        /// Where in the file.
        offset: u64,
        /// The bytes.
        contents: Vec<u8>,
    }
    /// Asks for a directory.
    CreateDirectoryRequest {
        /// Where.
        path: String,
        /// Make those above it, too, and take one that is there for success.
        recursive: bool,
    }
    /// Names a path and another one: rename(2), link(2), a copy.
    TwoPathsRequest {
        /// What is there.
        from: String,
        /// Where it goes.
        to: String,
    }
    /// Asks for a symbolic link.
    SymlinkRequest {
        /// What it points to, as text.
        target: String,
        /// Where it is made.
        path: String,
    }
    /// Asks for other permission bits.
    ChmodRequest {
        /// Where.
        path: String,
        /// The bits (chmod(2)). Set-id bits are refused.
        mode: u32,
    }
    /// Asks for another length.
    TruncateRequest {
        /// Where.
        path: String,
        /// In bytes; what is added reads as zeros.
        length: u64,
    }
    /// Asks for other times; what is absent stays.
    SetTimesRequest {
        /// Where.
        path: String,
        /// Of reading.
        accessed: Option<Timestamp>,
        /// Of change.
        modified: Option<Timestamp>,
    }
    /// Asks to hear of changes.
    WatchRequest {
        /// Where.
        path: String,
        /// Beneath it, too.
        recursive: bool,
    }
    /// Ends a watch.
    UnwatchRequest {
        /// Its number.
        watch_id: u64,
    }
}

/// A file system.
///
/// **Duties.** No path, link or `..` leads out of the root. Errors are `not_found`, `already_exists`, `not_a_directory`,
/// `is_a_directory`, `directory_not_empty`, `too_many_symbolic_links`, `path_invalid`, `denied_by_policy`, `disk_limit_exceeded` and
/// `io_failed`. A call that fails has changed nothing.
pub trait FilesystemBridge: BridgeTypes {
    /// The whole of a file.
    fn read_file(&self, call: &CallContext, request: PathRequest) -> Result<Vec<u8>, Self::Error>;
    /// A part of a file.
    fn read_range(&self, call: &CallContext, request: ReadRangeRequest) -> Result<Vec<u8>, Self::Error>;
    /// Makes or replaces a file's contents.
    fn write_file(&self, call: &CallContext, request: WriteFileRequest) -> Result<(), Self::Error>;
    /// Writes in the middle of a file.
    fn write_range(&self, call: &CallContext, request: WriteRangeRequest) -> Result<(), Self::Error>;
    /// Writes at the end of a file, which is made when it is not there.
    fn append_file(&self, call: &CallContext, request: WriteFileRequest) -> Result<(), Self::Error>;
    /// Metadata of what a path leads to.
    fn stat(&self, call: &CallContext, request: PathRequest) -> Result<FileMetadata, Self::Error>;
    /// Metadata of what stands at a path: of a link itself.
    fn lstat(&self, call: &CallContext, request: PathRequest) -> Result<FileMetadata, Self::Error>;
    /// The entries of a directory, by name.
    fn read_dir(&self, call: &CallContext, request: PathRequest) -> Result<Vec<DirectoryEntry>, Self::Error>;
    /// Makes a directory.
    fn create_dir(&self, call: &CallContext, request: CreateDirectoryRequest) -> Result<(), Self::Error>;
    /// Removes anything but a directory.
    fn remove_file(&self, call: &CallContext, request: PathRequest) -> Result<(), Self::Error>;
    /// Removes an empty directory.
    fn remove_dir(&self, call: &CallContext, request: PathRequest) -> Result<(), Self::Error>;
    /// Moves; replaces as rename(2) does.
    fn rename(&self, call: &CallContext, request: TwoPathsRequest) -> Result<(), Self::Error>;
    /// Copies a file's contents and permission bits, replacing a file.
    fn copy(&self, call: &CallContext, request: TwoPathsRequest) -> Result<(), Self::Error>;
    /// Gives a file another name.
    fn hard_link(&self, call: &CallContext, request: TwoPathsRequest) -> Result<(), Self::Error>;
    /// Makes a symbolic link.
    fn symlink(&self, call: &CallContext, request: SymlinkRequest) -> Result<(), Self::Error>;
    /// What a symbolic link points to.
    fn read_link(&self, call: &CallContext, request: PathRequest) -> Result<String, Self::Error>;
    /// Changes permission bits.
    fn chmod(&self, call: &CallContext, request: ChmodRequest) -> Result<(), Self::Error>;
    /// Changes the length.
    fn truncate(&self, call: &CallContext, request: TruncateRequest) -> Result<(), Self::Error>;
    /// Changes times.
    fn set_times(&self, call: &CallContext, request: SetTimesRequest) -> Result<(), Self::Error>;
    /// The path without `.`, `..` and symbolic links, as far as it exists; what does not exist yet is kept as it is. Two paths that lead
    /// to one place have one canonical path: it is what decisions are made about.
    fn canonicalize(&self, call: &CallContext, request: PathRequest) -> Result<String, Self::Error>;
    /// Whether a path leads to something. A link to nothing leads to nothing.
    fn exists(&self, call: &CallContext, request: PathRequest) -> Result<bool, Self::Error>;
    /// Begins to tell `sink` what changes; answers the watch's number, unique in the bridge.
    fn watch(&self, call: &CallContext, request: WatchRequest, sink: Arc<dyn WatchSink>) -> Result<u64, Self::Error>;
    /// Ends a watch. Ending it twice is no error.
    fn unwatch(&self, call: &CallContext, request: UnwatchRequest) -> Result<(), Self::Error>;
}
