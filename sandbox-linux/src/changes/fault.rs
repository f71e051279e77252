//! Faults of change sets: a code, what happened, and what to do next.

use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use nix::errno::Errno;
use std::path::Path;

/// Something could not be done with a file.
pub(crate) fn io(doing: &str, path: &Path, errno: Errno) -> BridgeError {
    BridgeError::new(ErrorCode::IoFailed, format!("{doing} `{}`: {}", path.display(), errno.desc()))
        .with("path", path.to_string_lossy().into_owned())
        .with("errno", errno as i32)
}

/// Changes cannot be kept in a place.
pub(crate) fn unsuitable(why: impl Into<String>) -> BridgeError {
    BridgeError::new(ErrorCode::ChangesStoreUnsuitable, why)
}

/// There is no such change set.
pub(crate) fn unknown(id: &str) -> BridgeError {
    let message = format!("there is no change set `{id}`; `cofferdam changes list` lists those there are");
    BridgeError::new(ErrorCode::ChangesNotFound, message).with("id", id)
}

/// A run, or another command, works on it.
pub(crate) fn in_use(id: &str) -> BridgeError {
    let message = format!("the change set `{id}` is in use by a run or another command; try again when that has ended");
    BridgeError::new(ErrorCode::ChangesInUse, message).with("id", id).retryable()
}

/// What is on disk is not what was written there.
pub(crate) fn damaged(what: &str, path: &Path) -> BridgeError {
    let message = format!(
        "the change set cannot be used: {what} at `{}`; look at its files by hand, then discard it",
        path.display()
    );
    BridgeError::new(ErrorCode::ChangesDamaged, message).with("path", path.to_string_lossy().into_owned())
}
