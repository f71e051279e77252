//! What is told where there is no keeper for a program, on every system.

use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use std::io;

pub(crate) fn not_spawned(error: &io::Error) -> BridgeError {
    let message = format!("no process could be had: {error}; the host may be at its limit of processes or descriptors");
    BridgeError::new(ErrorCode::SpawnFailed, message).with("errno", error.raw_os_error().unwrap_or(0)).retryable()
}
