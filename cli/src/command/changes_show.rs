//! `cofferdam changes show`.

use super::changes::Which;
use crate::failure::Failure;
use crate::report::{changes, changes_json, text_diff};
use clap::Args;

/// Shows what a run changed, a letter for each entry.
///
/// A is created, M changed, D deleted, R renamed, P of another mode, T touched (other times alone).
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cofferdam changes show --diff\n  \
    cofferdam changes show --json | jq -r '.changes[] | select(.kind == \"deleted\") | .path'")]
pub(crate) struct Show {
    #[command(flatten)]
    which: Which,
    /// Show also how the contents of text files differ, as far as they are of moderate size.
    #[arg(long, conflicts_with = "json")]
    diff: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Print the JSON Schema of what --json prints, and show nothing.
    #[arg(long, conflicts_with_all = ["json", "diff", "id", "workspace"])]
    json_schema: bool,
}

impl Show {
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        if self.json_schema {
            super::print(&changes_json::schema())?;
            return Ok(0);
        }
        let set = self.which.find()?;
        let diff = set.diff()?;
        if self.json {
            super::print(&changes_json::show(&set, &diff))?;
            return Ok(0);
        }
        super::print(&changes::show(&set, &diff))?;
        if self.diff {
            super::print(&text_diff::of(&set, &diff)?)?;
        }
        Ok(0)
    }
}
