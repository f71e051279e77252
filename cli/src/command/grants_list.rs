//! `cofferdam grants list`.

use crate::escape;
use crate::failure::Failure;
use clap::Args;
use cofferdam_bridge::prompt::{Grant, GrantStore};
use cofferdam_plane_kit::host::HostGrants;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Lists the grants that hold.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Print a JSON array, an object for each grant.
    #[arg(long)]
    json: bool,
}

impl List {
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        let grants = HostGrants::of_user()?.grants()?;
        let text = if self.json {
            // Grants always have a JSON form.
            format!("{}\n", escape::json(&serde_json::to_string_pretty(&grants).unwrap_or_default()))
        } else if grants.is_empty() {
            "No grants hold: nothing was answered with `always`.\n".to_owned()
        } else {
            grants.iter().map(line).collect()
        };
        super::print(&text)?;
        Ok(0)
    }
}

fn line(grant: &Grant) -> String {
    let path = |text: &str| escape::path(Path::new(text));
    let place = grant.workspace.as_deref().map_or_else(|| "no workspace".to_owned(), path);
    let end = match grant.expires_at {
        Some(end) => format!("for {} s more", end.saturating_sub(now())),
        None => "until revoked".to_owned(),
    };
    format!(
        "{}  {}  {}  in {place}, {end}\n",
        escape::shown(grant.id.as_str()),
        grant.access.as_str(),
        path(&grant.subject)
    )
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
