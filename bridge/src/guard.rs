//! Figures by which a kernel says that there is no room for another run now.

/// What a machine tells of itself. Whatever cannot be told is absent, and then holds nothing up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MachineFigures {
    /// Processor time used by everybody since the last look, in percent of all processors.
    pub cpu_percent: Option<u64>,
    /// Memory in use that cannot be had back at once, in percent of what this process may have.
    pub memory_percent: Option<u64>,
    /// Time in the last ten seconds in which somebody waited for a processor, in percent.
    pub cpu_pressure_percent: Option<u64>,
    /// The same for memory.
    pub memory_pressure_percent: Option<u64>,
    /// The same for reading and writing.
    pub io_pressure_percent: Option<u64>,
    /// Children of this process that have ended and were not waited for.
    pub zombies: Option<u64>,
    /// Bytes that are free where the log is written.
    pub log_bytes_free: Option<u64>,
}

/// Tells the figures. Asked before each start, so it must be quick.
pub trait MachineSource: Send + Sync {
    /// The figures now.
    fn measure(&self) -> MachineFigures;
}
