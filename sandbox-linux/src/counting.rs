//! Which mechanism holds which limit of one execution, told in its result.

use crate::cgroup::{Cgroup, Cgroups};
use crate::launcher::Launcher;
use crate::start::send_plan;
use cofferdam_bridge::enforcement::{Mechanism, MechanismReport, Tier};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::limits::Limits;
use std::os::fd::{AsFd, BorrowedFd};

/// The cgroup of one execution, if there is one, and the account of what holds.
#[derive(Debug)]
pub(crate) struct Counting {
    cgroup: Option<Cgroup>,
}

impl Counting {
    /// Makes a cgroup where one may be made, and lets the launcher at `control` join it: its plan waits for that.
    pub(crate) fn begin(
        cgroups: &Cgroups,
        limits: &Limits,
        launcher: &Launcher,
        control: BorrowedFd<'_>,
    ) -> Result<Self, BridgeError> {
        let mut cgroup = cgroups.take(limits, launcher);
        let entrances = cgroup.as_ref().and_then(|cgroup| cgroup.entrances().ok()).unwrap_or_default();
        if entrances.is_empty() {
            cgroup = None;
        }
        let descriptors: Vec<BorrowedFd<'_>> = entrances.iter().map(AsFd::as_fd).collect();
        send_plan(control, b"j", &descriptors)?;
        Ok(Self { cgroup })
    }

    /// Nothing counts.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self { cgroup: None }
    }

    /// The cgroup, and a line for each limit of `limits`. `apart`: what is written to the workspace is kept apart.
    pub(crate) fn into_parts(self, limits: &Limits, tier: Tier, apart: bool) -> (Option<Cgroup>, Vec<MechanismReport>) {
        let memory = self.cgroup.as_ref().filter(|cgroup| cgroup.holds_memory()).map(|cgroup| cgroup.label("memory"));
        let processes =
            self.cgroup.as_ref().filter(|cgroup| cgroup.holds_processes()).map(|cgroup| cgroup.label("pids"));
        let full = tier == Tier::Full;
        let poll = || "supervisor poll".to_owned();
        let held = [
            (limits.wall_ms, Mechanism::WallLimit, "supervisor".to_owned()),
            (limits.cpu_ms, Mechanism::CpuLimit, poll()),
            (
                limits.memory_bytes,
                Mechanism::MemoryLimit,
                memory.unwrap_or_else(|| {
                    "rlimit for each process, supervisor poll; not what buffers of sockets hold".to_owned()
                }),
            ),
            (
                limits.processes,
                Mechanism::ProcessesLimit,
                processes.unwrap_or_else(|| "rlimit, supervisor poll".to_owned()),
            ),
            (limits.open_files, Mechanism::OpenFilesLimit, "rlimit".to_owned()),
            (
                limits.disk_bytes,
                Mechanism::DiskLimit,
                match (full, apart) {
                    (_, true) => "rlimit for each file, size of private storage, supervisor poll of the changes",
                    (true, false) => "rlimit for each file, size of private storage, supervisor poll",
                    (false, false) => "rlimit for each file, supervisor poll",
                }
                .to_owned(),
            ),
            (limits.stdout_bytes, Mechanism::OutputLimit, "supervisor".to_owned()),
        ];
        let reports = held.into_iter().filter(|(value, _, _)| value.is_some());
        let reports = reports.map(|(_, mechanism, by)| MechanismReport::held(mechanism).by(by)).collect();
        (self.cgroup, reports)
    }
}
