//! `cofferdam changes list`.

use crate::failure::Failure;
use crate::report::{changes, changes_json};
use clap::Args;
use cofferdam_sandbox_linux::changes::ChangeStore;

/// Lists all change sets, the newest first.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl List {
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        let sets = ChangeStore::of_user()?.list()?;
        super::print(&if self.json { changes_json::list(&sets) } else { changes::list(&sets) })?;
        Ok(0)
    }
}
