//! The command line.

use crate::command::action::ActionCommand;
use crate::command::audit::AuditCommand;
#[cfg(target_os = "linux")]
use crate::command::changes::ChangesCommand;
use crate::command::completions::Completions;
use crate::command::conformance::Conformance;
use crate::command::doctor::Doctor;
use crate::command::exec::Exec;
use crate::command::grants::GrantsCommand;
use crate::command::plane::PlaneCommand;
use crate::command::policy::PolicyCommand;
use crate::command::run::Run;
use crate::command::session::SessionCommand;
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
    Exec(Exec),
    #[command(subcommand)]
    Action(ActionCommand),
    #[cfg(target_os = "linux")]
    #[command(subcommand)]
    Changes(ChangesCommand),
    #[command(subcommand)]
    Session(SessionCommand),
    #[command(subcommand)]
    Audit(AuditCommand),
    Doctor(Doctor),
    #[command(subcommand)]
    Grants(GrantsCommand),
    #[command(subcommand)]
    Policy(PolicyCommand),
    #[command(subcommand)]
    Plane(PlaneCommand),
    Conformance(Conformance),
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

    /// The help of a command and of those beneath it, as a terminal of a hundred columns shows it.
    fn help(command: &clap::Command, path: &str, text: &mut String) {
        let path = format!("{path} {}", command.get_name());
        text.push_str(&format!("\n# {}\n{}\n", path.trim(), command.clone().term_width(100).render_long_help()));
        for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
            help(inner, &path, text);
        }
    }

    #[test]
    fn what_the_help_says() {
        let mut command = Arguments::command();
        command.build();
        let mut text = String::new();
        help(&command, "", &mut text);
        insta::assert_snapshot!(text);
    }
}
