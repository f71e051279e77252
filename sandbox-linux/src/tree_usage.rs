//! What the processes of one sandbox use now, read from /proc: the sandbox's own, or the host's where it has none.
//!
//! Used where no cgroup counts: the supervisor looks from time to time and ends a run that is past a limit.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

/// Sums over all processes of a sandbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TreeUsage {
    /// Processes and threads, pid 1 not counted.
    pub(crate) tasks: u64,
    /// Private resident memory and private temporary storage, in bytes.
    pub(crate) memory_bytes: u64,
    /// Processor time of living and ended processes, in milliseconds.
    pub(crate) cpu_ms: u64,
    /// Open descriptors of the process that has most.
    pub(crate) most_open_files: u64,
    /// Bytes in private temporary storage.
    pub(crate) temporary_bytes: u64,
}

/// Which processes belong to a sandbox.
#[derive(Debug)]
enum Processes {
    /// All in the /proc beneath this root, which only shows the sandbox.
    OfNamespace(OwnedFd),
    /// The descendants of its guard, in the host's /proc.
    OfGuard(u32),
}

/// A view of a sandbox's processes.
#[derive(Debug)]
pub(crate) struct TreeProbe {
    processes: Processes,
    ticks_per_second: u64,
    page_bytes: u64,
}

impl TreeProbe {
    /// Looks into the pid namespace whose first process is `pid`.
    pub(crate) fn of_namespace(pid: i32) -> std::io::Result<Self> {
        let path = format!("/proc/{pid}/root");
        let root = open(path.as_str(), OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
        Ok(Self::new(Processes::OfNamespace(root)))
    }

    /// Looks at the descendants of the guard `pid`.
    pub(crate) fn of_descendants(pid: i32) -> Self {
        Self::new(Processes::OfGuard(pid.unsigned_abs()))
    }

    fn new(processes: Processes) -> Self {
        let configured = |name| nix::unistd::sysconf(name).ok().flatten().and_then(|value| u64::try_from(value).ok());
        Self {
            processes,
            ticks_per_second: configured(nix::unistd::SysconfVar::CLK_TCK).unwrap_or(100).max(1),
            page_bytes: configured(nix::unistd::SysconfVar::PAGE_SIZE).unwrap_or(4096),
        }
    }

    /// Adds up what is there now. Processes that end meanwhile are passed over.
    pub(crate) fn look(&self) -> TreeUsage {
        let mut sum = TreeUsage::default();
        let mut ticks = 0;
        let base = match &self.processes {
            Processes::OfNamespace(root) => PathBuf::from(format!("/proc/self/fd/{}/proc", root.as_raw_fd())),
            Processes::OfGuard(_) => PathBuf::from("/proc"),
        };
        let listed: BTreeMap<u32, Stat> =
            fs::read_dir(&base).into_iter().flatten().flatten().filter_map(stat).collect();
        for (pid, stat) in &listed {
            match self.part(*pid, &listed) {
                Part::Foreign => continue,
                Part::Own => ticks += stat.own_ticks + stat.waited_ticks,
                // What these have waited for is gone from the list but not from the bill.
                Part::Overseer => {
                    ticks += stat.waited_ticks;
                    continue;
                }
            }
            let directory = base.join(pid.to_string());
            sum.tasks += stat.threads;
            sum.memory_bytes += self.private_memory(&directory);
            let files = fs::metadata(directory.join("fd")).map_or(0, |metadata| metadata.size());
            sum.most_open_files = sum.most_open_files.max(files);
        }
        sum.cpu_ms = ticks.saturating_mul(1000) / self.ticks_per_second;
        sum.temporary_bytes = self.temporary_bytes();
        sum.memory_bytes += sum.temporary_bytes;
        sum
    }

    fn part(&self, pid: u32, listed: &BTreeMap<u32, Stat>) -> Part {
        let guard = match self.processes {
            Processes::OfNamespace(_) => return if pid == 1 { Part::Overseer } else { Part::Own },
            Processes::OfGuard(guard) => guard,
        };
        let (mut at, mut depth) = (pid, 0);
        while at != guard {
            // A chain of parents is never longer than the list; one that loops was read while it changed.
            let Some(stat) = listed.get(&at).filter(|_| depth <= listed.len()) else { return Part::Foreign };
            at = stat.parent;
            depth += 1;
        }
        // The guard, and the launcher, its child.
        if depth <= 1 { Part::Overseer } else { Part::Own }
    }

    /// Resident pages that no file backs.
    fn private_memory(&self, directory: &std::path::Path) -> u64 {
        let Ok(text) = fs::read_to_string(directory.join("statm")) else { return 0 };
        let mut pages = text.split_ascii_whitespace().skip(1).map(|word| word.parse::<u64>().unwrap_or(0));
        let (resident, shared) = (pages.next().unwrap_or(0), pages.next().unwrap_or(0));
        resident.saturating_sub(shared).saturating_mul(self.page_bytes)
    }

    fn temporary_bytes(&self) -> u64 {
        let Processes::OfNamespace(root) = &self.processes else { return 0 };
        let path = format!("/proc/self/fd/{}/tmp", root.as_raw_fd());
        let Ok(status) = nix::sys::statfs::statfs(path.as_str()) else { return 0 };
        if status.filesystem_type() != nix::sys::statfs::TMPFS_MAGIC {
            return 0;
        }
        let used = status.blocks().saturating_sub(status.blocks_free());
        used.saturating_mul(u64::try_from(status.block_size()).unwrap_or(4096))
    }
}

/// Processes and threads that count for this process's user, as RLIMIT_NPROC counts them.
pub(crate) fn tasks_of_this_user() -> u64 {
    let own = nix::unistd::getuid().as_raw();
    let is_own = |entry: &fs::DirEntry| entry.metadata().is_ok_and(|metadata| metadata.uid() == own);
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten().filter(is_own).filter_map(stat);
    processes.map(|(_, stat)| stat.threads).sum()
}

/// What a process is to a sandbox.
enum Part {
    /// Nothing.
    Foreign,
    /// One of its guests.
    Own,
    /// The plane's own, inside.
    Overseer,
}

/// A process of /proc, by its number.
fn stat(entry: fs::DirEntry) -> Option<(u32, Stat)> {
    let pid = entry.file_name().to_str()?.parse().ok()?;
    let text = fs::read_to_string(entry.path().join("stat")).ok()?;
    Some((pid, Stat::parse(&text)?))
}

/// The fields of proc_pid_stat(5) that are needed.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
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
            parent: u32::try_from(number(1)?).ok()?,
            own_ticks: number(11)? + number(12)?,
            waited_ticks: number(13)? + number(14)?,
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
        assert_eq!(Stat::parse(text), Some(Stat { parent: 1, own_ticks: 7, waited_ticks: 11, threads: 2 }));
    }
}
