//! Listing a directory.

use super::bytes::encode_base64;
use crate::filesystem::FileKind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Asks what a directory holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct FileList {
    /// An absolute path inside, or one relative to where programs start.
    pub path: String,
    /// How deep: 1, unless given, for the directory's own entries.
    #[serde(default = "FileList::usual_depth")]
    #[schemars(range(min = 1, max = 64))]
    pub depth: u32,
    /// At most so many entries; 1000 unless given.
    #[serde(default = "FileList::usual_most")]
    #[schemars(range(min = 1, max = 20_000))]
    pub most: u64,
}

impl FileList {
    /// The deepest that is looked.
    pub const DEEPEST: u32 = 64;
    /// The most entries of one answer.
    pub const MOST: u64 = 20_000;

    /// Asks for the entries of `path`.
    pub fn new(path: impl Into<String>) -> Self {
        Self { path: path.into(), depth: Self::usual_depth(), most: Self::usual_most() }
    }

    fn usual_depth() -> u32 {
        1
    }

    fn usual_most() -> u64 {
        1000
    }
}

/// A path in JSON: exactly one of both is there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PathName {
    /// As text, where it is UTF-8.
    Path(String),
    /// In base64, where it is not.
    PathBase64(String),
}

impl PathName {
    /// A path by its bytes.
    pub fn new(bytes: &[u8]) -> Self {
        std::str::from_utf8(bytes)
            .map_or_else(|_| Self::PathBase64(encode_base64(bytes)), |text| Self::Path(text.to_owned()))
    }
}

/// What a directory holds, by path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct FileListed {
    /// The entries, each directory before what it holds.
    pub entries: Vec<ListedEntry>,
    /// Whether there are more than were asked for.
    pub truncated: bool,
    /// How many directories could not be looked into.
    pub unreadable: u64,
}

impl FileListed {
    /// A listing.
    pub fn new(entries: Vec<ListedEntry>, truncated: bool, unreadable: u64) -> Self {
        Self { entries, truncated, unreadable }
    }
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct ListedEntry {
    /// Its path, relative to the directory that was listed.
    #[serde(flatten)]
    pub name: PathName,
    /// What it is. Links are not followed.
    pub kind: FileKind,
    /// Its length, in bytes.
    pub size: u64,
    /// Permission bits, in octal digits.
    pub mode: String,
    /// When it was last changed, in milliseconds since 1970.
    pub modified_ms: i64,
    /// Where a symbolic link leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<PathName>,
}

impl ListedEntry {
    /// An entry that is no link.
    pub fn new(name: PathName, kind: FileKind, size: u64, mode: u32, modified_ms: i64) -> Self {
        Self { name, kind, size, mode: format!("{mode:04o}"), modified_ms, target: None }
    }
}
