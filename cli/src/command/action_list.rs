//! `cofferdam action list`.

use super::action::actions;
use crate::failure::Failure;
use clap::Args;

/// Lists the actions that there are.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cofferdam action list --json | jq -r '.[].name'")]
pub(crate) struct List {
    /// Print them with their schemas, as one JSON array.
    #[arg(long)]
    json: bool,
}

impl List {
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        let all = actions()?.list();
        let text = if self.json {
            format!("{}\n", serde_json::to_string(&all).unwrap_or_default())
        } else {
            all.iter().map(|action| format!("{:<16} {}\n", action.name, action.summary)).collect()
        };
        super::print(&text)?;
        Ok(0)
    }
}
