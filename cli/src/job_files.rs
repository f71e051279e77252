//! Jobs of actions on disk: a file for each session, a line for each job.

use crate::failure::{Failure, io};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_kernel::action::{JobKeeper, JobRecord, StartedJob};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The jobs of one session.
#[derive(Debug)]
pub(crate) struct JobFile {
    path: PathBuf,
}

impl JobFile {
    /// The file of the session `name`, in the user's state folder. Makes nothing.
    pub(crate) fn of_session(name: &str) -> Result<Self, Failure> {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
        if name.is_empty() || name.len() > 64 || name.starts_with('.') || !name.chars().all(plain) {
            let sentence = "a session's name is of letters, digits, `-`, `_` and `.`, at most 64 of them, and does not begin with `.`";
            return Err(Failure::new(ErrorCode::RequestInvalid, sentence));
        }
        let given = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let usual = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".local/state"));
        let state = given.or_else(usual).filter(|path| path.is_absolute()).ok_or_else(|| {
            Failure::new(ErrorCode::RequestInvalid, "neither XDG_STATE_HOME nor HOME says where sessions are kept")
        })?;
        Ok(Self { path: state.join("cofferdam/jobs").join(format!("{name}.jsonl")) })
    }

    /// The jobs so far, the oldest first. A line that a crash cut is left out.
    pub(crate) fn jobs(&self) -> Result<Vec<JobRecord>, Failure> {
        let text = match std::fs::read_to_string(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Failure::new(ErrorCode::NotFound, "there is no session of that name with jobs"));
            }
            text => text.map_err(|error| io("the session's jobs cannot be read", &error))?,
        };
        Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }

    fn open(&self) -> std::io::Result<File> {
        if let Some(folder) = self.path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)
    }

    fn failed(&self, error: &std::io::Error) -> BridgeError {
        let message = format!("the job cannot be kept in `{}`: {error}", self.path.display());
        BridgeError::new(ErrorCode::IoFailed, message)
    }
}

impl JobKeeper for JobFile {
    fn started(&self, _: &StartedJob) -> Result<(), BridgeError> {
        // Found out before anything runs: a job that could not be kept is not begun.
        self.open().map(drop).map_err(|error| self.failed(&error))
    }

    fn ended(&self, record: &JobRecord) -> Result<(), BridgeError> {
        // Texts and numbers always have a JSON form. The line goes out in one write, so that jobs at the same time do not mix.
        let mut line = serde_json::to_string(record).unwrap_or_default();
        line.push('\n');
        let written = self.open().and_then(|mut file| file.write_all(line.as_bytes()));
        written.map_err(|error| self.failed(&error))
    }
}
