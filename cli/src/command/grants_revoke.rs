//! `cofferdam grants revoke`.

use crate::escape;
use crate::failure::Failure;
use clap::Args;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::ids::GrantId;
use cofferdam_bridge::prompt::GrantStore;
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
        let ids = match self.all {
            true => store.grants()?.into_iter().map(|grant| grant.id).collect(),
            false => self.ids.iter().map(GrantId::new).collect::<Vec<_>>(),
        };
        let mut missing = Vec::new();
        for id in ids {
            if store.revoke(&id)? {
                super::print(&format!("Revoked {}\n", escape::shown(id.as_str())))?;
            } else if !self.all {
                missing.push(escape::shown(id.as_str()));
            }
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
