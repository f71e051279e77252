//! Sessions of the command: a session file, a workspace, and a host process with places of the test's own.

use crate::command::{cofferdam, cofferdam_without_namespaces, text};
use crate::scratch::Scratch;
use serde_json::Value;
use std::process::{Command, Output, Stdio};

/// A session that a test opens, if it does, under the name `s`. It is closed when dropped.
#[derive(Debug, Default)]
pub struct HostedSession {
    /// The workspace, with the session file.
    pub workspace: Scratch,
    /// Where its host keeps sockets and files.
    pub state: Scratch,
    /// No namespace can be made where its host is.
    bare: bool,
}

impl HostedSession {
    /// A session file with these commands. Nothing is open.
    pub fn declared(commands: &str) -> Self {
        let session = Self::default();
        session.workspace.write("session.toml", &format!("version = 1\n{commands}"));
        session
    }

    /// The same where no namespace can be made. Its policy must live with that.
    pub fn without_namespaces(commands: &str) -> Self {
        let mut session = Self::declared(commands);
        session.bare = true;
        session
    }

    /// The same, opened with `options`.
    ///
    /// # Panics
    /// When it cannot be opened.
    #[track_caller]
    pub fn open(commands: &str, options: &[&str]) -> Self {
        let session = Self::declared(commands);
        session.opened(options);
        session
    }

    /// Opens it; answers what `open --json` tells.
    ///
    /// # Panics
    /// When it cannot be opened.
    #[track_caller]
    #[expect(clippy::expect_used, reason = "a test without its session must fail loudly")]
    pub fn opened(&self, options: &[&str]) -> Value {
        let arguments = [&["open", "s", "--json"], options].concat();
        let output = self.ask(&arguments);
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).expect("one object")
    }

    /// `cofferdam session` with `arguments`.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = if self.bare { cofferdam_without_namespaces() } else { cofferdam() };
        command.arg("session").args(arguments).current_dir(self.workspace.path());
        command.env("XDG_STATE_HOME", self.state.path()).env_remove("XDG_RUNTIME_DIR").stdin(Stdio::null());
        command
    }

    /// The same, run to its end.
    ///
    /// # Panics
    /// When it does not start.
    #[track_caller]
    #[expect(clippy::expect_used, reason = "a test without the command under test must fail loudly")]
    pub fn ask(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("cofferdam starts")
    }

    /// Its standard output, where it succeeded.
    ///
    /// # Panics
    /// When it failed.
    #[track_caller]
    pub fn told(&self, arguments: &[&str]) -> String {
        let output = self.ask(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        text(&output.stdout)
    }

    /// How the command `name` fares, as `status --json` tells.
    ///
    /// # Panics
    /// When it is not told.
    #[track_caller]
    #[expect(clippy::expect_used, reason = "a test without its answer must fail loudly")]
    pub fn status(&self, name: &str) -> Value {
        serde_json::from_str(&self.told(&["status", "s", name, "--json"])).expect("one object")
    }
}

impl Drop for HostedSession {
    fn drop(&mut self) {
        // One that was not opened, or is closed, says so to nobody.
        let _ = self.command(&["close", "s"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}
