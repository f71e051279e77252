//! Who descends from a process, where the kernel gives orphans to process 1 and has no subreaper.
//!
//! macOS remembers for each process which one made it, by numbers that are never used again, even when that one is gone. So a process is a
//! descendant if whoever made it was seen to be one, now or at an earlier look; or if it is in a group that a descendant leads. What escapes
//! is a process that left the group and whose maker came and went between two looks.

use std::collections::{BTreeMap, BTreeSet};

/// A living process as the table of processes has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) pid: i32,
    /// Its number that no other process ever has.
    pub(crate) id: u64,
    /// That of the process which made it.
    pub(crate) maker: u64,
    /// Its process group.
    pub(crate) group: i32,
}

/// All that was ever seen to descend from one process.
#[derive(Clone, Debug)]
pub(crate) struct Descendants {
    /// How many generations below the first.
    known: BTreeMap<u64, usize>,
    groups: BTreeSet<i32>,
}

impl Descendants {
    /// Those of the process with the number `root`.
    pub(crate) fn of(root: u64) -> Self {
        Self { known: BTreeMap::from([(root, 0)]), groups: BTreeSet::new() }
    }

    /// Looks at all processes that there are now: answers those that descend from the first, by generation, itself being generation 0.
    pub(crate) fn among<'a>(&mut self, table: &'a [Member]) -> Vec<(usize, &'a Member)> {
        // A group that nobody is in has ended, and its number may become another's.
        let groups: BTreeSet<i32> = table.iter().map(|member| member.group).collect();
        self.groups.retain(|group| groups.contains(group));
        loop {
            let before = self.known.len();
            for member in table {
                if let Some(generation) = self.generation(member) {
                    self.known.insert(member.id, generation);
                    // Never the group of the first process: others may be in it.
                    if generation > 0 && member.pid == member.group {
                        self.groups.insert(member.group);
                    }
                }
            }
            if self.known.len() == before {
                break;
            }
        }
        table.iter().filter_map(|member| Some((*self.known.get(&member.id)?, member))).collect()
    }

    fn generation(&self, member: &Member) -> Option<usize> {
        let known = self.known.get(&member.id).copied();
        let made = || self.known.get(&member.maker).map(|maker| maker + 1);
        // How far below one stands whose maker nobody has seen does not matter, as long as it counts.
        let grouped = || self.groups.contains(&member.group).then_some(2);
        known.or_else(made).or_else(grouped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(pid: i32, maker: u64, group: i32) -> Member {
        Member { pid, id: 1000 + u64::from(pid.unsigned_abs()), maker, group }
    }

    fn pids(found: &[(usize, &Member)]) -> Vec<i32> {
        found.iter().map(|(_, member)| member.pid).collect()
    }

    #[test]
    fn children_of_children_count_whatever_their_group_and_in_whatever_order_they_are_listed() {
        let mut tree = Descendants::of(1010);
        let table = [member(12, 1011, 12), member(11, 1010, 10), member(10, 1, 10), member(13, 1, 13)];
        assert_eq!(pids(&tree.among(&table)), [12, 11, 10]);
    }

    #[test]
    fn an_orphan_counts_when_its_maker_was_seen_before() {
        let mut tree = Descendants::of(1010);
        assert_eq!(pids(&tree.among(&[member(10, 1, 10), member(11, 1010, 11)])), [10, 11]);
        // 11 has made 12, which left its group, and ended.
        assert_eq!(pids(&tree.among(&[member(10, 1, 10), member(12, 1011, 12)])), [10, 12]);
    }

    #[test]
    fn one_whose_maker_was_never_seen_counts_by_its_group() {
        let mut tree = Descendants::of(1010);
        tree.among(&[member(10, 1, 10), member(11, 1010, 11)]);
        assert_eq!(pids(&tree.among(&[member(10, 1, 10), member(14, 9999, 11)])), [10, 14]);
    }

    #[test]
    fn neighbours_in_the_group_of_the_first_process_never_count() {
        let mut tree = Descendants::of(1010);
        // The child has not left the group yet, which a shell made for a whole pipeline.
        assert_eq!(pids(&tree.among(&[member(10, 1, 10), member(11, 1010, 10), member(15, 1, 10)])), [10, 11]);
    }

    #[test]
    fn a_group_that_ended_is_forgotten_and_its_number_means_another() {
        let mut tree = Descendants::of(1010);
        tree.among(&[member(10, 1, 10), member(11, 1010, 11)]);
        tree.among(&[member(10, 1, 10)]);
        let stranger = Member { pid: 11, id: 77, maker: 1, group: 11 };
        assert_eq!(pids(&tree.among(&[member(10, 1, 10), stranger])), [10]);
    }
}
