//! What a session host writes down about what it has, so that the next can tell and end what a killed one left.

use super::place::Place;
use crate::failure::{Failure, io};
use cofferdam_kernel::session::{CommandState, CommandStatus};
use cofferdam_plane_kit::process_mark::ProcessMark;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;

/// Longest file that is read.
const LONGEST: u64 = 4 << 20;

/// What a host has. Neither lines nor arguments, values or output.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Remembered {
    version: u32,
    /// The host's own process.
    pub(super) host: String,
    /// Its persistent commands.
    pub(super) commands: Vec<RememberedCommand>,
}

/// A persistent command of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RememberedCommand {
    pub(super) name: String,
    pub(super) state: CommandState,
    /// Its first process, while it runs.
    pub(super) process: Option<String>,
    pub(super) exit_code: Option<i32>,
    pub(super) exit_signal: Option<i32>,
}

impl Remembered {
    /// What this process has.
    pub(super) fn now(statuses: &[CommandStatus]) -> Self {
        let mark = |pid: u32| ProcessMark::of(pid).map(|mark| mark.to_string());
        let command = |status: &CommandStatus| RememberedCommand {
            name: status.name.clone(),
            state: status.state,
            process: status.pid.and_then(mark),
            exit_code: status.exit_code,
            exit_signal: status.exit_signal,
        };
        let host = mark(std::process::id()).unwrap_or_default();
        Self { version: 1, host, commands: statuses.iter().map(command).collect() }
    }

    /// Writes it beside its place, then puts it there: whoever reads finds all of the old or all of the new.
    pub(super) fn write(&self, place: &Place) -> Result<(), Failure> {
        let path = place.state_file();
        let aside = path.with_extension("json.new");
        let written = || -> std::io::Result<()> {
            let mut how = OpenOptions::new();
            let how = how.write(true).create(true).truncate(true).mode(0o600).custom_flags(nix::libc::O_NOFOLLOW);
            let mut file = how.open(&aside)?;
            file.write_all(&serde_json::to_vec(self)?)?;
            std::fs::rename(&aside, &path)
        };
        written().map_err(|error| io("what the session has cannot be written down", &error))
    }

    /// What the host before has left, unless it closed its session.
    pub(super) fn read(place: &Place) -> Result<Option<Self>, Failure> {
        let mut how = OpenOptions::new();
        let opened = how.read(true).custom_flags(nix::libc::O_NOFOLLOW).open(place.state_file());
        let read = |file: File| {
            let mut text = String::new();
            file.take(LONGEST).read_to_string(&mut text).map(|_| text)
        };
        match opened.and_then(read) {
            Ok(text) => Ok(Some(serde_json::from_str(&text).unwrap_or_default())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io("what the host of this session before has left cannot be read", &error)),
        }
    }

    /// The session was closed: there is nothing to remember.
    pub(super) fn forget(place: &Place) {
        // What cannot be removed tells the next host of processes that are gone, which it finds out.
        let _ = std::fs::remove_file(place.state_file());
    }
}
