//! How a plane's process is started: reads like `std::process::Command`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// A program that speaks the wire protocol on its standard input and output.
///
/// Nothing of the host's environment crosses but what is set here. Its standard error is the host's.
#[derive(Clone, PartialEq, Eq)]
#[must_use]
pub struct PlaneCommand {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) directory: PathBuf,
}

/// Arguments and values stay out of logs.
impl fmt::Debug for PlaneCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlaneCommand")
            .field("program", &self.program)
            .field("argument_count", &self.arguments.len())
            .finish_non_exhaustive()
    }
}

impl PlaneCommand {
    /// The program at this absolute path, without arguments, with an empty environment, in `/`.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        let (program, directory) = (program.into(), PathBuf::from("/"));
        Self { program, arguments: Vec::new(), environment: BTreeMap::new(), directory }
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Adds arguments.
    pub fn args<T: Into<String>>(mut self, arguments: impl IntoIterator<Item = T>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets a variable.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// Starts in another directory: an absolute path.
    pub fn current_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = directory.into();
        self
    }
}
