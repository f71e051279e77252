//! `cofferdam changes commit`.

use super::changes::Which;
use super::changes_recorded::ChangeLog;
use crate::failure::Failure;
use crate::report::{changes_json, human};
use clap::Args;

/// Makes the changes of a run in its workspace: all of them, or none.
///
/// Where the workspace was changed since the run began, and the run changed the same, nothing is done and the
/// paths are named. A commit that is interrupted is brought to its end by the next command.
#[derive(Debug, Args)]
pub(crate) struct Commit {
    #[command(flatten)]
    which: Which,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl Commit {
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        let outcome = self.which.find().and_then(|set| {
            let (id, workspace) = (set.id(), set.workspace().to_owned());
            let log = ChangeLog::open(&workspace)?;
            log.committing(&id)?;
            let diff = set.commit()?;
            log.committed(diff.summary(&id))?;
            Ok((id, workspace, diff))
        });
        match outcome {
            Ok((id, workspace, diff)) => {
                let summary = diff.summary(&id);
                super::print(&if self.json {
                    changes_json::committed(&summary)
                } else {
                    format!("Committed {id} to {}: {}\n", crate::escape::path(&workspace), human::counts(&summary))
                })?;
                Ok(0)
            }
            Err(failure) if self.json => {
                super::print(&changes_json::failed(failure.error()))?;
                Ok(failure.exit_code())
            }
            Err(failure) => Err(failure),
        }
    }
}
