//! `cofferdam doctor`: what this machine can enforce, what is missing, who refuses it, and what mends it.

use crate::failure::Failure;
use crate::report::doctor_run::TrialRun;
use crate::report::{doctor, doctor_json};
use clap::Args;
use cofferdam_bridge::enforcement::Tier;
use cofferdam_sandbox_linux::doctor::examine;

/// Tells what this machine can enforce, what is missing, who refuses it, and what mends it.
///
/// Every primitive that sandboxes are built from is tried, and at last a whole run. That takes some
/// milliseconds, needs no rights, and leaves nothing behind.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes:\n  0  the tier is `full`\n  1  it is not\n\nExamples:\n  cofferdam doctor\n  \
                        cofferdam doctor --json | jq '.primitives[] | select(.works | not)'")]
pub(crate) struct Doctor {
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Print the JSON Schema of what --json prints, and examine nothing.
    #[arg(long, conflicts_with = "json")]
    json_schema: bool,
}

impl Doctor {
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        if self.json_schema {
            super::print(&doctor_json::schema())?;
            return Ok(0);
        }
        let examination = examine();
        let trial = TrialRun::new(&examination);
        let tier = trial.tier(&examination);
        let text = if self.json {
            doctor_json::line(tier, &examination, &trial)
        } else {
            doctor::text(tier, &examination, &trial)
        };
        super::print(&text)?;
        Ok(u8::from(tier != Tier::Full))
    }
}
