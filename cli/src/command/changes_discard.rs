//! `cofferdam changes discard`.

use super::changes::Which;
use super::changes_recorded::ChangeLog;
use crate::failure::{Failure, io};
use crate::report::human;
use clap::Args;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_sandbox_linux::changes::ChangeSet;
use std::io::{IsTerminal, Write};

/// Removes the changes of a run. The workspace stays as it is.
#[derive(Debug, Args)]
pub(crate) struct Discard {
    #[command(flatten)]
    which: Which,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

impl Discard {
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        let set = self.which.find()?;
        let what = match set.summary() {
            Some(summary) => human::counts(summary),
            None => "changes of a run whose end was not seen".to_owned(),
        };
        if !self.yes && !is_empty(&set) && !agreed(&set, &what)? {
            super::print("Nothing was discarded.\n")?;
            return Ok(0);
        }
        let id = set.id();
        let log = ChangeLog::open(set.workspace())?;
        set.discard()?;
        log.discarded(&id)?;
        super::print(&format!("Discarded {id}: {what}\n"))?;
        Ok(0)
    }
}

/// What cannot be looked at is not taken for empty.
fn is_empty(set: &ChangeSet) -> bool {
    set.diff().is_ok_and(|diff| diff.is_empty())
}

fn agreed(set: &ChangeSet, what: &str) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        let sentence = format!("`{}` holds changes ({what}), and nobody can be asked here", set.id());
        return Err(Failure::new(ErrorCode::RequestInvalid, sentence).hint("cofferdam changes discard --yes"));
    }
    let mut stderr = std::io::stderr().lock();
    let workspace = crate::escape::path(set.workspace());
    let asked = write!(stderr, "Discard {} of {workspace} ({what})? [y/N] ", set.id()).and_then(|()| stderr.flush());
    let mut answer = String::new();
    asked
        .and_then(|()| std::io::stdin().read_line(&mut answer))
        .map_err(|error| io("no answer could be read", &error))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
