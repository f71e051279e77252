//! `cofferdam action show`.

use super::action::actions;
use crate::failure::Failure;
use clap::Args;
use cofferdam_bridge::error_code::ErrorCode;

/// Shows an action: what it does, and the JSON Schemas of its arguments and its output.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cofferdam action show file_read | jq .arguments.properties")]
pub(crate) struct Show {
    /// Its name.
    name: String,
}

impl Show {
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        let described = actions()?.describe(&self.name).ok_or_else(|| {
            Failure::new(ErrorCode::UnknownAction, "there is no action of that name").hint("cofferdam action list")
        })?;
        super::print(&format!("{}\n", serde_json::to_string_pretty(&described).unwrap_or_default()))?;
        Ok(0)
    }
}
