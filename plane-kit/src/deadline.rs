//! When a run must have ended.

use cofferdam_bridge::exit_cause::ExitCause;
use std::time::{Duration, Instant};

/// A wall-clock limit that has begun to run, or none.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    limit_ms: Option<u64>,
    end: Option<Instant>,
}

impl Deadline {
    /// `limit_ms` milliseconds after `start`. A time too long for the clock never comes.
    pub fn new(start: Instant, limit_ms: Option<u64>) -> Self {
        let end = limit_ms.and_then(|limit| start.checked_add(Duration::from_millis(limit)));
        Self { limit_ms, end }
    }

    /// How long until then; `None`: for ever.
    pub fn remaining(&self, now: Instant) -> Option<Duration> {
        self.end.map(|end| end.saturating_duration_since(now))
    }

    /// The cause to report, when it has passed.
    pub fn passed(&self, now: Instant) -> Option<ExitCause> {
        let end = self.end?;
        (now >= end).then_some(ExitCause::TimedOut { limit_ms: self.limit_ms? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_passes_at_its_time_and_not_before() {
        let start = Instant::now();
        let deadline = Deadline::new(start, Some(20));
        assert_eq!(deadline.passed(start + Duration::from_millis(19)), None);
        assert_eq!(deadline.passed(start + Duration::from_millis(20)), Some(ExitCause::TimedOut { limit_ms: 20 }));
        assert_eq!(deadline.remaining(start), Some(Duration::from_millis(20)));
    }

    #[test]
    fn without_a_limit_or_with_an_endless_one_it_never_passes() {
        let start = Instant::now();
        for limit in [None, Some(u64::MAX)] {
            assert_eq!(Deadline::new(start, limit).passed(start + Duration::from_secs(1_000_000)), None);
        }
    }
}
