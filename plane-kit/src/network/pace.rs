//! How fast names may be looked up outside. Each lookup tells somebody something, so what leaves by it is bounded in time as well as in
//! number; a program that asks faster waits.

use std::time::{Duration, Instant};

/// As many as may come at once.
const AT_ONCE: u32 = 64;
/// Between two of those that come after.
const BETWEEN: Duration = Duration::from_millis(25);

/// Turns at looking up (a leaky bucket): so many at once, and then one after another.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When all that was let through would have been, had none come at once.
    level: Option<Instant>,
}

impl Pace {
    /// How long whoever asks `now` has to wait.
    pub(super) fn turn(&mut self, now: Instant) -> Duration {
        let level = self.level.map_or(now, |level| level.max(now)) + BETWEEN;
        self.level = Some(level);
        level.saturating_duration_since(now + BETWEEN * AT_ONCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn net_13_after_some_at_once_they_come_one_after_another() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        assert!((0..AT_ONCE).all(|_| pace.turn(start).is_zero()));
        assert_eq!([pace.turn(start), pace.turn(start)], [BETWEEN, BETWEEN * 2]);
        // Who waits their turn is let through at that pace, and no faster.
        let later = start + BETWEEN * 4;
        assert_eq!([pace.turn(later), pace.turn(later), pace.turn(later)], [Duration::ZERO, Duration::ZERO, BETWEEN]);
        let idle = later + BETWEEN * 1000;
        assert!((0..AT_ONCE).all(|_| pace.turn(idle).is_zero()), "what was not used comes back");
        assert_eq!(pace.turn(idle), BETWEEN);
    }
}
