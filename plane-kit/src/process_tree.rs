//! What processes that belong together use now, read from /proc: for limits of a whole tree where no cgroup counts.

use crate::proc_text;
use crate::shared_memory::{SharedMemory, field};
pub use crate::tree_usage::TreeUsage;
use nix::unistd::{SysconfVar, sysconf};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Which processes count.
#[derive(Clone, Debug)]
enum Scope {
    /// All but the first process.
    Namespace,
    /// The descendants of `root`, but for its first `spared` generations, itself being the first.
    Beneath { root: u32, spared: usize },
}

/// A look at processes that belong together.
#[derive(Clone, Debug)]
pub struct ProcessTree {
    proc: PathBuf,
    scope: Scope,
    ticks_per_second: u64,
    page_bytes: u64,
}

/// What a process is to a tree.
enum Part {
    Foreign,
    Counted,
    /// It does not count, but what it has waited for does.
    Spared,
}

impl ProcessTree {
    /// Whether [`is_listening`](Self::is_listening) knows.
    pub const TELLS_PORTS: bool = true;

    /// The tree beneath `root`, which must not be reaped while this is used. The first `spared` generations do not count, `root` being
    /// the first: those that watch over the others.
    pub fn beneath(root: i32, spared: usize) -> Self {
        Self::new(PathBuf::from("/proc"), Scope::Beneath { root: root.unsigned_abs(), spared })
    }

    /// All processes of a pid namespace but its first, by a /proc of that namespace.
    pub fn of_namespace(proc: impl Into<PathBuf>) -> Self {
        Self::new(proc.into(), Scope::Namespace)
    }

    fn new(proc: PathBuf, scope: Scope) -> Self {
        let configured = |name| sysconf(name).ok().flatten().and_then(|value| u64::try_from(value).ok());
        Self {
            proc,
            scope,
            ticks_per_second: configured(SysconfVar::CLK_TCK).unwrap_or(100).max(1),
            page_bytes: configured(SysconfVar::PAGE_SIZE).unwrap_or(4096),
        }
    }

    /// As [`look`](Self::look), but memory past `limit` is looked at once more, what processes share counted once. That takes longer: the
    /// kernel walks every page table. What hides behind more descriptors than are looked at counts as more than the limit.
    pub fn look_within(&self, limit: Option<u64>) -> TreeUsage {
        let (mut usage, whole) = self.counted();
        let Some(limit) = limit else { return usage };
        if usage.memory_bytes > limit {
            usage.memory_bytes = self.shared_out_memory().min(usage.memory_bytes);
        }
        if !whole {
            usage.memory_bytes = usage.memory_bytes.max(limit.saturating_add(1));
        }
        usage
    }

    /// Adds up what is there now. Processes that end meanwhile are passed over.
    pub fn look(&self) -> TreeUsage {
        self.counted().0
    }

    /// The sums, and whether they are whole.
    fn counted(&self) -> (TreeUsage, bool) {
        let (mut sum, mut ticks) = (TreeUsage::default(), 0_u64);
        let mut shared_memory = SharedMemory::default();
        let listed = self.listed();
        for (pid, stat) in &listed {
            match self.part(*pid, &listed) {
                Part::Foreign => continue,
                Part::Counted => {}
                Part::Spared => {
                    // What a process has waited for is gone from the list but not from the bill.
                    ticks = ticks.saturating_add(stat.waited_ticks);
                    continue;
                }
            }
            let directory = self.proc.join(pid.to_string());
            ticks = ticks.saturating_add(stat.own_ticks).saturating_add(stat.waited_ticks);
            sum.tasks = sum.tasks.saturating_add(stat.threads);
            let (private, shared) = self.memory(&directory);
            sum.memory_bytes = sum.memory_bytes.saturating_add(private);
            let files = open_files(&directory);
            sum.most_open_files = sum.most_open_files.max(files);
            shared_memory.add(&directory, shared, files);
        }
        sum.memory_bytes = sum.memory_bytes.saturating_add(shared_memory.bytes());
        sum.cpu_ms = ticks.saturating_mul(1000) / self.ticks_per_second;
        (sum, shared_memory.is_whole())
    }

