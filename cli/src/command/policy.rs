//! `cofferdam policy`: writes, checks, explains and shows policies, and their schema.

use super::policy_check::Check;
use super::policy_explain::Explain;
use super::policy_init::Init;
use super::policy_learn::Learn;
use super::policy_schema::Schema;
use super::policy_show::Show;
use crate::failure::Failure;
use clap::Subcommand;

/// Writes, checks, explains, learns and shows policies, and their schema.
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  cofferdam policy init && cofferdam policy check cofferdam.toml")]
pub(crate) enum PolicyCommand {
    Init(Init),
    Check(Check),
    Explain(Explain),
    Learn(Box<Learn>),
    Schema(Schema),
    Show(Show),
}

impl PolicyCommand {
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        match self {
            Self::Init(init) => init.execute(),
            Self::Check(check) => check.execute(),
            Self::Explain(explain) => explain.execute(),
            Self::Learn(learn) => learn.execute(),
            Self::Schema(schema) => schema.execute(),
            Self::Show(show) => show.execute(),
        }
    }
}
