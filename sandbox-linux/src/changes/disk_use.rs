//! How much a run has written to its layer, looked at from time to time while it runs.

use super::entry::{Facts, MOST_LEVELS, directory, names};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// Shortest time between two looks; a look that takes long is followed by a rest of many times as long.
const PAUSE: Duration = Duration::from_millis(128);
const REST: u32 = 16;

/// The layer of a run under way.
#[derive(Debug)]
pub(crate) struct DiskUse {
    upper: OwnedFd,
    next: Instant,
}

impl DiskUse {
    /// Looks at `upper` from now on.
    pub(crate) fn new(upper: OwnedFd) -> Self {
        Self { upper, next: Instant::now() + PAUSE }
    }

    /// When it wants to look again.
    pub(crate) fn next(&self) -> Instant {
        self.next
    }

    /// How many bytes there are, if it is time to look. Folders that the guest has closed to its own user are not seen.
    pub(crate) fn look(&mut self, now: Instant) -> Option<u64> {
        if now < self.next {
            return None;
        }
        let bytes = beneath(&self.upper, 0);
        self.next = Instant::now() + PAUSE.max(now.elapsed() * REST);
        Some(bytes)
    }
}

fn beneath(folder: &OwnedFd, level: usize) -> u64 {
    let mut bytes = 0_u64;
    for name in names(folder).unwrap_or_default() {
        // What disappears meanwhile takes no place.
        let Ok(facts) = Facts::at(folder, &name) else { continue };
        bytes = bytes.saturating_add(facts.space / facts.links.max(1));
        if facts.is_directory()
            && level < MOST_LEVELS
            && let Ok(inner) = directory(folder, &name)
        {
            bytes = bytes.saturating_add(beneath(&inner, level + 1));
        }
    }
    bytes
}
