//! How much of the host's storage a run has taken: what its places have lost since it began, if it wrote as much.
//!
//! Neither alone would do. Others fill the same file systems, and a program that writes one file over and over takes no more than
//! the file. A file system in memory counts as memory, not here.

use nix::sys::statvfs::statvfs;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The writable places of a run, one for each file system.
#[derive(Clone, Debug, Default)]
pub(crate) struct DiskWatch {
    limit: u64,
    places: Vec<(PathBuf, u64)>,
}

impl DiskWatch {
    /// Watches the file systems of `places`, each with its device, from now on.
    pub(crate) fn new(limit: u64, places: impl IntoIterator<Item = (PathBuf, u64)>) -> Self {
        let one_each: BTreeMap<u64, PathBuf> = places.into_iter().map(|(path, device)| (device, path)).collect();
        let with_free = |path: PathBuf| free(&path).map(|free| (path, free));
        Self { limit, places: one_each.into_values().filter_map(with_free).collect() }
    }

    /// Whether there is anything to watch.
    pub(crate) fn watches(&self) -> bool {
        !self.places.is_empty()
    }

    /// The most that one of the file systems has lost, in bytes.
    pub(crate) fn lost(&self) -> u64 {
        let lost = |(path, before): &(PathBuf, u64)| before.saturating_sub(free(path).unwrap_or(*before));
        self.places.iter().map(lost).max().unwrap_or(0)
    }

    /// What the run has taken, if that is more than it may: `stored` tells what it wrote.
    pub(crate) fn passed(&self, lost: u64, stored: impl FnOnce() -> u64) -> Option<u64> {
        if lost <= self.limit {
            return None;
        }
        Some(stored().min(lost)).filter(|taken| *taken > self.limit)
    }
}

fn free(path: &PathBuf) -> Option<u64> {
    let status = statvfs(path).ok()?;
    Some(status.blocks_free().saturating_mul(status.fragment_size()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(limit: u64) -> DiskWatch {
        DiskWatch { limit, places: Vec::new() }
    }

    #[test]
    fn both_what_is_gone_and_what_was_written_must_be_past_the_limit() {
        assert_eq!(watch(10).passed(20, || 15), Some(15));
        assert_eq!(watch(10).passed(20, || 30), Some(20));
        assert_eq!(watch(10).passed(20, || 10), None, "others have filled it");
        assert_eq!(watch(10).passed(10, || 100), None, "the same place was written over and over");
    }
}
