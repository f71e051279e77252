//! How much one run may use.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The limits of one run. `None` means that the policy sets none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[non_exhaustive]
pub struct Limits {
    /// Wall-clock time, in milliseconds.
    pub wall_ms: Option<u64>,
    /// Processor time (user and system, all processes together), in milliseconds.
    pub cpu_ms: Option<u64>,
    /// Memory of all processes together, in bytes.
    pub memory_bytes: Option<u64>,
    /// Processes and threads alive at one time.
    pub processes: Option<u64>,
    /// Open descriptors of one process.
    pub open_files: Option<u64>,
    /// Bytes that the run may write to disk and to private temporary folders; no file may be longer.
    pub disk_bytes: Option<u64>,
    /// Bytes of standard input.
    pub stdin_bytes: Option<u64>,
    /// Bytes of standard output that are captured.
    pub stdout_bytes: Option<u64>,
    /// Bytes of standard error that are captured.
    pub stderr_bytes: Option<u64>,
}

/// The name of a limit, as it stands in results and errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LimitName {
    /// Wall-clock time (milliseconds).
    Wall,
    /// Processor time (milliseconds).
    Cpu,
    /// Memory (bytes).
    Memory,
    /// Processes and threads (count).
    Processes,
    /// Open files (count).
    OpenFiles,
    /// Bytes on disk.
    Disk,
    /// Standard input (bytes).
    Stdin,
    /// Standard output (bytes).
    Stdout,
    /// Standard error (bytes).
    Stderr,
}
