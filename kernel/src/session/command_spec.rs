//! A declared command: what is run, by name, and how.

use super::persistence::Persistence;
use super::readiness::Readiness;
use super::spec::invalid;
use crate::output::Shape;
use cofferdam_bridge::environment::loads_code;
use cofferdam_bridge::error::BridgeError;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// How long a one-shot may take where nothing else is said.
const ONE_SHOT: Duration = Duration::from_secs(120);

/// Longest name of a command.
const LONGEST_NAME: usize = 64;

/// What is run.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Program {
    /// A line for the session's shell.
    Shell(String),
    /// A program and its arguments; no shell looks at them.
    Argv {
        /// An absolute path inside, or a name that is looked up in `PATH`.
        program: String,
        /// What comes after it.
        arguments: Vec<String>,
    },
}

/// Lines and arguments stay out of logs.
impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shell(_) => f.write_str("Shell"),
            Self::Argv { program, arguments } => {
                f.debug_struct("Argv").field("program", program).field("argument_count", &arguments.len()).finish()
            }
        }
    }
}

/// A declared command. It is a one-shot unless it is made persistent.
#[derive(Clone, PartialEq, Eq)]
#[must_use]
pub struct CommandSpec {
    pub(super) name: String,
    pub(super) program: Program,
    pub(super) directory: Option<String>,
    pub(super) pass: Vec<String>,
    pub(super) set: BTreeMap<String, String>,
    pub(super) timeout: Option<Duration>,
    pub(super) shape: Shape,
    pub(super) persistence: Option<Persistence>,
}

/// Values stay out of logs.
impl fmt::Debug for CommandSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandSpec")
            .field("name", &self.name)
            .field("program", &self.program)
            .field("persistence", &self.persistence)
            .finish_non_exhaustive()
    }
}

impl CommandSpec {
    /// A line for the session's shell.
    pub fn shell(name: impl Into<String>, line: impl Into<String>) -> Self {
        Self::new(name.into(), Program::Shell(line.into()))
    }

    /// A program and its arguments.
    pub fn argv<T: Into<String>>(
        name: impl Into<String>,
        program: impl Into<String>,
        arguments: impl IntoIterator<Item = T>,
    ) -> Self {
        let arguments = arguments.into_iter().map(Into::into).collect();
        Self::new(name.into(), Program::Argv { program: program.into(), arguments })
    }

    fn new(name: String, program: Program) -> Self {
        Self {
            name,
            program,
            directory: None,
            pass: Vec::new(),
            set: BTreeMap::new(),
            timeout: None,
            shape: Shape::default(),
            persistence: None,
        }
    }

    /// Starts in this directory: absolute, or relative to where the session's commands start.
    pub fn current_dir(mut self, path: impl Into<String>) -> Self {
        self.directory = Some(path.into());
        self
    }

    /// Hands on the host's variable of that name, where the host has one. What makes loaders and interpreters load code is refused when the
    /// session is opened: a policy can set it, a command cannot.
    pub fn pass(mut self, variable: impl Into<String>) -> Self {
        self.pass.push(variable.into());
        self
    }

    /// Sets a variable; with the same exception.
    pub fn set(mut self, variable: impl Into<String>, value: impl Into<String>) -> Self {
        self.set.insert(variable.into(), value.into());
        self
    }

    /// Ends it after this time. A one-shot has 120 s unless this is set, a persistent command as long as the policy gives it.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.timeout = Some(time);
        self
    }

    /// What a one-shot's output is taken for; text unless set.
    pub fn output(mut self, shape: Shape) -> Self {
        self.shape = shape;
        self
    }

    /// Keeps it until it is stopped.
    pub fn persistent(mut self, persistence: Persistence) -> Self {
        self.persistence = Some(persistence);
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it stays until it is stopped.
    pub fn is_persistent(&self) -> bool {
        self.persistence.is_some()
    }

    /// How long it may take, if there is a bound of its own. An explicit one wins.
    pub(super) fn bound(&self) -> Option<Duration> {
        self.timeout.or((!self.is_persistent()).then_some(ONE_SHOT))
    }

    /// Whether it can be run at all.
    pub(super) fn check(&self) -> Result<(), BridgeError> {
        let name = &self.name;
        let plain = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
        if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(plain) || name.starts_with(['-', '.']) {
            return Err(invalid(format!(
                "`{}` is no name for a command: write up to {LONGEST_NAME} letters, digits, `.`, `_` and `-`, not beginning with `.` or `-`",
                name.escape_default()
            )));
        }
        let (what, texts) = match &self.program {
            Program::Shell(line) => ("shell line", vec![line]),
            Program::Argv { program, arguments } => ("argv", std::iter::once(program).chain(arguments).collect()),
        };
        if texts.first().is_none_or(|first| first.trim().is_empty()) {
            return Err(invalid(format!("the {what} of `{name}` is empty; name a program")));
        }
        let values = texts.into_iter().chain(self.set.values()).chain(&self.directory);
        if values.into_iter().any(|text| text.contains('\0')) {
            return Err(invalid(format!("a text of `{name}` holds a NUL byte, which no program can be given")));
        }
        for variable in self.pass.iter().chain(self.set.keys()) {
            check_variable(name, variable)?;
        }
        let port = self.persistence.as_ref().and_then(|own| own.readiness.as_ref());
        if port == Some(&Readiness::Port(0)) {
            return Err(invalid(format!("`{name}` is to be ready at port 0, which is none; write 1 to 65535")));
        }
        Ok(())
    }
}

/// Refuses what is no variable, and what would make a program load code.
pub(super) fn check_variable(command: &str, variable: &str) -> Result<(), BridgeError> {
    if variable.is_empty() || variable.contains(['=', '\0']) {
        return Err(invalid(format!("a variable of `{command}` has an empty name, or one that holds `=` or NUL")));
    }
    if loads_code(variable) {
        return Err(invalid(format!(
            "`{variable}` tells a loader or an interpreter what to load, so no command is given it; write it under `environment.set` of the policy with the value you mean"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c1_a_one_shot_has_two_minutes_unless_it_says_otherwise() {
        let command = CommandSpec::shell("x", "true");
        assert_eq!(command.bound(), Some(Duration::from_secs(120)));
        assert_eq!(command.clone().timeout(Duration::from_secs(600)).bound(), Some(Duration::from_secs(600)));
        assert_eq!(command.persistent(Persistence::default()).bound(), None);
    }

    #[test]
    fn names_are_plain() {
        for name in ["", "a b", "-x", ".x", "a/b", "é", &"x".repeat(65)] {
            assert!(CommandSpec::shell(name, "true").check().is_err(), "{name:?}");
        }
        assert!(CommandSpec::shell("build.all-2_x", "true").check().is_ok());
    }

    #[test]
    fn lines_arguments_and_values_are_in_no_debug_text() {
        let commands = [CommandSpec::shell("x", "hush"), CommandSpec::argv("x", "y", ["hush"]).set("A", "hush")];
        assert!(!format!("{commands:?}").contains("hush"));
    }
}
