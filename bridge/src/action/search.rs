//! Searching files.

use super::list::PathName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Asks which lines of which files match. Files that `.gitignore` names, hidden ones and binary ones are left out unless asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct FileSearch {
    /// A directory or a file: an absolute path inside, or one relative to where programs start.
    pub path: String,
    /// What to look for.
    #[schemars(length(min = 1, max = 4096))]
    pub pattern: String,
    /// Whether `pattern` is a regular expression (syntax of the crate `regex`) and not the very text.
    #[serde(default)]
    pub regex: bool,
    /// Whether upper and lower case are the same.
    #[serde(default)]
    pub ignore_case: bool,
    /// Only files whose path matches one of these globs, such as `*.rs`; all files where there is none.
    #[serde(default)]
    pub include: Vec<String>,
    /// Look also at what is hidden and what `.gitignore` names.
    #[serde(default)]
    pub everything: bool,
    /// At most so many matching lines; 200 unless given.
    #[serde(default = "FileSearch::usual_most")]
    #[schemars(range(min = 1, max = 10_000))]
    pub most: u64,
    /// Files that are longer are left out and counted; 8 MiB unless given.
    #[serde(default = "FileSearch::usual_longest")]
    pub longest_file: u64,
}

impl FileSearch {
    /// The longest pattern, in bytes.
    pub const LONGEST_PATTERN: usize = 4096;
    /// The most matching lines of one answer.
    pub const MOST: u64 = 10_000;
    /// As much of a line is shown, in bytes.
    pub const LONGEST_LINE: usize = 500;

    /// Looks for the very text `pattern` beneath `path`.
    pub fn new(path: impl Into<String>, pattern: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            pattern: pattern.into(),
            regex: false,
            ignore_case: false,
            include: Vec::new(),
            everything: false,
            most: Self::usual_most(),
            longest_file: Self::usual_longest(),
        }
    }

    fn usual_most() -> u64 {
        200
    }

    fn usual_longest() -> u64 {
        8 << 20
    }
}

/// What was found, by path and line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct FileSearched {
    /// The matching lines.
    pub matches: Vec<SearchMatch>,
    /// Whether there are more than were asked for.
    pub truncated: bool,
    /// How many files were looked through.
    pub files: u64,
    /// How many were left out as binary, too long or not readable.
    pub left_out: u64,
}

impl FileSearched {
    /// A result.
    pub fn new(matches: Vec<SearchMatch>, truncated: bool, files: u64, left_out: u64) -> Self {
        Self { matches, truncated, files, left_out }
    }
}

/// One matching line.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct SearchMatch {
    /// The file, relative to where was looked; empty where that is the file itself.
    #[serde(flatten)]
    pub name: PathName,
    /// The line's number, from 1.
    pub line: u64,
    /// Where in the line the first match begins, in bytes from 1.
    pub column: u64,
    /// The line, cut after 500 bytes; what is no UTF-8 in it is replaced.
    pub text: String,
}

/// Contents stay out of logs.
impl std::fmt::Debug for SearchMatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SearchMatch").field("name", &self.name).field("line", &self.line).finish_non_exhaustive()
    }
}

impl SearchMatch {
    /// A match.
    pub fn new(name: PathName, line: u64, column: u64, text: impl Into<String>) -> Self {
        Self { name, line, column, text: text.into() }
    }
}
