//! Holds the limits of one execution that no rlimit holds for a whole tree, and says which one ended it.
//!
//! Where there is a cgroup, the kernel counts and its counters are the evidence. Elsewhere the supervisor looks
//! from time to time, more often the nearer a limit is.

use crate::account::Account;
use crate::cgroup::Cgroup;
use crate::changes::DiskUse;
use crate::disk_watch::DiskWatch;
use crate::plan::limits::hard_stop;
use crate::processes_seen::ProcessesSeen;
use crate::tree_usage::{TreeProbe, TreeUsage};
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_bridge::limits::{LimitName, Limits};
use cofferdam_bridge::own_process::OwnProcess;
use std::time::{Duration, Instant};

/// Shortest and longest time between two looks.
const OFTEN: Duration = Duration::from_millis(8);
const SELDOM: Duration = Duration::from_millis(128);

/// A limit that was passed.
#[derive(Debug)]
pub(crate) struct Struck {
    limit: LimitName,
    value: u64,
    observed: u64,
    held_by: String,
}

impl Struck {
    /// The cause it is reported as.
    pub(crate) fn into_cause(self) -> ExitCause {
        if self.limit == LimitName::Wall {
            return ExitCause::TimedOut { limit_ms: self.value };
        }
        let Self { limit, value, observed, held_by } = self;
        ExitCause::Limit { limit, value, observed, held_by }
    }
}

/// The watch over one execution.
#[derive(Debug)]
pub(crate) struct LimitWatch {
    limits: Limits,
    cgroup: Option<Cgroup>,
    probe: Option<TreeProbe>,
    seen: ProcessesSeen,
    disk: DiskWatch,
    started: Instant,
    next: Option<Instant>,
    pause: Duration,
    peak: u64,
    /// What the run writes to a layer of its own, where changes are kept apart and the policy bounds what is written.
    layer: Option<DiskUse>,
}

impl LimitWatch {
    /// Watches `limits` by `cgroup` where it counts, else by `probe`.
    pub(crate) fn new(
        limits: Limits,
        cgroup: Option<Cgroup>,
        probe: Option<TreeProbe>,
        disk: DiskWatch,
        layer: Option<DiskUse>,
        started: Instant,
    ) -> Self {
        let layer = layer.filter(|_| limits.disk_bytes.is_some());
        let looks = limits.cpu_ms.is_some()
            || limits.open_files.is_some()
            || limits.memory_bytes.is_some()
            || limits.processes.is_some()
            || disk.watches();
        let next = looks.then_some(started + OFTEN);
        let seen = ProcessesSeen::new(started);
        Self { limits, cgroup, probe, seen, disk, layer, started, next, pause: OFTEN, peak: 0 }
    }

    /// How long nothing needs to be looked at; `None`: for ever.
    pub(crate) fn next_look(&self, now: Instant) -> Option<Duration> {
        let wall = self.deadline();
        let layer = self.layer.as_ref().map(DiskUse::next);
        let seen = self.probe.as_ref().map(|_| self.seen.next());
        [self.next, wall, layer, seen].into_iter().flatten().min().map(|next| next.saturating_duration_since(now))
    }

    fn deadline(&self) -> Option<Instant> {
        self.started.checked_add(Duration::from_millis(self.limits.wall_ms?))
    }

    /// The largest memory seen for the whole tree.
    pub(crate) fn peak_memory(&self) -> Option<u64> {
        let counted = self.cgroup.as_ref().and_then(Cgroup::peak_memory);
        counted.or((self.peak > 0).then_some(self.peak))
    }

    /// The processes that it saw.
    pub(crate) fn processes(&self) -> Vec<OwnProcess> {
        self.seen.told()
    }

    /// Looks at what is due; answers the limit that was passed.
    pub(crate) fn look(&mut self, now: Instant) -> Option<Struck> {
        if let Some(probe) = &self.probe {
            self.seen.look(now, || probe.named());
        }
        if self.deadline().is_some_and(|deadline| now >= deadline) {
            let observed = u64::try_from(now.duration_since(self.started).as_millis()).unwrap_or(u64::MAX);
            let value = self.limits.wall_ms?;
            return Some(Struck { limit: LimitName::Wall, value, observed, held_by: "supervisor".to_owned() });
        }
        if let (Some(value), Some(observed)) =
            (self.limits.disk_bytes, self.layer.as_mut().and_then(|layer| layer.look(now)))
            && observed > value
        {
            return self.disk_struck(observed);
        }
        if self.next.is_none_or(|next| now < next) {
            return None;
        }
        if let Some(struck) = self.counted() {
            return Some(struck);
        }
        let Some(probe) = &self.probe else {
            self.next = Some(now + self.pause);
            return None;
        };
        let (usage, lost) = (probe.look_within(self.limits.memory_bytes), self.disk.lost());
        if let Some(taken) = self.disk.passed(lost, || probe.stored_bytes()) {
            return self.disk_struck(taken);
        }
        self.peak = self.peak.max(usage.memory_bytes);
        let disk_near = self.limits.disk_bytes.is_some_and(|value| lost > value / 4);
        self.pause = if disk_near || self.near(&usage) { OFTEN } else { (self.pause * 2).min(SELDOM) };
        self.next = Some(Instant::now() + self.pause);
        self.seen(&usage)
    }

