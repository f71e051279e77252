//! Which processes a run had: those that lived when somebody looked.
//!
//! Looking costs a little and the run nothing, so it is done seldom: soon after the start, and less and less often from then on. How many there
//! were in all the kernel counts (`account`), so whoever reads this knows how many were missed.

use cofferdam_bridge::own_process::OwnProcess;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// From the start to the first look; each pause after it is twice as long.
const FIRST: Duration = Duration::from_millis(8);

/// The longest pause.
const LONGEST: Duration = Duration::from_secs(30);

/// What has been seen.
#[derive(Debug)]
pub(crate) struct ProcessesSeen {
    seen: BTreeMap<u32, OwnProcess>,
    next: Instant,
    pause: Duration,
}

impl ProcessesSeen {
    /// Nothing yet of a run that started at `started`.
    pub(crate) fn new(started: Instant) -> Self {
        Self { seen: BTreeMap::new(), next: started + FIRST, pause: FIRST }
    }

    /// When it is to be looked at next.
    pub(crate) fn next(&self) -> Instant {
        self.next
    }

    /// Looks, if it is time to: `named` tells number, parent and name of each process that there is.
    pub(crate) fn look(&mut self, now: Instant, named: impl FnOnce() -> Vec<(u32, u32, String)>) {
        if now < self.next {
            return;
        }
        self.pause = (self.pause * 2).min(LONGEST);
        self.next = now + self.pause;
        let all = named();
        for (pid, parent, name) in &all {
            if self.seen.len() >= OwnProcess::MOST && !self.seen.contains_key(pid) {
                continue;
            }
            // Whoever watches over the run is no process of it.
            let own = |number: &u32| self.seen.contains_key(number) || all.iter().any(|one| one.0 == *number);
            let first = self.seen.get(pid).and_then(|before| before.parent);
            // A process is told by its latest name: it may have executed another program since.
            let told = OwnProcess::new(*pid, first.or(Some(*parent).filter(own)), name);
            self.seen.insert(*pid, told);
        }
    }

    /// All of them, by their numbers.
    pub(crate) fn told(&self) -> Vec<OwnProcess> {
        self.seen.values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(pid: u32, parent: u32, name: &str) -> (u32, u32, String) {
        (pid, parent, name.to_owned())
    }

    #[test]
    fn r5_a_process_is_told_once_by_its_latest_name_and_its_first_parent() {
        let start = Instant::now();
        let mut seen = ProcessesSeen::new(start);
        seen.look(start, || unreachable!("it is not time"));
        seen.look(seen.next(), || vec![one(2, 1, "sh"), one(3, 2, "sh")]);
        // Its parent has ended, and it has executed something.
        seen.look(seen.next(), || vec![one(3, 1, "sleep"), one(4, 3, "x")]);
        let told =
            [OwnProcess::new(2, None, "sh"), OwnProcess::new(3, Some(2), "sleep"), OwnProcess::new(4, Some(3), "x")];
        assert_eq!(seen.told(), told);
    }

    #[test]
    fn r5_no_more_are_told_than_a_bounded_number_and_looks_become_seldom() {
        let mut seen = ProcessesSeen::new(Instant::now());
        for round in 0..20 {
            seen.look(seen.next(), || (0..50).map(|pid| one(round * 50 + pid + 2, 1, "p")).collect());
        }
        assert_eq!((seen.told().len(), seen.pause), (OwnProcess::MOST, LONGEST));
    }
}
