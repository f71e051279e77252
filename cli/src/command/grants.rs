//! `cofferdam grants`: what the host said yes to for always.

use super::grants_list::List;
use super::grants_revoke::Revoke;
use crate::failure::Failure;
use clap::Subcommand;

/// Shows or revokes answers that are remembered for always.
///
/// A policy's `[prompt]` section says what is asked. An answer `always` is kept as a grant: on the path, program or host that was
/// asked about, for the workspace that it was given for. Revoking acts at once, also on what runs.
#[derive(Debug, Subcommand)]
#[command(after_help = "Exit codes:\n  0    done\n  125  refused or failed\n\n\
    Example:\n  cofferdam grants list\n  cofferdam grants revoke g-0123456789abcdef")]
pub(crate) enum GrantsCommand {
    List(List),
    Revoke(Revoke),
}

impl GrantsCommand {
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        match self {
            Self::List(list) => list.execute(),
            Self::Revoke(revoke) => revoke.execute(),
        }
    }
}
