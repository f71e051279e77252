//! Memory that processes of a tree share: mappings without a file, and files in memory (memfd_create(2)), mapped or not.
//!
//! Neither is private to a process, so a sum of private memory does not see them, and a sum of all resident memory sees a page once for
//! each process that maps it. Not seen here either: what buffers of sockets and pipes hold, and descriptors in flight.

use crate::proc_text;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Less than this a process is not asked about: finding out costs more than it could hide.
const WORTH_ASKING: u64 = 2 << 20;

/// As many descriptors as are looked at in one go, over all processes: some tens of milliseconds. What lies behind more of them is not known.
const MOST_DESCRIPTORS: usize = 32_768;

/// One look at all processes of a tree.
#[derive(Debug, Default)]
pub(crate) struct SharedMemory {
    mapped: u64,
    /// Files in memory by inode: whoever else holds one, it is there once.
    files: BTreeMap<u64, u64>,
    looked_at: usize,
}

impl SharedMemory {
    /// Adds what the process of the /proc directory `process` maps and holds. `shared`: its resident pages that are not private, in bytes;
    /// `descriptors`: how many it has open.
    pub(crate) fn add(&mut self, process: &Path, shared: u64, descriptors: u64) {
        if shared >= WORTH_ASKING && field(&process.join("status"), "RssShmem:").unwrap_or(0) >= WORTH_ASKING {
            // Each process's part of what several map.
            self.mapped = self.mapped.saturating_add(field(&process.join("smaps_rollup"), "Pss_Shmem:").unwrap_or(0));
        }
        if descriptors > 3 {
            self.add_files(&process.join("fd"));
        }
    }

    fn add_files(&mut self, descriptors: &Path) {
        for entry in fs::read_dir(descriptors).into_iter().flatten().flatten() {
            self.looked_at += 1;
            if self.looked_at > MOST_DESCRIPTORS {
                return;
            }
            let is_in_memory =
                fs::read_link(entry.path()).is_ok_and(|to| to.as_os_str().as_bytes().starts_with(b"/memfd:"));
            if is_in_memory && let Ok(file) = fs::metadata(entry.path()) {
                self.files.insert(file.ino(), file.blocks().saturating_mul(512));
            }
        }
    }

    /// Whether all was looked at.
    pub(crate) fn is_whole(&self) -> bool {
        self.looked_at <= MOST_DESCRIPTORS
    }

    /// All of it, in bytes. A file in memory that is mapped, too, is in both sums, so the larger one counts.
    pub(crate) fn bytes(&self) -> u64 {
        self.mapped.max(self.files.values().fold(0, |sum, bytes| sum.saturating_add(*bytes)))
    }
}

/// What the line `name` of a file of /proc tells in kibibytes, in bytes; `None` where there is no such file or line.
pub(crate) fn field(path: &Path, name: &str) -> Option<u64> {
    let text = proc_text::read(path).ok()?;
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(rest.split_ascii_whitespace().next()?.parse::<u64>().ok()?.saturating_mul(1024))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn res_04_a_file_in_memory_counts_once_however_often_it_is_held() {
        let name = nix::sys::memfd::memfd_create(c"counted", nix::sys::memfd::MFdFlags::MFD_CLOEXEC).unwrap();
        let mut file = fs::File::from(name);
        file.write_all(&vec![1; 8 << 20]).unwrap();
        let _again = file.try_clone().unwrap();
        let mut memory = SharedMemory::default();
        memory.add(Path::new("/proc/self"), 0, 10);
        memory.add(Path::new("/proc/self"), 0, 10);
        assert!((8 << 20..12 << 20).contains(&memory.bytes()), "{memory:?}");
    }

    #[test]
    fn a_process_that_shares_nothing_adds_nothing() {
        let mut memory = SharedMemory::default();
        memory.add(Path::new("/proc/1/nowhere"), WORTH_ASKING, 10);
        assert_eq!(memory.bytes(), 0);
    }

    #[test]
    fn res_04_a_look_that_is_cut_short_says_so() {
        let mut memory = SharedMemory::default();
        memory.add(Path::new("/proc/self"), 0, 10);
        assert!(memory.is_whole());
        let mut memory = SharedMemory { looked_at: MOST_DESCRIPTORS - 1, ..SharedMemory::default() };
        memory.add(Path::new("/proc/self"), 0, 10);
        assert!(!memory.is_whole(), "this process has more than one");
    }
}
