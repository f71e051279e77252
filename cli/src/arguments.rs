//! The command line.

use crate::command::completions::Completions;
use crate::command::doctor::Doctor;
use crate::command::policy::PolicyCommand;
use crate::command::run::Run;
use clap::{Parser, Subcommand};

/// Runs programs that you do not trust, under one policy.
#[derive(Debug, Parser)]
#[command(name = "cofferdam", version, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Commands,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Commands {
    Run(Box<Run>),
    Doctor(Doctor),
    #[command(subcommand)]
    Policy(PolicyCommand),
    Completions(Completions),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
