//! Reading a file.

use super::bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Asks for a file's contents, or a part of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct FileRead {
    /// An absolute path inside, or one relative to where programs start.
    pub path: String,
    /// First byte.
    #[serde(default)]
    pub offset: u64,
    /// At most so many bytes; 1 MiB unless given, and 8 MiB at most.
    #[serde(default = "FileRead::usual_length")]
    #[schemars(range(min = 0, max = 8_388_608))]
    pub length: u64,
}

impl FileRead {
    /// The most that is read at once, in bytes.
    pub const LONGEST: u64 = 8 << 20;

    /// Asks for the beginning of the file at `path`.
    pub fn new(path: impl Into<String>) -> Self {
        Self { path: path.into(), offset: 0, length: Self::usual_length() }
    }

    fn usual_length() -> u64 {
        1 << 20
    }
}

/// A file's contents, or a part of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct FileReadResult {
    /// The whole file's length, in bytes.
    pub size: u64,
    /// The first byte's place.
    pub offset: u64,
    /// How many bytes these are.
    pub length: u64,
    /// Whether they reach the file's end.
    pub complete: bool,
    /// The bytes.
    pub contents: Bytes,
    /// Permission bits, in octal digits.
    pub mode: String,
    /// When the file was last changed, in milliseconds since 1970.
    pub modified_ms: i64,
}

impl FileReadResult {
    /// `contents` of a file of `size` bytes, from `offset`.
    pub fn new(size: u64, offset: u64, contents: Vec<u8>, mode: u32, modified_ms: i64) -> Self {
        let length = contents.len() as u64;
        let complete = offset.saturating_add(length) >= size;
        let mode = format!("{mode:04o}");
        Self { size, offset, length, complete, contents: Bytes::new(contents), mode, modified_ms }
    }
}
