//! Runs whose changes are kept apart, with a store of the test's own.

use crate::command::{binary, text};
use crate::scratch::Scratch;
use serde_json::Value;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// A workspace, and a store of changes beside it.
#[derive(Debug, Default)]
pub struct Apart {
    /// The workspace.
    pub workspace: Scratch,
    state: Scratch,
}

impl Apart {
    /// An empty workspace and an empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// The command with this store.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments).env("XDG_STATE_HOME", self.state.path()).current_dir(self.workspace.path());
        command
    }

    /// Runs a program with its changes kept apart.
    ///
    /// # Panics
    /// When the command cannot be started.
    #[expect(clippy::expect_used, reason = "a test without the command under test must fail loudly")]
    pub fn run(&self, program: &[&str]) -> Output {
        let arguments = [&["run", "--overlay", "--"], program].concat();
        self.command(&arguments).output().expect("cofferdam starts")
    }

    /// Runs a shell line with its changes kept apart.
    ///
    /// # Panics
    /// As [`run`](Self::run).
    pub fn shell(&self, line: &str) -> Output {
        self.run(&["sh", "-c", line])
    }

    /// `cofferdam changes` with `arguments`.
    ///
    /// # Panics
    /// As [`run`](Self::run).
    #[expect(clippy::expect_used, reason = "a test without the command under test must fail loudly")]
    pub fn changes(&self, arguments: &[&str]) -> Output {
        self.command(&[&["changes"], arguments].concat()).output().expect("cofferdam starts")
    }

    /// The error of a refused commit.
    ///
    /// # Panics
    /// When it is not refused, or does not say so.
    #[track_caller]
    #[expect(clippy::expect_used, reason = "a commit that should have been refused must fail loudly")]
    pub fn refused(&self) -> Value {
        let output = self.changes(&["commit", "--json"]);
        assert_eq!(output.status.code(), Some(125), "{output:?}");
        let told: Value = serde_json::from_slice(&output.stdout).expect("one object");
        assert_eq!(told["committed"], false);
        told["error"].clone()
    }

    /// A run of a shell line whose changes are kept apart, once it has said `up`. Its input stays open.
    ///
    /// # Panics
    /// When it does not come to that.
    #[track_caller]
    #[expect(clippy::expect_used, reason = "a run that does not start must fail loudly")]
    pub fn under_way(&self, line: &str) -> Child {
        let mut command = self.command(&["run", "--overlay", "--", "sh", "-c", line]);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("cofferdam starts");
        let mut up = [0; 3];
        child.stdout.as_mut().expect("its output").read_exact(&mut up).expect("a word of the run");
        assert_eq!(&up, b"up\n");
        child
    }

    /// The letters and paths that `changes show` prints.
    pub fn shown(&self) -> Vec<String> {
        let output = text(&self.changes(&["show"]).stdout);
        output.lines().skip_while(|line| !line.is_empty()).skip(1).map(str::to_owned).collect()
    }

    /// The folder of all change sets.
    pub fn store(&self) -> PathBuf {
        self.state.path().join("cofferdam/changes")
    }

    /// The change sets that are there.
    pub fn sets(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.store()).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
    }
}

/// It succeeded.
///
/// # Panics
/// When it did not.
#[track_caller]
pub fn assert_fine(output: &Output) {
    assert!(output.status.success(), "{output:?}");
}

/// Everything beneath a folder, a line each: kind, mode, names of the same file, time if it lies far back, contents. It gives the user all
/// rights on the way, so it is the last thing to do with a tree.
///
/// # Panics
/// When something cannot be looked at.
pub fn tree(folder: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    look(folder, Path::new(""), &mut lines);
    lines
}

#[expect(clippy::expect_used, reason = "a test that cannot see a tree must fail loudly")]
fn look(root: &Path, path: &Path, lines: &mut Vec<String>) {
    use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
    let place = root.join(path);
    let metadata = std::fs::symlink_metadata(&place).expect("an entry of the tree");
    let kind = metadata.file_type();
    // What happened during the test happened at no time that could be compared.
    let long_ago = metadata.mtime() < 1_500_000_000;
    let time = if long_ago { format!("{}.{:09}", metadata.mtime(), metadata.mtime_nsec()) } else { "now".to_owned() };
    if !kind.is_symlink() {
        let mode = std::fs::Permissions::from_mode(metadata.mode() & 0o7777 | 0o700);
        std::fs::set_permissions(&place, mode).expect("the user's own entry");
    }
    let what = if kind.is_symlink() {
        format!("-> {:?}", std::fs::read_link(&place).expect("a link"))
    } else if kind.is_file() {
        format!("{:?} of {}", text(&std::fs::read(&place).expect("a file")), metadata.nlink())
    } else if kind.is_fifo() {
        "fifo".to_owned()
    } else {
        "folder".to_owned()
    };
    let mode = if kind.is_symlink() { 0 } else { metadata.mode() & 0o7777 };
    lines.push(format!("{} {mode:o} {time} {what}", path.display()));
    if kind.is_dir() {
        let entries = std::fs::read_dir(&place).expect("a folder").flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
        names.sort();
        names.iter().for_each(|name| look(root, &path.join(name), lines));
    }
}
