//! `cofferdam session`: commands that are declared in a file, run once or kept, by a process that owns them.

use super::session_open::{HostArguments, Open};
use super::session_verbs::{Attach, Close, Follow, List, Run, Schema, Start, Status, Stop, WaitReady, Write};
use crate::failure::Failure;
use clap::Subcommand;

/// Runs and keeps commands that a session file declares.
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Exit codes:\n  0    done\n  125  refused or failed\n  run and attach end with the command's own code\n\n\
    Example:\n  cofferdam session open app --file session.toml\n  cofferdam session start app web --wait\n  \
    cofferdam session run app test\n  cofferdam session close app"
)]
pub(crate) enum SessionCommand {
    Open(Open),
    List(List),
    Run(Run),
    Start(Start),
    Status(Status),
    Follow(Follow),
    Write(Write),
    Stop(Stop),
    WaitReady(WaitReady),
    Attach(Attach),
    Close(Close),
    Schema(Schema),
    /// Owns a session; started by `session open`.
    #[command(hide = true)]
    Host(HostArguments),
}

impl SessionCommand {
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        match self {
            Self::Open(open) => open.execute(),
            Self::List(list) => list.execute(),
            Self::Run(run) => run.execute(),
            Self::Start(start) => start.execute(),
            Self::Status(status) => status.execute(),
            Self::Follow(follow) => follow.execute(),
            Self::Write(write) => write.execute(),
            Self::Stop(stop) => stop.execute(),
            Self::WaitReady(wait) => wait.execute(),
            Self::Attach(attach) => attach.execute(),
            Self::Close(close) => close.execute(),
            Self::Schema(schema) => schema.execute(),
            Self::Host(host) => host.execute(),
        }
    }
}
