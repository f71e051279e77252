//! Figures held against limits, with hysteresis: what was too much must have become clearly less.

use super::exceeded;
use super::limits::GuardLimits;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::guard::MachineFigures;
use std::sync::{Mutex, PoisonError};

/// One figure and its limit.
struct Threshold {
    name: &'static str,
    what: &'static str,
    figure: fn(&MachineFigures) -> Option<u64>,
    limit: Option<u64>,
    /// The figure must be at least the limit, not at most.
    least: bool,
}

/// A limit that was passed, in either direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Crossing {
    pub(crate) figure: &'static str,
    pub(crate) observed: u64,
    pub(crate) limit: u64,
    /// It is too much from now on; else it is not any more.
    pub(crate) exceeded: bool,
}

/// All of them, and which were too much when they were last looked at.
pub(super) struct Thresholds {
    all: [Threshold; 7],
    exceeded: Mutex<[bool; 7]>,
}

impl Thresholds {
    pub(super) fn new(limits: &GuardLimits) -> Self {
        let most = |name, what, figure, limit| Threshold { name, what, figure, limit, least: false };
        let all = [
            most("cpu", "% of processor time are used", |one| one.cpu_percent, limits.cpu_percent),
            most("memory", "% of memory are used", |one| one.memory_percent, limits.memory_percent),
            most(
                "cpu_pressure",
                "% of the time somebody waits for a processor",
                |one| one.cpu_pressure_percent,
                limits.cpu_pressure_percent,
            ),
            most(
                "memory_pressure",
                "% of the time somebody waits for memory",
                |one| one.memory_pressure_percent,
                limits.memory_pressure_percent,
            ),
            most(
                "io_pressure",
                "% of the time somebody waits for reading or writing",
                |one| one.io_pressure_percent,
                limits.io_pressure_percent,
            ),
            most("zombies", "ended children of the host were not waited for", |one| one.zombies, limits.zombies),
            Threshold {
                name: "log_bytes_free",
                what: "bytes are free for the log",
                figure: |one| one.log_bytes_free,
                limit: limits.log_bytes_free,
                least: true,
            },
        ];
        Self { all, exceeded: Mutex::default() }
    }

    /// Whether there is any limit.
    pub(super) fn any(&self) -> bool {
        self.all.iter().any(|one| one.limit.is_some())
    }

    /// Holds `figures` against the limits, and tells each of those that are passed since the last look.
    pub(super) fn judge(&self, figures: &MachineFigures, mut crossed: impl FnMut(Crossing)) -> Result<(), BridgeError> {
        let mut exceeded_before = self.exceeded.lock().unwrap_or_else(PoisonError::into_inner);
        let mut refusal = None;
        for (one, before) in self.all.iter().zip(exceeded_before.iter_mut()) {
            let (Some(limit), Some(figure)) = (one.limit, (one.figure)(figures)) else {
                *before = false;
                continue;
            };
            // A tenth of the limit apart, so that a figure at the limit does not say yes and no in turn.
            let margin = if *before { limit.div_ceil(10) } else { 0 };
            let now = match one.least {
                true => figure < limit.saturating_add(margin),
                false => figure > limit.saturating_sub(margin),
            };
            if now != *before {
                crossed(Crossing { figure: one.name, observed: figure, limit, exceeded: now });
            }
            *before = now;
            if *before && refusal.is_none() {
                refusal = Some(exceeded(one.name, one.what, figure, limit));
            }
        }
        refusal.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(thresholds: &Thresholds, change: impl FnOnce(&mut MachineFigures)) -> Result<(), String> {
        let mut figures = MachineFigures::default();
        change(&mut figures);
        thresholds.judge(&figures, |_| {}).map_err(|error| format!("{} {}", error.code, error.details["resource"]))
    }

    #[test]
    fn r2_what_was_too_much_must_become_clearly_less() {
        let thresholds = Thresholds::new(&GuardLimits::default().most_cpu_percent(80));
        let cpu = |percent| judged(&thresholds, |figures| figures.cpu_percent = Some(percent));
        assert!(cpu(80).is_ok());
        assert_eq!(cpu(81), Err("resource_limit_exceeded \"cpu\"".to_owned()));
        assert!(cpu(75).is_err() && cpu(73).is_err());
        assert!(cpu(72).is_ok() && cpu(80).is_ok());
    }

    #[test]
    fn r3_zombies_and_a_full_disk_are_told_with_figure_and_limit() {
        let thresholds = Thresholds::new(&GuardLimits::for_service());
        assert!(judged(&thresholds, |figures| figures.zombies = Some(10)).is_ok());
        let mut figures = MachineFigures::default();
        figures.zombies = Some(11);
        let error = thresholds.judge(&figures, |_| {}).unwrap_err();
        assert!(error.message.contains("11 ended") && error.message.contains("limit is 10"), "{}", error.message);
        assert_eq!((error.details["figure"].as_u64(), error.details["limit"].as_u64()), (Some(11), Some(10)));
        assert!(judged(&thresholds, |figures| figures.log_bytes_free = Some(1 << 20)).is_err());
        assert!(judged(&thresholds, |figures| figures.log_bytes_free = Some(1 << 30)).is_ok());
    }

    #[test]
    fn what_is_not_told_and_what_has_no_limit_holds_nothing_up() {
        assert!(!Thresholds::new(&GuardLimits::default()).any());
        let thresholds = Thresholds::new(&GuardLimits::for_service());
        assert!(judged(&thresholds, |_| {}).is_ok());
        assert!(judged(&thresholds, |figures| figures.io_pressure_percent = Some(100)).is_ok());
    }
}
