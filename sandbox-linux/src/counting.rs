//! Which mechanism holds which limit of one execution, told in its result.

use crate::cgroup::{Cgroup, Reserved};
use crate::format::op;
use crate::launcher::Launcher;
use crate::plan::encode::Plan;
use cofferdam_bridge::enforcement::{Mechanism, MechanismReport};
use cofferdam_bridge::limits::Limits;

/// The cgroup of one execution, if there is one, and the account of what holds.
#[derive(Debug)]
pub(crate) struct Counting {
    cgroup: Option<Cgroup>,
}

impl Counting {
    /// Makes a cgroup where one may be made, at the place that was reserved if there is one.
    pub(crate) fn new(limits: &Limits, launcher: &Launcher, reserved: Option<Reserved>) -> Self {
        Self { cgroup: Cgroup::create(limits, launcher, reserved) }
    }

    /// `plan`, with joining the cgroup before everything else.
    pub(crate) fn joined(&self, plan: &Plan) -> Plan {
        let mut whole = Plan::default();
        for file in self.cgroup.iter().flat_map(Cgroup::joined_by_itself) {
            whole.add(op::WRITE_FILE, file.to_string_lossy()).text(file.as_os_str().as_encoded_bytes()).text("0");
        }
        whole.append(plan);
        whole
    }

    /// Puts the sandbox's first process under the cgroup's limits. One that cannot be joined counts nothing and is dropped.
    pub(crate) fn add(&mut self, pid: i32) {
        if self.cgroup.as_ref().is_some_and(|cgroup| cgroup.add(pid).is_err()) {
            self.cgroup = None;
        }
    }

    /// The cgroup, and a line for each limit of `limits`.
    pub(crate) fn into_parts(self, limits: &Limits) -> (Option<Cgroup>, Vec<MechanismReport>) {
        let memory = self.cgroup.as_ref().filter(|cgroup| cgroup.holds_memory()).map(|cgroup| cgroup.label("memory"));
        let processes =
            self.cgroup.as_ref().filter(|cgroup| cgroup.holds_processes()).map(|cgroup| cgroup.label("pids"));
        let poll = || "supervisor poll".to_owned();
        let held = [
            (limits.wall_ms, Mechanism::WallLimit, "supervisor".to_owned()),
            (limits.cpu_ms, Mechanism::CpuLimit, poll()),
            (
                limits.memory_bytes,
                Mechanism::MemoryLimit,
                memory.unwrap_or_else(|| "rlimit for each process, supervisor poll".to_owned()),
            ),
            (
                limits.processes,
                Mechanism::ProcessesLimit,
                processes.unwrap_or_else(|| "rlimit, supervisor poll".to_owned()),
            ),
            (limits.open_files, Mechanism::OpenFilesLimit, "rlimit".to_owned()),
            (limits.disk_bytes, Mechanism::DiskLimit, "rlimit for each file, size of private storage".to_owned()),
            (limits.stdout_bytes, Mechanism::OutputLimit, "supervisor".to_owned()),
        ];
        let reports = held.into_iter().filter(|(value, _, _)| value.is_some());
        let reports = reports.map(|(_, mechanism, by)| MechanismReport::held(mechanism).by(by)).collect();
        (self.cgroup, reports)
    }
}
