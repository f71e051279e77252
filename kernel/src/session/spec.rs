//! What a session is to hold.

use super::command_spec::CommandSpec;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::network_scope::NetworkScope;
use std::collections::BTreeMap;
use std::time::Duration;

/// How many persistent commands run at once where nothing else is said.
const MOST_RUNNING: usize = 16;

/// Most commands that can be declared.
const MOST_DECLARED: usize = 1024;

/// The commands of a session and what holds for all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct SessionSpec {
    pub(super) commands: BTreeMap<String, CommandSpec>,
    /// Commands that were declared under a name that was taken.
    pub(super) twice: Option<String>,
    pub(super) shell: String,
    pub(super) most_running: usize,
    pub(super) idle: Option<Duration>,
    pub(super) policy: Option<String>,
    pub(super) network: NetworkScope,
}

impl Default for SessionSpec {
    fn default() -> Self {
        Self {
            commands: BTreeMap::new(),
            twice: None,
            shell: "/bin/sh".to_owned(),
            most_running: MOST_RUNNING,
            idle: None,
            policy: None,
            network: NetworkScope::Context,
        }
    }
}

impl SessionSpec {
    /// Declares a command.
    pub fn command(mut self, command: CommandSpec) -> Self {
        let name = command.name.clone();
        if self.commands.insert(name.clone(), command).is_some() {
            self.twice = Some(name);
        }
        self
    }

    /// The shell that runs shell lines, as `SHELL -c LINE`: an absolute path inside, or a name; `/bin/sh` unless set.
    pub fn shell(mut self, shell: impl Into<String>) -> Self {
        self.shell = shell.into();
        self
    }

    /// How many persistent commands may run at once; 16 unless set.
    pub fn most_running(mut self, count: usize) -> Self {
        self.most_running = count;
        self
    }

    /// Gives each run a network of its own: commands do not reach each other then.
    pub fn separate_networks(mut self) -> Self {
        self.network = NetworkScope::Execution;
        self
    }

    /// How long a host keeps the session open when nobody asks anything of it; kernels do not look at it.
    pub fn idle(mut self, time: Duration) -> Self {
        self.idle = Some(time);
        self
    }

    /// How long a host keeps the session open when nobody asks anything of it, if that was said.
    pub fn idle_limit(&self) -> Option<Duration> {
        self.idle
    }

    /// The policy that the session file names, for whoever makes its VM.
    pub fn policy(&self) -> Option<&str> {
        self.policy.as_deref()
    }

    /// The declared commands, by name.
    pub fn commands(&self) -> impl Iterator<Item = &CommandSpec> {
        self.commands.values()
    }

    /// Whether it can be opened.
    pub(super) fn check(&self) -> Result<(), BridgeError> {
        if let Some(name) = &self.twice {
            return Err(invalid(format!("there are two commands `{name}`; give one of them another name")));
        }
        if self.commands.len() > MOST_DECLARED {
            return Err(invalid(format!("more than {MOST_DECLARED} commands are declared; make a second session")));
        }
        if self.shell.is_empty() || self.shell.contains('\0') || self.most_running == 0 {
            return Err(invalid("the shell has no name, or not even one persistent command could run"));
        }
        self.commands.values().try_for_each(CommandSpec::check)
    }
}

/// What is wrong with a session or a command of it.
pub(super) fn invalid(what: impl Into<String>) -> BridgeError {
    BridgeError::new(ErrorCode::SessionInvalid, what)
}
