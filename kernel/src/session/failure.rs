//! Why a one-shot gave no value.

use crate::error::KernelError;
use cofferdam_bridge::error::BridgeError;
use std::fmt;
use thiserror::Error;

/// Bytes of standard error that a failure tells: the last 4 KiB.
const TOLD: usize = 4096;

/// What a guest said, for a person to read: nothing of it is to be believed, and it has no place in a log.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct GuestWords(String);

impl GuestWords {
    /// The last part of what it said. Bytes that are no UTF-8 are replaced.
    pub(super) fn last_of(bytes: &[u8]) -> Self {
        let tail = bytes.get(bytes.len().saturating_sub(TOLD)..).unwrap_or_default();
        Self(String::from_utf8_lossy(tail).trim().to_owned())
    }

    /// The words.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Tells only how much was said.
impl fmt::Debug for GuestWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GuestWords({} bytes)", self.0.len())
    }
}

/// A command that ran and failed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CommandFailure {
    /// Why, without anything that the guest said.
    pub error: BridgeError,
    /// Its exit code, where it ended by itself.
    pub exit_code: Option<i32>,
    /// The signal that ended it, where one did.
    pub signal: Option<i32>,
    /// The end of its standard error.
    pub stderr_tail: GuestWords,
}

/// Why a command gave no value.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RunError {
    /// It did not run.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// It ran and failed.
    #[error("{}", .0.error)]
    Failed(Box<CommandFailure>),
}

impl RunError {
    /// Code, category, sentence and details, without anything that the guest said.
    pub fn error(&self) -> &BridgeError {
        match self {
            Self::Kernel(error) => error.error(),
            Self::Failed(failure) => &failure.error,
        }
    }

    /// What is known of a command that ran.
    pub fn failure(&self) -> Option<&CommandFailure> {
        match self {
            Self::Kernel(_) => None,
            Self::Failed(failure) => Some(failure),
        }
    }
}

impl From<BridgeError> for RunError {
    fn from(error: BridgeError) -> Self {
        Self::Kernel(error.into())
    }
}
