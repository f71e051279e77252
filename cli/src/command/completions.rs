//! `cofferdam completions`: completions for a shell.

use crate::arguments::Arguments;
use crate::failure::Failure;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

/// Prints completions for a shell.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cofferdam completions bash > ~/.local/share/bash-completion/completions/cofferdam")]
pub(crate) struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "cofferdam", &mut text);
        super::print(&String::from_utf8_lossy(&text))?;
        Ok(0)
    }
}
