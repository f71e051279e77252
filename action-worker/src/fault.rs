//! Errors of the operating system as errors that cross the bridge.

use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use std::io::{Error, ErrorKind};

/// `error`, which came of `doing` something to `path`, as the caller named it.
pub(crate) fn of(doing: &str, path: &str, error: &Error) -> BridgeError {
    let (code, why) = match error.kind() {
        ErrorKind::NotFound => (ErrorCode::NotFound, "there is nothing of that name that can be seen from inside"),
        ErrorKind::AlreadyExists => (ErrorCode::AlreadyExists, "something of that name is there already"),
        ErrorKind::NotADirectory => (ErrorCode::NotADirectory, "a directory is needed there"),
        ErrorKind::IsADirectory => (ErrorCode::IsADirectory, "it is a directory"),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            (ErrorCode::IoFailed, "neither the policy nor the file's own permissions may stand in the way")
        }
        ErrorKind::ResourceBusy => {
            (ErrorCode::IoFailed, "the policy shows this one file and not its directory; ask for `in_place`")
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            (ErrorCode::DiskLimitExceeded, "there is no more room; `limits.disk` of the policy may set the limit")
        }
        _ => (ErrorCode::IoFailed, "the operating system refused it"),
    };
    let number = error.raw_os_error().unwrap_or(0);
    BridgeError::new(code, format!("{doing} `{path}` failed ({}): {why}", error.kind()))
        .with("path", path)
        .with("errno", number)
}

/// Something that was asked for and cannot be.
pub(crate) fn invalid(message: impl Into<String>) -> BridgeError {
    BridgeError::new(ErrorCode::RequestInvalid, message)
}
