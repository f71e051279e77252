//! The limits that the operating system holds for each process by itself.

use crate::keeper::ResourceLimit;
use cofferdam_bridge::limits::Limits;

/// What each process is given. `others`: tasks of the user outside the run, where their number holds the limit on processes.
pub fn of(limits: &Limits, others: Option<u64>) -> Vec<ResourceLimit> {
    // Whole seconds, rounded up: the supervisor adds up all processes and is exact, this stops one that is quicker.
    let cpu = limits.cpu_ms.map(|time| ResourceLimit::CpuSeconds(time.div_ceil(1000).max(1)));
    let files = limits.open_files.map(ResourceLimit::OpenFiles);
    let disk = limits.disk_bytes.map(ResourceLimit::FileBytes);
    // Above the limit for the whole tree, which the supervisor holds and tells: this stops one process that is quicker.
    let data = |bytes: u64| bytes.saturating_add(bytes / 4).saturating_add(64 << 20);
    let memory = limits.memory_bytes.map(|bytes| ResourceLimit::DataBytes(data(bytes)));
    // The user's tasks are counted together, so this lies above the limit, which the supervisor holds and tells: it stops a bomb that is
    // quicker than any look, before it has come to a few times the limit.
    let tasks = limits.processes.zip(others).map(|(most, others)| {
        ResourceLimit::UserTasks(most.saturating_mul(4).max(most.saturating_add(ELSEWHERE)).saturating_add(others))
    });
    [cpu, files, disk, memory, tasks].into_iter().flatten().collect()
}

/// As many tasks as the user may start elsewhere while a run with a low limit lasts.
const ELSEWHERE: u64 = 192;
