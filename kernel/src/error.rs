//! The kernel's errors.

use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::verdict::Denial;
use thiserror::Error;

/// Why the kernel did not do what it was asked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KernelError {
    /// The policy refused it.
    #[error("{error}")]
    Denied {
        /// What was refused, by which rule, and what would allow it.
        denial: Box<Denial>,
        /// The same as an error.
        error: BridgeError,
    },
    /// Anything else: the policy could not be read, the plane cannot enforce it, the start failed.
    #[error("{0}")]
    Failed(BridgeError),
}

impl KernelError {
    /// The stable code.
    pub fn code(&self) -> ErrorCode {
        self.error().code
    }

    /// The error as it crosses the bridge: code, category, sentence, details.
    pub fn error(&self) -> &BridgeError {
        match self {
            Self::Denied { error, .. } | Self::Failed(error) => error,
        }
    }

    /// The refusal, if it is one.
    pub fn denial(&self) -> Option<&Denial> {
        match self {
            Self::Denied { denial, .. } => Some(denial),
            Self::Failed(_) => None,
        }
    }
}

impl From<BridgeError> for KernelError {
    fn from(error: BridgeError) -> Self {
        match error.denial() {
            Some(denial) => Self::Denied { denial: Box::new(denial), error },
            None => Self::Failed(error),
        }
    }
}
