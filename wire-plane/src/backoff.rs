//! How long to wait before a plane that failed is started again.

use std::time::{Duration, Instant};

const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(30);

/// A plane that has lived so long has not failed by its start.
const STEADY: Duration = Duration::from_secs(60);

/// Doubles the pause with each failure in a row.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
    not_before: Option<Instant>,
}

impl Backoff {
    /// It failed at `now`, after it had lived for `lived`.
    pub(crate) fn failed(&mut self, now: Instant, lived: Duration) {
        self.failures = if lived >= STEADY { 1 } else { self.failures.saturating_add(1) };
        let pause = SHORTEST.saturating_mul(1 << (self.failures - 1).min(16)).min(LONGEST);
        self.not_before = now.checked_add(pause);
    }

    /// How much longer to wait, if at all.
    pub(crate) fn left(&self, now: Instant) -> Option<Duration> {
        self.not_before.map(|then| then.saturating_duration_since(now)).filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_in_a_row_doubles_the_pause_up_to_half_a_minute() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        assert_eq!(backoff.left(now), None);
        let mut pauses = Vec::new();
        for _ in 0..12 {
            backoff.failed(now, Duration::from_secs(1));
            pauses.push(backoff.left(now).unwrap().as_millis());
        }
        assert_eq!(pauses[..4], [100, 200, 400, 800]);
        assert_eq!(pauses[11], 30_000);
        assert_eq!(backoff.left(now + LONGEST), None);
        backoff.failed(now, STEADY);
        assert_eq!(backoff.left(now), Some(SHORTEST));
    }
}