    /// Resident memory that no file backs, what processes share counted once (`Pss_Anon` of smaps_rollup, proc_pid_smaps(5)).
    fn shared_out_memory(&self) -> u64 {
        let listed = self.listed();
        let (mut sum, mut shared_memory) = (0_u64, SharedMemory::default());
        for pid in listed.keys().filter(|pid| matches!(self.part(**pid, &listed), Part::Counted)) {
            let directory = self.proc.join(pid.to_string());
            let (private, shared) = self.memory(&directory);
            // One that may not be looked at, or that a kernel before 5.0 shows, counts in full.
            sum = sum.saturating_add(field(&directory.join("smaps_rollup"), "Pss_Anon:").unwrap_or(private));
            shared_memory.add(&directory, shared, open_files(&directory));
        }
        sum.saturating_add(shared_memory.bytes())
    }

    /// Bytes that living and ended processes were to write to storage, those that were taken back before (a file that was shortened)
    /// not counted: `write_bytes` and `cancelled_write_bytes` of proc_pid_io(5). Memory-backed file systems do not count.
    pub fn stored_bytes(&self) -> u64 {
        let listed = self.listed();
        let parts = listed.keys().filter(|pid| !matches!(self.part(**pid, &listed), Part::Foreign));
        parts.map(|pid| stored(&self.proc.join(pid.to_string()))).fold(0, u64::saturating_add)
    }

    /// The processes that count: number, number of the parent, and name, which a process may choose itself.
    pub fn named(&self) -> Vec<(u32, u32, String)> {
        let listed = self.listed();
        let own = listed.iter().filter(|(pid, _)| matches!(self.part(**pid, &listed), Part::Counted));
        own.map(|(pid, stat)| (*pid, stat.parent, stat.name.clone())).collect()
    }

    /// The processes that count.
    pub(crate) fn members(&self) -> Vec<u32> {
        let listed = self.listed();
        listed.keys().copied().filter(|pid| matches!(self.part(*pid, &listed), Part::Counted)).collect()
    }

    /// What /proc shows of a process.
    pub(crate) fn directory(&self, pid: u32) -> PathBuf {
        self.proc.join(pid.to_string())
    }

    fn listed(&self) -> BTreeMap<u32, Stat> {
        processes(&self.proc).filter_map(stat).collect()
    }

    fn part(&self, pid: u32, listed: &BTreeMap<u32, Stat>) -> Part {
        let (root, spared) = match self.scope {
            Scope::Namespace => return if pid == 1 { Part::Spared } else { Part::Counted },
            Scope::Beneath { root, spared } => (root, spared),
        };
        let (mut at, mut depth) = (pid, 0);
        while at != root {
            // A chain of parents is never longer than the list; one that loops was read while it changed.
            let Some(stat) = listed.get(&at).filter(|_| depth <= listed.len()) else { return Part::Foreign };
            at = stat.parent;
            depth += 1;
        }
        if depth < spared { Part::Spared } else { Part::Counted }
    }

    /// Resident memory that no file backs, and the rest of what is resident, in bytes.
    fn memory(&self, directory: &Path) -> (u64, u64) {
        let Ok(text) = fs::read_to_string(directory.join("statm")) else { return (0, 0) };
        let mut pages = text.split_ascii_whitespace().skip(1).map(|word| word.parse::<u64>().unwrap_or(0));
        let (resident, shared) = (pages.next().unwrap_or(0), pages.next().unwrap_or(0));
        (resident.saturating_sub(shared).saturating_mul(self.page_bytes), shared.saturating_mul(self.page_bytes))
    }
}

/// How many descriptors a process has open. Linux 6.2 and later tell the count as the directory's size; before that it is 0.
fn open_files(directory: &Path) -> u64 {
    fs::metadata(directory.join("fd")).map_or(0, |metadata| metadata.size())
}