    fn disk_struck(&self, observed: u64) -> Option<Struck> {
        let value = self.limits.disk_bytes?;
        Some(Struck { limit: LimitName::Disk, value, observed, held_by: "supervisor poll".to_owned() })
    }

    /// What the kernel counted in the cgroup.
    fn counted(&self) -> Option<Struck> {
        let cgroup = self.cgroup.as_ref()?;
        let by_kernel = cgroup.struck();
        if let Some(value) = self.limits.memory_bytes
            && by_kernel.memory
        {
            let observed = cgroup.peak_memory().unwrap_or(value);
            return Some(Struck { limit: LimitName::Memory, value, observed, held_by: cgroup.label("memory") });
        }
        if let Some(value) = self.limits.processes
            && by_kernel.processes
        {
            return Some(Struck { limit: LimitName::Processes, value, observed: value, held_by: cgroup.label("pids") });
        }
        None
    }

    /// What the run has taken of the host's storage, told at its end: a short one may never have been looked at.
    fn taken(&self, account: &Account) -> Option<Struck> {
        let stored = account.stored_bytes()?;
        self.disk_struck(self.disk.passed(self.disk.lost(), || stored)?)
    }

    /// Memory that one process had at its height: between two looks it may have met its rlimit and given up.
    fn grown(&self, cause: &ExitCause, account: &Account) -> Option<Struck> {
        let (value, observed) = (self.limits.memory_bytes?, account.peak_bytes()?);
        let looked_at = !self.cgroup.as_ref().is_some_and(Cgroup::holds_memory);
        // The height counts files that are mapped, too, and who succeeded was not stopped.
        let past = observed > hard_stop(value) && !cause.success();
        (looked_at && past).then(|| Struck { limit: LimitName::Memory, value, observed, held_by: "rlimit".to_owned() })
    }

    /// What is looked at, where the kernel does not count it itself.
    fn pairs(&self, usage: &TreeUsage) -> [(LimitName, Option<u64>, u64); 4] {
        let counts = |holds: fn(&Cgroup) -> bool| self.cgroup.as_ref().is_some_and(holds);
        [
            (LimitName::Memory, self.limits.memory_bytes.filter(|_| !counts(Cgroup::holds_memory)), usage.memory_bytes),
            (LimitName::Processes, self.limits.processes.filter(|_| !counts(Cgroup::holds_processes)), usage.tasks),
            (LimitName::Cpu, self.limits.cpu_ms, usage.cpu_ms),
            (LimitName::OpenFiles, self.limits.open_files, usage.most_open_files),
        ]
    }

    fn near(&self, usage: &TreeUsage) -> bool {
        self.pairs(usage).iter().any(|(_, value, seen)| value.is_some_and(|value| *seen > value / 4))
    }

    fn seen(&self, usage: &TreeUsage) -> Option<Struck> {
        self.pairs(usage).into_iter().find_map(|(limit, value, observed)| {
            let value = value?;
            // Descriptors are refused by the kernel at the limit itself, so reaching it is passing it.
            let past = if limit == LimitName::OpenFiles { observed >= value } else { observed > value };
            past.then(|| Struck { limit, value, observed, held_by: "supervisor poll".to_owned() })
        })
    }

    /// The cause as the kernel's evidence has it: a signal that stands for a limit is told as the limit.
    pub(crate) fn classify(&self, cause: ExitCause, account: &Account) -> ExitCause {
        let struck = || self.counted().or_else(|| self.taken(account)).or_else(|| self.grown(&cause, account));
        let ExitCause::Signalled { signal, .. } = cause else {
            return match cause {
                ExitCause::Exited { .. } => struck().map_or(cause, Struck::into_cause),
                other => other,
            };
        };
        if let Some(struck) = struck() {
            return struck.into_cause();
        }
        let by_rlimit = |limit, value: Option<u64>| {
            value.map(|value| Struck { limit, value, observed: value, held_by: "rlimit".to_owned() }.into_cause())
        };
        let limit = match signal {
            libc::SIGXCPU => by_rlimit(LimitName::Cpu, self.limits.cpu_ms),
            libc::SIGXFSZ => by_rlimit(LimitName::Disk, self.limits.disk_bytes),
            _ => None,
        };
        limit.unwrap_or(cause)
    }
}
