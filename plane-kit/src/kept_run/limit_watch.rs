//! Holds the limits of a whole tree by looking from time to time, more often the nearer a limit is.

use crate::process_tree::{ProcessTree, TreeUsage, last_started};
use crate::task_groups::TaskGroup;
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_bridge::limits::{LimitName, Limits};
use std::time::{Duration, Instant};

/// Shortest and longest time between two looks.
const OFTEN: Duration = Duration::from_millis(8);
const SELDOM: Duration = Duration::from_millis(128);

/// Where nothing but looking holds the limit on processes: how often it is asked whether many were started.
const STARTS: Duration = Duration::from_millis(2);

/// The watch over one execution.
#[derive(Debug)]
pub(crate) struct LimitWatch {
    limits: Limits,
    tree: ProcessTree,
    next: Option<Instant>,
    pause: Duration,
    peak: u64,
    /// Where the kernel holds the limit on processes.
    group: Option<TaskGroup>,
    /// Where nothing but looking does.
    starts: Option<Starts>,
}

/// How many processes were started on the whole machine, which costs little to ask.
#[derive(Debug)]
struct Starts {
    last: u32,
    /// As many may have been started here before it must be looked.
    left: u64,
    /// On a machine where much is started elsewhere, no more than a part of the time is spent on looking.
    not_before: Instant,
}

/// How much longer than a look lasts the next one waits for.
const REST: u32 = 4;

impl Starts {
    /// Whether so many were started that a limit may have been passed.
    fn are_many(&self, now: Instant) -> bool {
        if now < self.not_before {
            return false;
        }
        let last = last_started();
        // Numbers begin again when all were used.
        last < self.last || u64::from(last - self.last) > self.left
    }
}

impl LimitWatch {
    /// Watches what lives beneath the keeper. `group` holds the limit on processes, if there is one; `bound`: a resource limit does.
    pub(crate) fn new(
        limits: Limits,
        tree: ProcessTree,
        started: Instant,
        group: Option<TaskGroup>,
        bound: bool,
    ) -> Self {
        let watched = limits.processes.filter(|_| group.is_none() && !bound);
        let starts = watched.map(|most| Starts { last: last_started(), left: most, not_before: started });
        let looks = limits.cpu_ms.is_some() || limits.memory_bytes.is_some() || limits.processes.is_some();
        Self { limits, tree, next: looks.then_some(started + OFTEN), pause: OFTEN, peak: 0, group, starts }
    }

    /// How long nothing needs to be looked at; `None`: for ever.
    pub(crate) fn next_look(&self, now: Instant) -> Option<Duration> {
        let next = self.next.map(|next| next.saturating_duration_since(now))?;
        Some(if self.starts.is_some() { next.min(STARTS) } else { next })
    }

    /// The largest memory seen for the whole tree.
    pub(crate) fn peak_memory(&self) -> u64 {
        self.peak
    }

    /// Looks, when it is time; answers the limit that was passed.
    pub(crate) fn look(&mut self, now: Instant) -> Option<ExitCause> {
        let due = self.next.is_some_and(|next| now >= next);
        if !due && !self.starts.as_ref().is_some_and(|starts| starts.are_many(now)) {
            return None;
        }
        if let Some(struck) = self.refused() {
            return Some(struck);
        }
        if let Some(starts) = &mut self.starts {
            starts.last = last_started();
        }
        let usage = self.tree.look_within(self.limits.memory_bytes);
        self.peak = self.peak.max(usage.memory_bytes);
        if let Some((starts, most)) = self.starts.as_mut().zip(self.limits.processes) {
            starts.left = most.saturating_sub(usage.tasks);
            starts.not_before = Instant::now() + now.elapsed() * REST;
        }
        let pairs = self.pairs(&usage);
        let near = pairs.iter().any(|(_, value, seen)| value.is_some_and(|value| *seen > value / 4));
        self.pause = if near { OFTEN } else { (self.pause * 2).min(SELDOM) };
        self.next = Some(Instant::now() + self.pause);
        pairs.into_iter().find_map(|(limit, value, observed)| {
            let value = value.filter(|value| observed > *value)?;
            Some(ExitCause::Limit { limit, value, observed, held_by: "supervisor poll".to_owned() })
        })
    }

    fn pairs(&self, usage: &TreeUsage) -> [(LimitName, Option<u64>, u64); 3] {
        [
            (LimitName::Memory, self.limits.memory_bytes, usage.memory_bytes),
            (LimitName::Processes, self.limits.processes.filter(|_| self.group.is_none()), usage.tasks),
            (LimitName::Cpu, self.limits.cpu_ms, usage.cpu_ms),
        ]
    }

    /// What the kernel has refused.
    fn refused(&self) -> Option<ExitCause> {
        let (group, value) = (self.group.as_ref().filter(|group| group.struck())?, self.limits.processes?);
        let held_by = group.label().to_owned();
        Some(ExitCause::Limit { limit: LimitName::Processes, value, observed: value, held_by })
    }

    /// A signal that stands for a limit is told as the limit, and so is an end that comes before a refusal was seen.
    pub(crate) fn classify(&self, cause: ExitCause) -> ExitCause {
        if let (ExitCause::Exited { .. } | ExitCause::Signalled { .. }, Some(struck)) = (&cause, self.refused()) {
            return struck;
        }
        let ExitCause::Signalled { signal, .. } = cause else { return cause };
        let (limit, value) = match signal {
            libc::SIGXCPU => (LimitName::Cpu, self.limits.cpu_ms),
            libc::SIGXFSZ => (LimitName::Disk, self.limits.disk_bytes),
            _ => return cause,
        };
        value.map_or(cause, |value| ExitCause::Limit { limit, value, observed: value, held_by: "rlimit".to_owned() })
    }
}
