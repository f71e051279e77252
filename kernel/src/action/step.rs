//! What an action has run: programs, one after the other.

use crate::policy::Access;
use cofferdam_bridge::action::WorkerRequest;
use cofferdam_bridge::event::ExecutionReport;
use std::collections::BTreeMap;
use std::fmt;

/// What an action asks of the policy, and what is to run.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Plan {
    pub(super) accesses: Vec<Access>,
    pub(super) steps: Vec<Step>,
}

impl Plan {
    /// A plan of one step.
    pub fn of(step: Step) -> Self {
        Self { accesses: Vec::new(), steps: vec![step] }
    }

    /// Adds a step that runs when those before have succeeded.
    pub fn then(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// It reads at `path`, which is absolute.
    pub fn reads(self, path: impl Into<String>) -> Self {
        self.asks(Access::Read(path.into()))
    }

    /// It changes something at `path`, which is absolute.
    pub fn writes(self, path: impl Into<String>) -> Self {
        self.asks(Access::Write(path.into()))
    }

    /// It connects to `port` of `host`.
    pub fn connects(self, host: impl Into<String>, port: u16) -> Self {
        self.asks(Access::Connect(host.into(), port))
    }

    fn asks(mut self, access: Access) -> Self {
        self.accesses.push(access);
        self
    }
}

/// Who runs in a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Runs {
    /// A program by its name or path.
    Program(String),
    /// The worker.
    Worker(Box<WorkerRequest>),
}

/// One program of an action.
#[derive(Clone)]
#[must_use]
pub struct Step {
    pub(super) runs: Runs,
    pub(super) arguments: Vec<String>,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) directory: Option<String>,
    pub(super) stdin: Vec<u8>,
    pub(super) may_fail: bool,
}

/// Arguments, values and input stay out of logs.
impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step").field("program", &self.program_name()).finish_non_exhaustive()
    }
}

impl Step {
    fn new(runs: Runs) -> Self {
        let (arguments, environment) = (Vec::new(), BTreeMap::new());
        Self { runs, arguments, environment, directory: None, stdin: Vec::new(), may_fail: false }
    }

    /// A program: an absolute path inside, or a name that is looked up in the run's `PATH`.
    pub fn program(name: impl Into<String>) -> Self {
        Self::new(Runs::Program(name.into()))
    }

    /// Something that the worker does.
    pub fn worker(request: WorkerRequest) -> Self {
        Self::new(Runs::Worker(Box::new(request)))
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

    /// Starts in another directory: an absolute path inside.
    pub fn directory(mut self, path: impl Into<String>) -> Self {
        self.directory = Some(path.into());
        self
    }

    /// What it reads from standard input; nothing unless given.
    pub fn stdin(mut self, bytes: Vec<u8>) -> Self {
        self.stdin = bytes;
        self
    }

    /// Its failure by an exit code is no failure of the action: `conclude` is told of it.
    pub fn may_fail(mut self) -> Self {
        self.may_fail = true;
        self
    }

    pub(super) fn program_name(&self) -> &str {
        match &self.runs {
            Runs::Program(name) => name,
            Runs::Worker(_) => "action worker",
        }
    }
}

/// How a step ended.
#[derive(Clone)]
#[non_exhaustive]
pub struct StepEnd {
    /// The program, as it was named.
    pub program: String,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// Why it ended, what it used, what held.
    pub report: ExecutionReport,
}

/// What a program prints stays out of logs.
impl fmt::Debug for StepEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepEnd")
            .field("program", &self.program)
            .field("cause", &self.report.cause)
            .finish_non_exhaustive()
    }
}
