//! What processes that belong together use now.

/// Sums over all that count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TreeUsage {
    /// Processes and threads.
    pub tasks: u64,
    /// Resident memory that no file of a disk backs, in bytes: private, shared, and files in memory. What processes share since one
    /// forked the other counts for each of them: see [`ProcessTree::look_within`](crate::process_tree::ProcessTree::look_within).
    pub memory_bytes: u64,
    /// Processor time of living and ended processes, in milliseconds.
    pub cpu_ms: u64,
    /// Open descriptors of the process that has most.
    pub most_open_files: u64,
}
