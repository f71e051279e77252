//! What a run used.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Resources a run used, as far as the plane could measure them. `None`: not measured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[non_exhaustive]
pub struct Usage {
    /// From start to end, in microseconds.
    pub wall_us: u64,
    /// Processor time in user mode, all processes, in microseconds.
    pub user_us: Option<u64>,
    /// Processor time in the kernel, all processes, in microseconds.
    pub system_us: Option<u64>,
    /// Peak resident memory in bytes: of the whole tree where a cgroup tells, else of its largest process.
    pub peak_memory_bytes: Option<u64>,
    /// Bytes that the run's processes read, from files, pipes and sockets alike (`rchar` of proc_pid_io(5)).
    pub read_bytes: Option<u64>,
    /// Bytes that they wrote (`wchar`).
    pub written_bytes: Option<u64>,
    /// Processes and threads that were started, the first one included.
    pub tasks: Option<u64>,
    /// Bytes handed out on standard output.
    pub stdout_bytes: u64,
    /// Bytes handed out on standard error.
    pub stderr_bytes: u64,
}
