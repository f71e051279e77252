//! `cofferdam policy schema`: the JSON Schema of policies.

use crate::failure::Failure;
use clap::Args;

/// Prints the JSON Schema of policies, by which editors help to write them.
#[derive(Debug, Args)]
#[command(after_help = "Example, for editors that read TOML schemas:\n  \
    cofferdam policy schema > cofferdam.schema.json\n  \
    and as the policy's first line: #:schema ./cofferdam.schema.json")]
pub(crate) struct Schema {}

impl Schema {
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        super::print(&format!("{:#}\n", cofferdam_kernel::policy::schema()))?;
        Ok(0)
    }
}
