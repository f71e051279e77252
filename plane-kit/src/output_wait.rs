//! How long a program's output is waited for when the program has ended, while something that it started holds it open.

use std::time::{Duration, Instant};

/// The wait after one program's end.
#[derive(Debug)]
pub struct OutputWait {
    most: Duration,
    /// When it is over, from the program's end on.
    until: Option<Instant>,
    told: bool,
}

impl OutputWait {
    /// A wait of at most so many milliseconds; none at 0.
    pub fn new(milliseconds: u64) -> Self {
        Self { most: Duration::from_millis(milliseconds), until: None, told: false }
    }

    /// The program has ended.
    pub fn begin(&mut self, now: Instant) {
        // What lies beyond the clock is as far as it goes.
        let until = now.checked_add(self.most).unwrap_or_else(|| now + Duration::from_secs(1 << 32));
        self.until.get_or_insert(until);
    }

    /// How long there is nothing to be done; `None`: until something else happens.
    pub fn remaining(&self, now: Instant) -> Option<Duration> {
        self.until.filter(|_| !self.told).map(|until| until.saturating_duration_since(now))
    }

    /// Whether the program has ended and the wait has not: an end that comes now was not its own.
    pub fn is_cut_short(&self) -> bool {
        self.until.is_some() && !self.told
    }

    /// Whether what is left is to end now, which is told once: when its time is over, or nobody holds the output any more.
    pub fn is_over(&mut self, now: Instant, released: bool) -> bool {
        let over = !self.told && self.until.is_some_and(|until| released || now >= until);
        self.told |= over;
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_over_once_when_the_output_is_released_or_the_time_has_passed() {
        let now = Instant::now();
        for (later, released) in [(Duration::ZERO, true), (Duration::from_millis(50), false)] {
            let mut wait = OutputWait::new(50);
            assert!(!wait.is_over(now, true), "the program has not ended");
            assert_eq!(wait.remaining(now), None);
            wait.begin(now);
            assert!(!wait.is_over(now, false));
            assert_eq!(wait.remaining(now), Some(Duration::from_millis(50)));
            assert!(wait.is_over(now + later, released));
            assert!(!wait.is_over(now + later, released), "told once");
            assert_eq!(wait.remaining(now), None);
        }
    }

    #[test]
    fn a_time_beyond_the_clock_is_no_fault() {
        let mut wait = OutputWait::new(u64::MAX);
        wait.begin(Instant::now());
        assert!(!wait.is_over(Instant::now(), false));
    }
}
