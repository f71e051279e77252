//! Why a run ended.

use crate::error::BridgeError;
use crate::error_code::ErrorCode;
use crate::limits::LimitName;
use crate::verdict::Denial;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a run ended. Read from the operating system's own evidence, never from text or exit codes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "cause")]
#[non_exhaustive]
pub enum ExitCause {
    /// The program ended by itself.
    Exited {
        /// Its exit code.
        code: i32,
    },
    /// A signal ended the program.
    Signalled {
        /// The signal's number.
        signal: i32,
        /// Whether the kernel dumped core.
        core_dumped: bool,
    },
    /// The host ended it (kill, dropped handle, forgotten VM).
    Killed,
    /// The wall-clock limit passed.
    TimedOut {
        /// The limit, in milliseconds.
        limit_ms: u64,
    },
    /// Another limit ended it.
    Limit {
        /// Which.
        limit: LimitName,
        /// The limit's value, in the unit of [`LimitName`].
        value: u64,
        /// What was observed when it struck.
        observed: u64,
        /// The mechanism that held it, such as `cgroup v1 memory` or `rlimit`.
        held_by: String,
    },
    /// The policy refused it before it ran.
    RefusedByPolicy {
        /// The refusal.
        denial: Box<Denial>,
    },
    /// The plane failed.
    PlaneFault {
        /// How.
        error: BridgeError,
    },
}

impl ExitCause {
    /// The code that stands for this cause in results; `None` when the program ended by itself or by a signal.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Exited { .. } | Self::Signalled { .. } => None,
            Self::Killed => Some(ErrorCode::Cancelled),
            Self::TimedOut { .. } => Some(ErrorCode::WallTimeExceeded),
            Self::RefusedByPolicy { .. } => Some(ErrorCode::DeniedByPolicy),
            Self::PlaneFault { error } => Some(error.code),
            Self::Limit { limit, .. } => Some(match limit {
                LimitName::Wall => ErrorCode::WallTimeExceeded,
                LimitName::Cpu => ErrorCode::CpuLimitExceeded,
                LimitName::Memory => ErrorCode::MemoryLimitExceeded,
                LimitName::Processes => ErrorCode::ProcessesLimitExceeded,
                LimitName::OpenFiles => ErrorCode::OpenFilesLimitExceeded,
                LimitName::Disk => ErrorCode::DiskLimitExceeded,
                LimitName::Stdin => ErrorCode::InputLimitExceeded,
                LimitName::Stdout | LimitName::Stderr => ErrorCode::OutputLimitExceeded,
            }),
        }
    }

    /// Whether the program ended by itself with code 0.
    pub fn success(&self) -> bool {
        matches!(self, Self::Exited { code: 0 })
    }
}
