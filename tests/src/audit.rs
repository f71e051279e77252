//! An audit log of a test's own, and what the command says of it.

use crate::command::{cofferdam, text};
use crate::scratch::Scratch;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A workspace, and a log beside it.
#[derive(Debug, Default)]
pub struct Recorded {
    /// The workspace.
    pub workspace: Scratch,
    state: Scratch,
}

impl Recorded {
    /// An empty workspace and no log yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The log's directory.
    pub fn place(&self) -> PathBuf {
        self.state.join("audit")
    }

    /// The command with this log.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = cofferdam();
        command.args(arguments).env("COFFERDAM_AUDIT", self.place()).current_dir(self.workspace.path());
        command
    }

    /// Runs a shell line in the workspace.
    ///
    /// # Panics
    /// When the command cannot be started.
    #[expect(clippy::expect_used, reason = "a test without the command under test must fail loudly")]
    pub fn shell(&self, line: &str) -> Output {
        self.command(&["run", "--workspace", ".", "--", "sh", "-c", line]).output().expect("cofferdam starts")
    }

    /// `cofferdam audit` with `arguments`.
    ///
    /// # Panics
    /// As [`shell`](Self::shell).
    #[expect(clippy::expect_used, reason = "a test without the command under test must fail loudly")]
    pub fn audit(&self, arguments: &[&str]) -> Output {
        self.command(&[&["audit"], arguments].concat()).output().expect("cofferdam starts")
    }

    /// The exit code of `audit verify`, and the numbers of the records that it names.
    pub fn verify(&self, arguments: &[&str]) -> (Option<i32>, Vec<u64>) {
        let output = self.audit(&[&["verify", "--json"], arguments].concat());
        let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let faults = told["faults"].as_array().cloned().unwrap_or_default();
        (output.status.code(), faults.iter().filter_map(|fault| fault["seq"].as_u64()).collect())
    }

    /// All records of `kind`.
    pub fn records(&self, kind: &str) -> Vec<Value> {
        let output = self.audit(&["query", "--json", "--kind", kind]);
        text(&output.stdout).lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The log's files, the oldest first.
    pub fn files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.place()).into_iter().flatten().flatten();
        let mut files: Vec<_> = entries.map(|entry| entry.path()).collect();
        files.sort();
        files
    }
}

/// The log is whole.
///
/// # Panics
/// When it is not.
#[track_caller]
pub fn assert_whole(recorded: &Recorded) {
    let output = recorded.audit(&["verify"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

/// A path as text.
pub fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
