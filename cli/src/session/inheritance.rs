//! What a session host finds of one that was killed: it tells what that one had, and ends what may be left.

use super::place::Place;
use super::remembered::{Remembered, RememberedCommand};
use crate::failure::Failure;
use cofferdam_kernel::session::CommandState;
use cofferdam_plane_kit::process_mark::ProcessMark;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// How long what a killed host had is given to end by itself, as it does: keepers and launchers end with their host.
const BY_ITSELF: Duration = Duration::from_secs(3);

/// Between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// What was found of a host that was killed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Inheritance {
    /// The dead host's process number; 0 where its file was damaged.
    pub(crate) host_pid: u32,
    /// What it had.
    pub(crate) commands: Vec<Found>,
    /// How many processes were still there after they should have ended, and were ended now.
    pub(crate) ended: usize,
}

/// A command of a host that was killed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Found {
    pub(crate) name: String,
    /// What it did when its host was killed.
    pub(crate) state: CommandState,
    /// Its process number, where it ran.
    pub(crate) pid: Option<u32>,
    pub(crate) exit_code: Option<i32>,
    pub(crate) exit_signal: Option<i32>,
}

/// Looks for what the host before has left; none where it closed its session. The caller holds the session's lock, so that host is dead.
pub(super) fn find(place: &Place) -> Result<Option<Inheritance>, Failure> {
    let Some(before) = Remembered::read(place)? else { return Ok(None) };
    let process = |command: &RememberedCommand| command.process.as_ref()?.parse::<ProcessMark>().ok();
    let processes: Vec<ProcessMark> = before.commands.iter().filter_map(process).collect();
    let begun = Instant::now();
    while begun.elapsed() < BY_ITSELF && processes.iter().any(ProcessMark::is_alive) {
        std::thread::sleep(LOOK);
    }
    let mut ended = 0;
    for process in &processes {
        ended += process.end().map_err(|error| {
            crate::failure::io(&format!("process {} of the host before cannot be ended", process.pid()), &error)
        })?;
    }
    let host_pid = before.host.parse().map_or(0, |mark: ProcessMark| mark.pid());
    let found = |command: RememberedCommand| Found {
        pid: process(&command).map(|mark| mark.pid()),
        name: command.name,
        state: command.state,
        exit_code: command.exit_code,
        exit_signal: command.exit_signal,
    };
    Ok(Some(Inheritance { host_pid, commands: before.commands.into_iter().map(found).collect(), ended }))
}

impl Inheritance {
    /// As a person reads it.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines =
            vec![format!("the host of this session before this one (process {}) was killed; it had:", self.host_pid)];
        for command in &self.commands {
            let what = match (command.state, command.pid, command.exit_code, command.exit_signal) {
                (CommandState::Running, Some(pid), ..) => format!("running as process {pid}, and ended with it"),
                (CommandState::Restarting, ..) => "about to be started again".to_owned(),
                (_, _, Some(code), _) => format!("ended with exit code {code}"),
                (_, _, _, Some(signal)) => format!("ended by signal {signal}"),
                _ => "not running".to_owned(),
            };
            lines.push(format!("  {}: {what}", command.name));
        }
        if self.ended > 0 {
            lines.push(format!("{} processes were still there, and were ended now", self.ended));
        }
        lines
    }
}
