//! What one sandbox uses now: its processes and its private temporary storage.
//!
//! Used where no cgroup counts: the supervisor looks from time to time and ends a run that is past a limit.

use cofferdam_plane_kit::process_tree::ProcessTree;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use std::os::fd::{AsRawFd, OwnedFd};

/// The launcher and its guard: they do not count.
pub(crate) const OVERSEERS: usize = 2;

/// Sums over all processes of a sandbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TreeUsage {
    /// Processes and threads, the plane's own not counted.
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

/// A view of a sandbox from outside.
#[derive(Debug)]
pub(crate) struct TreeProbe {
    processes: ProcessTree,
    /// The sandbox's root, where it has one of its own.
    root: Option<OwnedFd>,
}

impl TreeProbe {
    /// Looks into the pid namespace whose first process is `pid`.
    pub(crate) fn of_namespace(pid: i32) -> std::io::Result<Self> {
        let path = format!("/proc/{pid}/root");
        let root = open(path.as_str(), OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
        let proc = format!("/proc/self/fd/{}/proc", root.as_raw_fd());
        Ok(Self { processes: ProcessTree::of_namespace(proc), root: Some(root) })
    }

    /// Looks at the descendants of the guard `pid`.
    pub(crate) fn of_descendants(pid: i32) -> Self {
        Self { processes: ProcessTree::beneath(pid, OVERSEERS), root: None }
    }

    /// Adds up what is there now. Processes that end meanwhile are passed over. Memory past `limit` is looked at once more, what processes
    /// share counted once.
    pub(crate) fn look_within(&self, limit: Option<u64>) -> TreeUsage {
        let temporary_bytes = self.temporary_bytes();
        let processes = self.processes.look_within(limit.map(|limit| limit.saturating_sub(temporary_bytes)));
        TreeUsage {
            tasks: processes.tasks,
            memory_bytes: processes.memory_bytes.saturating_add(temporary_bytes),
            cpu_ms: processes.cpu_ms,
            most_open_files: processes.most_open_files,
            temporary_bytes,
        }
    }

    /// Number, parent and name of each of its processes.
    pub(crate) fn named(&self) -> Vec<(u32, u32, String)> {
        self.processes.named()
    }

    /// Bytes that its processes were to write to storage.
    pub(crate) fn stored_bytes(&self) -> u64 {
        self.processes.stored_bytes()
    }

    fn temporary_bytes(&self) -> u64 {
        let Some(root) = &self.root else { return 0 };
        let path = format!("/proc/self/fd/{}/tmp", root.as_raw_fd());
        let Ok(status) = nix::sys::statfs::statfs(path.as_str()) else { return 0 };
        if status.filesystem_type() != nix::sys::statfs::TMPFS_MAGIC {
            return 0;
        }
        let used = status.blocks().saturating_sub(status.blocks_free());
        used.saturating_mul(u64::try_from(status.block_size()).unwrap_or(4096))
    }
}
