//! `cofferdam action`: typed operations that run inside a plane.

use super::action_jobs::Jobs;
use super::action_list::List;
use super::action_run::Run;
use super::action_show::Show;
use crate::compose;
use crate::failure::Failure;
use clap::Subcommand;
use cofferdam_kernel::action::{Actions, Worker};

/// Runs typed operations on files, git, the shell and HTTP inside the sandbox.
#[derive(Debug, Subcommand)]
pub(crate) enum ActionCommand {
    List(List),
    Show(Show),
    Run(Box<Run>),
    Jobs(Jobs),
}

impl ActionCommand {
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        match self {
            Self::List(list) => list.execute(),
            Self::Show(show) => show.execute(),
            Self::Run(run) => run.execute(),
            Self::Jobs(jobs) => jobs.execute(),
        }
    }
}

/// The worker: this program itself.
pub(super) fn worker() -> Result<Worker, Failure> {
    let own = std::env::current_exe().and_then(|path| path.canonicalize());
    let own = own.map_err(|error| crate::failure::io("this program's own file cannot be found", &error))?;
    Ok(Worker::new(compose::utf8(own)?, [cofferdam_action_worker::ARGUMENT])?)
}

/// The actions that there are.
pub(super) fn actions() -> Result<Actions, Failure> {
    Ok(Actions::builtin(worker()?))
}
