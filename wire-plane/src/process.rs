//! The process of a plane, and everything that it started.

use crate::complaints::Complaints;
use crate::plane_command::PlaneCommand;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_plane_kit::environment::Environment;
use cofferdam_plane_kit::keeper::{Keeper, Kept, KeptControl, ProgramPlan};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};

/// A plane's process under a keeper: when it ends, by itself or not, nothing that it started is left.
#[derive(Debug)]
pub(crate) struct PlaneProcess {
    control: KeptControl,
    kept: Mutex<Option<(Kept, Complaints)>>,
}

impl PlaneProcess {
    /// Starts it with one end of a socket as its standard input and output, and answers the other.
    pub(crate) fn start(command: &PlaneCommand) -> Result<(Self, UnixStream), BridgeError> {
        let (ours, its) = UnixStream::pair().map_err(|error| no_resources(&error))?;
        let mut arguments = vec![command.program.to_string_lossy().into_owned()];
        arguments.extend(command.arguments.iter().cloned());
        let plan = ProgramPlan {
            program: command.program.clone(),
            arguments,
            variables: Environment::set(command.environment.clone()).entries().collect(),
            directory: command.directory.clone(),
            terminal: false,
            limits: Vec::new(),
            held: None,
            output_wait: false,
            task_group: None,
        };
        let (said, saying) = io::pipe().map_err(|error| no_resources(&error))?;
        let complaints = Complaints::carry(said, command.listener()).map_err(|error| no_resources(&error))?;
        let kept = Keeper::new()?.start(&plan, [its.as_fd(), its.as_fd(), saying.as_fd()])?;
        let control = kept.control().map_err(|error| no_resources(&error))?;
        Ok((Self { control, kept: Mutex::new(Some((kept, complaints))) }, ours))
    }

    /// Ends it and everything that it started, and waits until that is so.
    pub(crate) fn end(&self) {
        self.control.kill();
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((kept, complaints)) = kept {
            kept.reap();
            complaints.end();
        }
    }
}

pub(crate) fn no_resources(error: &io::Error) -> BridgeError {
    BridgeError::new(
        ErrorCode::SpawnFailed,
        format!(
            "descriptors or threads for the plane's process could not be had: {error}; the host may be at its limit"
        ),
    )
    .with("errno", error.raw_os_error().unwrap_or(0))
    .retryable()
}
