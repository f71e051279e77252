//! How a plane's process is started: reads like `std::process::Command`.

use crate::complaints::{Listener, on_standard_error};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// A program that speaks the wire protocol on its standard input and output.
///
/// Nothing of the host's environment crosses but what is set here. What it says on its standard error is told on the host's: line by line,
/// with its file name before each, and escaped, so that it steers no terminal.
#[derive(Clone)]
#[must_use]
pub struct PlaneCommand {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) directory: PathBuf,
    pub(crate) listener: Option<Listener>,
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
        Self { program, arguments: Vec::new(), environment: BTreeMap::new(), directory, listener: None }
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

    /// Has the lines of its standard error, escaped and without their ends, told to `listener` in place of the host's standard error. It may
    /// wait: then so does the plane, when it has said as much as a pipe holds.
    pub fn stderr(mut self, listener: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.listener = Some(Arc::new(listener));
        self
    }

    pub(crate) fn listener(&self) -> Listener {
        self.listener
            .clone()
            .unwrap_or_else(|| on_standard_error(&self.program.file_name().unwrap_or_default().to_string_lossy()))
    }
}
