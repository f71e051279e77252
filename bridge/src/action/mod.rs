//! Actions that a worker does inside a plane: what it is asked for, and what it answers.
//!
//! A worker is a program in the sandbox. It reads one [`WorkerRequest`] as JSON from standard input, to its end, does it, and prints one
//! [`WorkerAnswer`]. What it may read, change and reach is the sandbox's affair alone: nothing here widens or narrows that.

mod bytes;
mod http_fetch;
mod list;
mod read;
mod search;
mod write;

pub use bytes::{Bytes, decode_base64, encode_base64};
pub use http_fetch::{HttpFetch, HttpFetched, HttpMethod};
pub use list::{FileList, FileListed, ListedEntry, PathName};
pub use read::{FileRead, FileReadResult};
pub use search::{FileSearch, FileSearched, SearchMatch};
pub use write::{FileWrite, FileWritten, WriteWhen};

use crate::error::BridgeError;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The longest request that a worker reads, in bytes.
pub const LONGEST_REQUEST: u64 = 4 << 20;

/// One thing that a worker is asked to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "operation", content = "arguments")]
#[non_exhaustive]
pub enum WorkerRequest {
    /// Read a file, or a part of it.
    FileRead(FileRead),
    /// Write a file.
    FileWrite(FileWrite),
    /// List a directory.
    FileList(FileList),
    /// Search files.
    FileSearch(FileSearch),
    /// Fetch something over HTTP.
    HttpFetch(HttpFetch),
}

/// What came of it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WorkerAnswer {
    /// It was done: the operation's own result.
    Done(Value),
    /// It was not, or not wholly.
    Failed(BridgeError),
}

/// Results stay out of logs: they hold what files hold.
impl std::fmt::Debug for WorkerAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Done(_) => f.write_str("Done"),
            Self::Failed(error) => f.debug_tuple("Failed").field(error).finish(),
        }
    }
}
