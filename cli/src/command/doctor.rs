//! `cofferdam doctor`: what this machine can enforce, what is missing, and what mends it.

use crate::escape;
use crate::exit_code;
use crate::failure::Failure;
use clap::Args;
use cofferdam_bridge::descriptor::Preflight;
use cofferdam_bridge::execution::ExecutionBridge;
use cofferdam_kernel::policy::{Placeholders, Policy};
use cofferdam_sandbox_linux::LinuxPlane;
use std::collections::BTreeMap;

/// Tells what this machine can enforce, what is missing, and what mends it.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit code 0 when the policy `strict` can be enforced here, else 125.\n\nExample:\n  cofferdam doctor"
)]
pub(crate) struct Doctor {
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        let policy = Policy::strict().compile(&Placeholders::default(), &BTreeMap::new())?;
        let preflight = LinuxPlane::new()?.preflight(&policy.profile);
        let text = if self.json {
            format!("{}\n", serde_json::to_value(&preflight).unwrap_or_default())
        } else {
            sentences(&preflight)
        };
        super::print(&text)?;
        Ok(if preflight.accepted() { 0 } else { exit_code::REFUSED })
    }
}

fn name(value: impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| Some(value.as_str()?.replace('_', " "))).unwrap_or_default()
}

fn sentences(preflight: &Preflight) -> String {
    let mut text = format!("Isolation on this machine: {}\n", name(preflight.enforcement.tier));
    for report in &preflight.enforcement.mechanisms {
        let by = report.by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
        let why = report.why_not.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        let held = if report.held { "holds  " } else { "missing" };
        text.push_str(&format!("  {held} {}{}\n", name(report.mechanism), escape::sentences(&format!("{by}{why}"))));
    }
    for shortfall in &preflight.shortfalls {
        let weight = if shortfall.blocking { "A run is refused" } else { "A run goes on without" };
        text.push_str(&format!("{weight}: {}\n", escape::sentences(&shortfall.message)));
        if let Some(fix) = &shortfall.fix {
            text.push_str(&format!("  to mend it: {}\n", escape::sentences(fix)));
        }
    }
    text
}
