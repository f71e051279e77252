//! Limits that a process carries with it: rlimits (getrlimit(2)).

use crate::format::op;
use crate::plan::encode::Plan;
use cofferdam_bridge::limits::Limits;

/// Adds the rlimits for `limits` to `plan`. They are inherited and can only be lowered inside. `others`: tasks of the
/// user outside the run that count with it, which is so without a user namespace of its own.
pub(crate) fn build(plan: &mut Plan, limits: &Limits, others: u64) {
    let mut set = |name: &str, resource: u32, value: u64| {
        plan.add(op::RLIMIT, name).u32(resource).u64(value);
    };
    // A crash leaves no image of memory anywhere.
    set("core", libc::RLIMIT_CORE, 0);
    if let Some(processes) = limits.processes {
        // A hard stop above the limit, so that the supervisor sees the limit passed and can tell it. It does not bind root: there
        // a cgroup or the supervisor must.
        let own = processes.saturating_mul(2).saturating_add(BEFORE_A_LOOK);
        set("processes", libc::RLIMIT_NPROC, own.saturating_add(others));
    }
    if let Some(bytes) = limits.disk_bytes {
        set("disk", libc::RLIMIT_FSIZE, bytes);
    }
    if let Some(milliseconds) = limits.cpu_ms {
        // Per process, in whole seconds: a backstop beneath the sum that the supervisor watches.
        set("cpu", libc::RLIMIT_CPU, milliseconds.div_ceil(1000).saturating_add(1));
    }
    if let Some(bytes) = limits.memory_bytes {
        // A hard stop for each process, above the limit for the tree, so that the tree's limit is what strikes and is
        // told. Address space would be no measure: runtimes reserve far more than they use.
        set("memory", libc::RLIMIT_DATA, hard_stop(bytes).saturating_add(64 << 20));
    }
}

/// As many processes as a program starts before the supervisor looks for the first time.
const BEFORE_A_LOOK: u64 = 256;

/// Where one process is stopped for sure, given the limit for the tree; what it maps before it uses it comes on top.
pub(crate) fn hard_stop(bytes: u64) -> u64 {
    bytes.saturating_add(bytes / 4)
}

/// Adds the rlimit on descriptors, which comes after the last descriptor that the launcher sends: it bounds as well how many the user
/// has in flight when one is sent (unix(7), ETOOMANYREFS), and another run of the same user may have filled it as far as its own goes.
pub(crate) fn open_files(plan: &mut Plan, limits: &Limits) {
    if let Some(files) = limits.open_files {
        plan.add(op::RLIMIT, "open_files").u32(libc::RLIMIT_NOFILE).u64(files);
    }
}
