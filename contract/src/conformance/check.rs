//! One check, what came of it, and the list of them.

use serde::Serialize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

/// What a check is about; by features of the descriptor where it is about a plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Group {
    /// What a plane says of itself.
    Descriptor,
    /// What it says of one profile.
    Preflight,
    /// Contexts and tenants.
    Contexts,
    /// Programs: start, surroundings, end.
    Execution,
    /// Standard streams.
    Streams,
    /// Terminals.
    Terminal,
    /// Signals.
    Signals,
    /// Limits.
    Limits,
    /// Attempts to break out.
    Isolation,
    /// Files behind the bridge.
    Filesystem,
    /// Questions to a policy.
    Permission,
    /// Clocks.
    Clock,
    /// Timers.
    Timers,
    /// Random bytes.
    Random,
    /// Events, diagnostics, log lines, states.
    Events,
    /// Snapshots.
    Persistence,
}

impl Group {
    /// Every group.
    pub const ALL: [Self; 16] = [
        Self::Descriptor,
        Self::Preflight,
        Self::Contexts,
        Self::Execution,
        Self::Streams,
        Self::Terminal,
        Self::Signals,
        Self::Limits,
        Self::Isolation,
        Self::Filesystem,
        Self::Permission,
        Self::Clock,
        Self::Timers,
        Self::Random,
        Self::Events,
        Self::Persistence,
    ];

    /// Its name, as it stands in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Descriptor => "descriptor",
            Self::Preflight => "preflight",
            Self::Contexts => "contexts",
            Self::Execution => "execution",
            Self::Streams => "streams",
            Self::Terminal => "terminal",
            Self::Signals => "signals",
            Self::Limits => "limits",
            Self::Isolation => "isolation",
            Self::Filesystem => "filesystem",
            Self::Permission => "permission",
            Self::Clock => "clock",
            Self::Timers => "timers",
            Self::Random => "random",
            Self::Events => "events",
            Self::Persistence => "persistence",
        }
    }
}

/// What came of a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// It is as it should be.
    Passed,
    /// It is not; why.
    Failed(String),
    /// It was not asked; why.
    Skipped(String),
}

/// A check and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CheckResult {
    /// What it is about.
    pub group: Group,
    /// Its name, unique in the group and stable.
    pub name: String,
    /// What should be so, as a sentence without its full stop.
    pub title: String,
    /// What came of it.
    pub outcome: Outcome,
    /// How long it took, in milliseconds.
    pub milliseconds: u64,
}

/// What a check finds: nothing wrong, or what.
pub(super) type Found = Result<(), String>;

/// Fails a check unless something holds.
macro_rules! ensure {
    ($holds:expr, $($why:tt)+) => {
        if !$holds {
            return Err(format!($($why)+));
        }
    };
}
pub(super) use ensure;

/// The checks so far.
pub(super) struct Suite {
    groups: Option<Vec<Group>>,
    /// Nothing more is checked after the first failure.
    first_failure: bool,
    results: Vec<CheckResult>,
}

impl Suite {
    pub(super) fn new(groups: Option<Vec<Group>>, first_failure: bool) -> Self {
        Self { groups, first_failure, results: Vec::new() }
    }

    /// Whether anything of `group` is wanted.
    pub(super) fn wants(&self, group: Group) -> bool {
        let failed = |result: &CheckResult| matches!(result.outcome, Outcome::Failed(_));
        let done = self.first_failure && self.results.last().is_some_and(failed);
        !done && self.groups.as_ref().is_none_or(|groups| groups.contains(&group))
    }

    /// Runs one check. A panic of the subject fails it.
    pub(super) fn check(&mut self, group: Group, name: impl Into<String>, title: &str, run: impl FnOnce() -> Found) {
        if !self.wants(group) {
            return;
        }
        let begun = Instant::now();
        let found = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Err("it panicked".to_owned()));
        let outcome = found.map_or_else(Outcome::Failed, |()| Outcome::Passed);
        self.add(group, name.into(), title, outcome, begun);
    }

    /// A check that has failed before it could begin.
    pub(super) fn fail(&mut self, group: Group, name: &str, title: &str, why: &str) {
        self.add(group, name.to_owned(), title, Outcome::Failed(why.to_owned()), Instant::now());
    }

    /// A check that is not asked of this subject.
    pub(super) fn skip(&mut self, group: Group, name: impl Into<String>, title: &str, why: &str) {
        if self.wants(group) {
            self.add(group, name.into(), title, Outcome::Skipped(why.to_owned()), Instant::now());
        }
    }

    fn add(&mut self, group: Group, name: String, title: &str, outcome: Outcome, begun: Instant) {
        let milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.results.push(CheckResult { group, name, title: title.to_owned(), outcome, milliseconds });
    }

    pub(super) fn finish(self) -> Vec<CheckResult> {
        self.results
    }
}