/// As one process and those that it waited for have it.
fn stored(directory: &Path) -> u64 {
    let text = fs::read_to_string(directory.join("io")).unwrap_or_default();
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.and_then(|value| value.trim().parse::<u64>().ok()).unwrap_or(0)
    };
    value("write_bytes").saturating_sub(value("cancelled_write_bytes"))
}

/// The number of the process that was started last on this machine, or in this pid namespace (proc_loadavg(5)): how much it moves is how
/// many were started. 0 where it cannot be known.
pub fn last_started() -> u32 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_ascii_whitespace().nth(4).and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// Processes and threads of the user `id`, as RLIMIT_NPROC counts them.
pub fn tasks_of_user(id: u32) -> u64 {
    let own = |entry: &fs::DirEntry| entry.metadata().is_ok_and(|metadata| metadata.uid() == id);
    processes(Path::new("/proc")).filter(own).filter_map(stat).map(|(_, stat)| stat.threads).sum()
}

fn processes(proc: &Path) -> impl Iterator<Item = fs::DirEntry> {
    let is_process =
        |entry: &fs::DirEntry| entry.file_name().as_encoded_bytes().first().is_some_and(u8::is_ascii_digit);
    fs::read_dir(proc).into_iter().flatten().flatten().filter(is_process)
}

/// A process of /proc, by its number.
fn stat(entry: fs::DirEntry) -> Option<(u32, Stat)> {
    let pid = entry.file_name().to_str()?.parse().ok()?;
    let text = proc_text::read(entry.path().join("stat")).ok()?;
    Some((pid, Stat::parse(&text)?))
}

/// The fields of proc_pid_stat(5) that are needed.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    name: String,
    parent: u32,
    own_ticks: u64,
    waited_ticks: u64,
    threads: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The program's name stands in parentheses and may hold anything, so counting starts after the last one.
        let (head, rest) = text.rsplit_once(')')?;
        let (_, name) = head.split_once('(')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
        // utime is field 14 of the whole line, the 12th after the name.
        Some(Self {
            name: name.to_owned(),
            parent: u32::try_from(number(1)?).ok()?,
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
        assert_eq!(
            Stat::parse(text),
            Some(Stat { name: "a) b (c".to_owned(), parent: 1, own_ticks: 7, waited_ticks: 11, threads: 2 })
        );
    }

    #[test]
    fn children_are_added_up_and_the_root_is_not() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let above = ProcessTree::beneath(std::process::id().cast_signed(), 1).look();
        let alone = ProcessTree::beneath(child.id().cast_signed(), 1).look();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(above.tasks >= 1 && above.memory_bytes > 0, "{above:?}");
        assert_eq!(alone.tasks, 0, "{alone:?}");
    }

    #[test]
    fn res_03_a_process_whose_name_is_no_text_counts_and_so_does_what_it_starts() {
        use std::os::unix::ffi::OsStrExt;
        use std::process::{Command, Stdio};
        let folder = std::env::temp_dir().join(format!("cofferdam-tree-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let shell = folder.join(std::ffi::OsStr::from_bytes(b"\xff\xfe"));
        fs::copy("/bin/sh", &shell).unwrap();
        // It ends with its input, and `cat` with it.
        let mut command = Command::new(&shell);
        command.args(["-c", "cat; true"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // What comes back tells that `cat` is there.
        let mut byte = [b'x'];
        std::io::Write::write_all(child.stdin.as_mut().unwrap(), &byte).unwrap();
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut byte).unwrap();
        let tree = ProcessTree::beneath(std::process::id().cast_signed(), 1);
        let (pid, seen) = (child.id(), tree.named());
        drop(child.stdin.take());
        child.wait().unwrap();
        fs::remove_dir_all(folder).unwrap();
        assert!(seen.iter().any(|one| one.0 == pid), "hidden from its limits: {seen:?}");
        assert!(seen.iter().any(|(_, parent, name)| *parent == pid && name == "cat"), "hidden by its parent: {seen:?}");
    }
}
