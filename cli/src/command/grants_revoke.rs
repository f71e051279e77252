//! `cofferdam grants revoke`.

use crate::audit_log::{self, Recording};
use crate::escape;
use crate::failure::Failure;
use crate::report::human;
use clap::Args;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::ids::GrantId;
use cofferdam_bridge::prompt::{Grant, GrantStore};
use cofferdam_kernel::audit::{About, Durability, Event, Revoked};
use cofferdam_plane_kit::host::HostGrants;

/// Revokes grants. Whatever runs is asked about again from then on.
#[derive(Debug, Args)]
pub(crate) struct Revoke {
    /// The grants, as `cofferdam grants list` names them.
    #[arg(required_unless_present = "all", value_name = "ID")]
    ids: Vec<String>,
    /// All of them.
    #[arg(long, conflicts_with = "ids")]
    all: bool,
}

impl Revoke {
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        let store = HostGrants::of_user()?;
        let known = store.grants()?;
        let ids = match self.all {
            true => known.iter().map(|grant| grant.id.clone()).collect(),
            false => self.ids.iter().map(GrantId::new).collect::<Vec<_>>(),
        };
        let (mut missing, mut revoked) = (Vec::new(), Vec::new());
        for id in ids {
            if store.revoke(&id)? {
                revoked.extend(known.iter().find(|grant| grant.id == id));
                super::print(&format!("Revoked {}\n", escape::shown(id.as_str())))?;
            } else if !self.all {
                missing.push(escape::shown(id.as_str()));
            }
        }
        if let Err(failure) = record(&revoked) {
            human::warn(&format!("revoked, which could not be recorded: {}", failure.error().message));
        }
        match missing.is_empty() {
            true => Ok(0),
            false => {
                let sentence = format!("there is no grant {}", missing.join(", "));
                Err(Failure::new(ErrorCode::NotFound, sentence).hint("cofferdam grants list"))
            }
        }
    }
}

/// Has it in the audit log that they hold no more. They do not, whether or not that can be recorded.
fn record(revoked: &[&Grant]) -> Result<(), Failure> {
    if revoked.is_empty() {
        return Ok(());
    }
    if let Some(recorder) = audit_log::recorder(Recording::Usual)? {
        for grant in revoked {
            let event = Event::Revoked(Box::new(Revoked::by_hand(grant)));
            recorder.record(About::kernel(), event, Durability::Written).wait()?;
        }
    }
    Ok(())
}
