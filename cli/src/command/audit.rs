//! `cofferdam audit`: shows, follows, asks and verifies the audit log.

use super::audit_follow::Follow;
use super::audit_key::Key;
use super::audit_query::Query;
use super::audit_schema::Schema;
use super::audit_show::Show;
use super::audit_verify::Verify;
use crate::audit_log;
use crate::failure::Failure;
use clap::{Args, Subcommand};
use cofferdam_plane_kit::host::HostAudit;
use std::path::PathBuf;

/// Shows, follows, asks or verifies the log of what was run, decided and refused.
#[derive(Debug, Subcommand)]
#[command(after_help = concat_help())]
pub(crate) enum AuditCommand {
    Show(Show),
    Follow(Follow),
    Query(Query),
    Verify(Verify),
    Key(Key),
    Schema(Schema),
}

fn concat_help() -> String {
    format!(
        "{}\n\nExamples:\n  cofferdam audit show --last 5\n  cofferdam audit query --verdict deny --since 2026-01-31\n  \
         cofferdam audit verify && echo whole",
        audit_log::HELP
    )
}

impl AuditCommand {
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        match self {
            Self::Show(show) => show.execute(),
            Self::Follow(follow) => follow.execute(),
            Self::Query(query) => query.execute(),
            Self::Verify(verify) => verify.execute(),
            Self::Key(key) => key.execute(),
            Self::Schema(schema) => schema.execute(),
        }
    }
}

/// Which log is read.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// The directory of the log; the one that is written to unless given.
    #[arg(long, value_name = "DIR")]
    log: Option<PathBuf>,
}

impl Which {
    /// Opens it for reading.
    pub(crate) fn open(&self) -> Result<HostAudit, Failure> {
        audit_log::reading(self.log.as_deref())
    }
}
