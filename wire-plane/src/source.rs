//! Where a plane's connection comes from.

use crate::plane_command::PlaneCommand;
use crate::process::PlaneProcess;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// A process that is started, or a socket.
#[derive(Debug)]
pub(crate) enum Source {
    Command(PlaneCommand),
    Socket(PathBuf),
    /// A connection that somebody made, for one time.
    Given(Mutex<Option<UnixStream>>),
}

impl Source {
    /// A new connection, with its process where it is ours.
    pub(crate) fn open(&self) -> Result<(UnixStream, Option<PlaneProcess>), BridgeError> {
        match self {
            Self::Command(command) => PlaneProcess::start(command).map(|(process, stream)| (stream, Some(process))),
            Self::Socket(path) => {
                let stream = UnixStream::connect(path).map_err(|error| {
                    let message =
                        format!("no plane listens on `{}`: {error}; start it, or name another", path.display());
                    BridgeError::new(ErrorCode::PlaneFault, message)
                        .with("path", path.display().to_string())
                        .retryable()
                })?;
                Ok((stream, None))
            }
            Self::Given(stream) => {
                let stream = stream.lock().unwrap_or_else(PoisonError::into_inner).take();
                let message = "the connection to the plane is over, and there is no way to make another";
                Ok((stream.ok_or_else(|| BridgeError::new(ErrorCode::PlaneFault, message))?, None))
            }
        }
    }
}
