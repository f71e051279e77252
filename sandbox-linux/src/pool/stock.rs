//! What a pool does next: which context gets a launcher, and which loses one.

use std::time::{Duration, Instant};

/// Starts that follow each other faster than this are a burst: a stock that is not half empty waits for its end, so that the
/// processors are the burst's.
const PAUSE: Duration = Duration::from_millis(5);

/// How one context's stock stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Level {
    /// Launchers that are ready.
    pub(super) ready: usize,
    /// When something was last started in the context, or it was made.
    pub(super) wanted: Instant,
    /// When a launcher for it last could not be made ready.
    pub(super) failed: Option<Instant>,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Make one ready for the context at this place.
    Fill(usize),
    /// End one of the context at this place.
    Drain(usize),
    /// Nothing before this time; `None`: nothing until something happens.
    Wait(Option<Instant>),
}

/// After a failure, how long a context waits.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Decides for a pool of `size` launchers, in which a context that nothing was started in for `idle` keeps none.
pub(super) fn next(levels: &[Level], size: usize, idle: Duration, now: Instant) -> Next {
    let mut order: Vec<usize> = (0..levels.len()).collect();
    // The one that was wanted last comes first.
    order.sort_by_key(|place| std::cmp::Reverse(levels.get(*place).map(|level| level.wanted)));
    let is_idle = |level: &Level| now.saturating_duration_since(level.wanted) >= idle;
    let active = order.iter().filter(|place| levels.get(**place).is_some_and(|level| !is_idle(level))).count();
    let mut soonest: Option<Instant> = None;
    let mut later = |when: Instant| soonest = Some(soonest.map_or(when, |soonest| soonest.min(when)));
    let mut fill = None;
    for (rank, place) in order.iter().enumerate() {
        let Some(level) = levels.get(*place) else { continue };
        let share = if is_idle(level) { 0 } else { share_of(rank, active, size) };
        if level.ready > share {
            return Next::Drain(*place);
        }
        if !is_idle(level) && level.ready > 0 {
            later(level.wanted + idle);
        }
        if level.ready == share {
            continue;
        }
        let quiet = level.wanted + PAUSE;
        let allowed = level.failed.map_or(now, |failed| failed + AFTER_FAILURE);
        let due = if level.ready * 2 >= share && level.ready > 0 { quiet.max(allowed) } else { allowed };
        if due > now {
            later(due);
        } else if fill.is_none() {
            fill = Some(*place);
        }
    }
    fill.map_or(Next::Wait(soonest), Next::Fill)
}

/// Of `size`, what the context that `rank` others were wanted after gets: all get the same, and the first ones what is over.
fn share_of(rank: usize, active: usize, size: usize) -> usize {
    let (each, over) = (size / active.max(1), size % active.max(1));
    each + usize::from(rank < over)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(60);

    fn level(now: Instant, ready: usize, ago: Duration) -> Level {
        Level { ready, wanted: now.checked_sub(ago).unwrap(), failed: None }
    }

    /// A time with room for times before it.
    fn later() -> Instant {
        Instant::now() + Duration::from_secs(1000)
    }

    #[test]
    fn an_empty_stock_is_filled_at_once_and_a_full_one_is_left_alone() {
        let now = later();
        assert_eq!(next(&[level(now, 0, Duration::ZERO)], 4, IDLE, now), Next::Fill(0));
        assert_eq!(next(&[level(now, 4, Duration::ZERO)], 4, IDLE, now), Next::Wait(Some(now + IDLE)));
        assert_eq!(next(&[], 4, IDLE, now), Next::Wait(None));
    }

    #[test]
    fn a_stock_that_lasts_waits_for_the_end_of_a_burst() {
        let now = later();
        assert_eq!(next(&[level(now, 3, Duration::ZERO)], 4, IDLE, now), Next::Wait(Some(now + PAUSE)));
        assert_eq!(next(&[level(now, 1, Duration::ZERO)], 4, IDLE, now), Next::Fill(0));
        assert_eq!(next(&[level(now, 3, PAUSE)], 4, IDLE, now), Next::Fill(0));
    }

    #[test]
    fn contexts_share_and_the_one_wanted_last_gets_what_is_over() {
        let now = later();
        let older = level(now, 2, Duration::from_secs(2));
        let newer = level(now, 0, Duration::from_secs(1));
        assert_eq!(next(&[older, newer], 3, IDLE, now), Next::Drain(0));
        let older = Level { ready: 1, ..older };
        assert_eq!(next(&[older, newer], 3, IDLE, now), Next::Fill(1));
        let newer = Level { ready: 2, ..newer };
        assert!(matches!(next(&[older, newer], 3, IDLE, now), Next::Wait(Some(_))));
    }

    #[test]
    fn what_is_idle_is_drained_and_not_filled() {
        let now = later();
        assert_eq!(next(&[level(now, 1, IDLE)], 4, IDLE, now), Next::Drain(0));
        assert_eq!(next(&[level(now, 0, IDLE)], 4, IDLE, now), Next::Wait(None));
    }

    #[test]
    fn a_context_that_fails_is_not_tried_in_a_loop() {
        let now = later();
        let failed = Level { failed: Some(now), ..level(now, 0, Duration::ZERO) };
        assert_eq!(next(&[failed], 4, IDLE, now), Next::Wait(Some(now + AFTER_FAILURE)));
        assert_eq!(next(&[failed], 4, IDLE, now + AFTER_FAILURE), Next::Fill(0));
    }

    #[test]
    fn more_contexts_than_launchers_leave_the_oldest_without() {
        let now = later();
        let levels = [level(now, 1, Duration::from_secs(3)), level(now, 0, Duration::from_secs(2))];
        assert_eq!(next(&levels, 1, IDLE, now), Next::Drain(0));
    }
}
