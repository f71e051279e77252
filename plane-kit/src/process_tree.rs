//! What a process's descendants use now, read from /proc: for limits of a whole tree where no cgroup counts.

use nix::unistd::{SysconfVar, sysconf};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Sums over all descendants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TreeUsage {
    /// Processes and threads.
    pub tasks: u64,
    /// Resident memory that no file backs, in bytes.
    pub memory_bytes: u64,
    /// Processor time of living and ended processes, in milliseconds.
    pub cpu_ms: u64,
    /// Open descriptors of the process that has most.
    pub most_open_files: u64,
}

/// A look at the descendants of one process, which must not be reaped while this is used.
#[derive(Clone, Copy, Debug)]
pub struct ProcessTree {
    root: i32,
    ticks_per_second: u64,
    page_bytes: u64,
}

impl ProcessTree {
    /// The tree beneath `root`, which itself does not count.
    pub fn beneath(root: i32) -> Self {
        let configured = |name| sysconf(name).ok().flatten().and_then(|value| u64::try_from(value).ok());
        Self {
            root,
            ticks_per_second: configured(SysconfVar::CLK_TCK).unwrap_or(100).max(1),
            page_bytes: configured(SysconfVar::PAGE_SIZE).unwrap_or(4096),
        }
    }

    /// Adds up what is there now. Processes that end meanwhile are passed over.
    pub fn look(&self) -> TreeUsage {
        let (mut sum, mut ticks) = (TreeUsage::default(), 0_u64);
        let mut open = vec![self.root];
        while let Some(pid) = open.pop() {
            let directory = PathBuf::from(format!("/proc/{pid}"));
            let Some(stat) = fs::read_to_string(directory.join("stat")).ok().and_then(|text| Stat::parse(&text)) else {
                continue;
            };
            open.extend(children(&directory));
            // What a process has waited for is gone from the list but not from the bill.
            ticks = ticks.saturating_add(stat.waited_ticks);
            if pid == self.root {
                continue;
            }
            ticks = ticks.saturating_add(stat.own_ticks);
            sum.tasks = sum.tasks.saturating_add(stat.threads);
            sum.memory_bytes = sum.memory_bytes.saturating_add(self.private_memory(&directory));
            // Linux 6.2 and later tell the count as the directory's size; before that it is 0.
            let files = fs::metadata(directory.join("fd")).map_or(0, |metadata| metadata.size());
            sum.most_open_files = sum.most_open_files.max(files);
        }
        sum.cpu_ms = ticks.saturating_mul(1000) / self.ticks_per_second;
        sum
    }

    fn private_memory(&self, directory: &Path) -> u64 {
        let Ok(text) = fs::read_to_string(directory.join("statm")) else { return 0 };
        let mut pages = text.split_ascii_whitespace().skip(1).map(|word| word.parse::<u64>().unwrap_or(0));
        let (resident, shared) = (pages.next().unwrap_or(0), pages.next().unwrap_or(0));
        resident.saturating_sub(shared).saturating_mul(self.page_bytes)
    }
}

/// Each thread has children of its own.
fn children(process: &Path) -> Vec<i32> {
    let threads = fs::read_dir(process.join("task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let numbers = |list: String| -> Vec<i32> { list.split_ascii_whitespace().flat_map(str::parse).collect() };
    lists.flat_map(numbers).collect()
}

/// The fields of proc_pid_stat(5) that are needed.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    own_ticks: u64,
    waited_ticks: u64,
    threads: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The program's name stands in parentheses and may hold anything, so counting starts after the last one.
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
        // utime is field 14 of the whole line, the 12th after the name.
        Some(Self {
            own_ticks: number(11)?.saturating_add(number(12)?),
            waited_ticks: number(13)?.saturating_add(number(14)?),
            threads: number(17)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let text = "7 (a) b (c) S 1 7 7 0 -1 4194560 100 0 0 0 3 4 5 6 20 0 2 0 100 1000 10";
        assert_eq!(Stat::parse(text), Some(Stat { own_ticks: 7, waited_ticks: 11, threads: 2 }));
    }

    #[test]
    fn children_are_added_up_and_the_root_is_not() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let above = ProcessTree::beneath(std::process::id().cast_signed()).look();
        let alone = ProcessTree::beneath(child.id().cast_signed()).look();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(above.tasks >= 1 && above.memory_bytes > 0, "{above:?}");
        assert_eq!(alone.tasks, 0, "{alone:?}");
    }
}
