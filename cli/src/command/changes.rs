//! `cofferdam changes`: shows, commits and discards what runs changed while their changes were kept apart.

use super::changes_commit::Commit;
use super::changes_discard::Discard;
use super::changes_list::List;
use super::changes_show::Show;
use crate::failure::{Failure, io};
use crate::report::human;
use clap::{Args, Subcommand};
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_sandbox_linux::changes::{ChangeSet, ChangeStore, Outcome, Recovered};
use std::path::PathBuf;

/// Shows, commits or discards what runs with --overlay changed.
#[derive(Debug, Subcommand)]
#[command(after_help = "Exit codes:\n  0    done\n  125  refused or failed; the workspace is as it was before\n\n\
    Example:\n  cofferdam run --overlay -- make && cofferdam changes show --diff && cofferdam changes commit")]
pub(crate) enum ChangesCommand {
    List(List),
    Show(Show),
    Commit(Commit),
    Discard(Discard),
}

impl ChangesCommand {
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        for Recovered { id, outcome, .. } in ChangeStore::of_user()?.recover()? {
            let what = match outcome {
                Ok(Outcome::Done) => "is done now".to_owned(),
                Ok(_) => "is undone, and can be made again".to_owned(),
                Err(error) => format!("cannot be brought to its end: {}", error.message),
            };
            human::note(&format!("the commit of {id}, which was cut short, {what}"));
        }
        match self {
            Self::List(list) => list.execute(),
            Self::Show(show) => show.execute(),
            Self::Commit(commit) => commit.execute(),
            Self::Discard(discard) => discard.execute(),
        }
    }
}

/// Which change set is meant.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// The change set; the newest of the workspace unless given.
    id: Option<String>,
    /// The workspace whose newest change set is meant; the one that the current directory lies in unless given.
    #[arg(long, value_name = "DIR", conflicts_with = "id")]
    workspace: Option<PathBuf>,
}

impl Which {
    /// Finds it.
    pub(crate) fn find(&self) -> Result<ChangeSet, Failure> {
        let store = ChangeStore::of_user()?;
        if let Some(id) = &self.id {
            return Ok(store.find(id)?);
        }
        let given = self.workspace.clone().unwrap_or_else(|| PathBuf::from("."));
        let here = given
            .canonicalize()
            .map_err(|error| io(&format!("the directory `{}` cannot be used", given.display()), &error))?;
        let mut sets = store.list()?.into_iter();
        sets.find(|set| here.starts_with(set.workspace())).ok_or_else(|| {
            let sentence = format!("no changes of `{}` are kept", here.display());
            Failure::new(ErrorCode::ChangesNotFound, sentence).hint("cofferdam changes list shows all there are")
        })
    }
}
