//! The limits that the operating system holds for each process by itself.

use crate::keeper::ResourceLimit;
use cofferdam_bridge::limits::Limits;

/// What each process is given.
pub fn of(limits: &Limits) -> Vec<ResourceLimit> {
    // Whole seconds, rounded up: the supervisor adds up all processes and is exact, this stops one that is quicker.
    let cpu = limits.cpu_ms.map(|time| ResourceLimit::CpuSeconds(time.div_ceil(1000).max(1)));
    let files = limits.open_files.map(ResourceLimit::OpenFiles);
    let disk = limits.disk_bytes.map(ResourceLimit::FileBytes);
    // Above the limit for the whole tree, which the supervisor holds and tells: this stops one process that is quicker.
    let data = |bytes: u64| bytes.saturating_add(bytes / 4).saturating_add(64 << 20);
    let memory = limits.memory_bytes.map(|bytes| ResourceLimit::DataBytes(data(bytes)));
    [cpu, files, disk, memory].into_iter().flatten().collect()
}
