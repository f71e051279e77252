//! Writing a file.

use super::bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Asks for a file's contents to be these.
///
/// The file is replaced at once by one that is written beside it and synced, so that nobody ever sees half of it; it keeps its mode, and
/// a link keeps leading to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct FileWrite {
    /// An absolute path inside, or one relative to where programs start.
    pub path: String,
    /// The new contents.
    pub contents: Bytes,
    /// Whether the file may, must or must not be there.
    #[serde(default)]
    pub when: WriteWhen,
    /// Permission bits in octal digits, such as `0755`; else those it had, or `0644`. Set-id bits are not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Make the directories that lead there.
    #[serde(default)]
    pub parents: bool,
    /// Write into the file itself in place of replacing it. Needed where the policy lets this one file be changed and not its directory;
    /// whoever reads it meanwhile may see half of it.
    #[serde(default)]
    pub in_place: bool,
}

/// Whether a file that is written may be there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WriteWhen {
    /// Either way.
    #[default]
    Always,
    /// Only where nothing is there.
    Absent,
    /// Only where the file is there.
    Present,
}

impl FileWrite {
    /// Asks for the file at `path` to hold `contents`.
    pub fn new(path: impl Into<String>, contents: Vec<u8>) -> Self {
        let contents = Bytes::new(contents);
        Self { path: path.into(), contents, when: WriteWhen::Always, mode: None, parents: false, in_place: false }
    }

    /// The permission bits asked for: `Some(None)` for none, `None` for what is no mode.
    pub fn permission_bits(&self) -> Option<Option<u32>> {
        match &self.mode {
            None => Some(None),
            Some(digits) => u32::from_str_radix(digits, 8).ok().filter(|mode| *mode <= 0o777).map(Some),
        }
    }
}

/// A file that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct FileWritten {
    /// How many bytes it holds now.
    pub size: u64,
    /// Whether it was not there before.
    pub created: bool,
    /// Its permission bits, in octal digits.
    pub mode: String,
}

impl FileWritten {
    /// A file of `size` bytes.
    pub fn new(size: u64, created: bool, mode: u32) -> Self {
        Self { size, created, mode: format!("{mode:04o}") }
    }
}
