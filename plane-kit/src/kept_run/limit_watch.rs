//! Holds the limits of a whole tree by looking from time to time, more often the nearer a limit is.

use crate::process_tree::{ProcessTree, TreeUsage};
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_bridge::limits::{LimitName, Limits};
use std::time::{Duration, Instant};

/// Shortest and longest time between two looks.
const OFTEN: Duration = Duration::from_millis(8);
const SELDOM: Duration = Duration::from_millis(128);

/// The watch over one execution.
#[derive(Debug)]
pub(crate) struct LimitWatch {
    limits: Limits,
    tree: ProcessTree,
    next: Option<Instant>,
    pause: Duration,
    peak: u64,
}

impl LimitWatch {
    /// Watches what lives beneath the keeper.
    pub(crate) fn new(limits: Limits, tree: ProcessTree, started: Instant) -> Self {
        let looks = limits.cpu_ms.is_some() || limits.memory_bytes.is_some() || limits.processes.is_some();
        Self { limits, tree, next: looks.then_some(started + OFTEN), pause: OFTEN, peak: 0 }
    }

    /// How long nothing needs to be looked at; `None`: for ever.
    pub(crate) fn next_look(&self, now: Instant) -> Option<Duration> {
        self.next.map(|next| next.saturating_duration_since(now))
    }

    /// The largest memory seen for the whole tree.
    pub(crate) fn peak_memory(&self) -> u64 {
        self.peak
    }

    /// Looks, when it is time; answers the limit that was passed.
    pub(crate) fn look(&mut self, now: Instant) -> Option<ExitCause> {
        if self.next.is_none_or(|next| now < next) {
            return None;
        }
        let usage = self.tree.look_within(self.limits.memory_bytes);
        self.peak = self.peak.max(usage.memory_bytes);
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
            (LimitName::Processes, self.limits.processes, usage.tasks),
            (LimitName::Cpu, self.limits.cpu_ms, usage.cpu_ms),
        ]
    }

    /// A signal that stands for a limit is told as the limit.
    pub(crate) fn classify(&self, cause: ExitCause) -> ExitCause {
        let ExitCause::Signalled { signal, .. } = cause else { return cause };
        let (limit, value) = match signal {
            libc::SIGXCPU => (LimitName::Cpu, self.limits.cpu_ms),
            libc::SIGXFSZ => (LimitName::Disk, self.limits.disk_bytes),
            _ => return cause,
        };
        value.map_or(cause, |value| ExitCause::Limit { limit, value, observed: value, held_by: "rlimit".to_owned() })
    }
}
