//! What processes that belong together use now, as libproc tells it: for limits of a whole tree, which the kernel of macOS does not count.

use crate::apple::descendants::Descendants;
use crate::apple::process_table::{member, members, processes_of, used};
pub use crate::tree_usage::TreeUsage;
use std::sync::{Arc, Mutex, PoisonError};

/// A look at processes that belong together. Copies remember together who was seen.
#[derive(Clone, Debug)]
pub struct ProcessTree {
    spared: usize,
    seen: Option<Arc<Mutex<Descendants>>>,
}

impl ProcessTree {
    /// Whether [`is_listening`](Self::is_listening) knows.
    pub const TELLS_PORTS: bool = false;

    /// The tree beneath `root`, which must not be reaped while this is used. The first `spared` generations do not count, `root` being
    /// the first: those that watch over the others.
    pub fn beneath(root: i32, spared: usize) -> Self {
        let seen = member(root).map(|root| Arc::new(Mutex::new(Descendants::of(root.id))));
        Self { spared, seen }
    }

    /// As [`look`](Self::look): what processes share is counted once already.
    pub fn look_within(&self, _limit: Option<u64>) -> TreeUsage {
        self.look()
    }

    /// Adds up what is there now. Processes that end meanwhile are passed over.
    pub fn look(&self) -> TreeUsage {
        let mut sum = TreeUsage::default();
        for (generation, pid) in self.generations() {
            let Some(used) = used(pid) else { continue };
            // What a process has waited for is gone from the list but not from the bill.
            sum.cpu_ms = sum.cpu_ms.saturating_add(used.waited_cpu_ms);
            if generation < self.spared {
                continue;
            }
            sum.cpu_ms = sum.cpu_ms.saturating_add(used.own_cpu_ms);
            sum.tasks = sum.tasks.saturating_add(used.threads);
            sum.memory_bytes = sum.memory_bytes.saturating_add(used.memory_bytes);
            sum.most_open_files = sum.most_open_files.max(used.open_files);
        }
        sum
    }

    /// Bytes that living processes have written to storage.
    pub fn stored_bytes(&self) -> u64 {
        let used = self.members().into_iter().filter_map(used);
        used.map(|used| used.stored_bytes).fold(0, u64::saturating_add)
    }

    /// Nothing is known of ports here.
    pub fn is_listening(&self, _port: u16) -> bool {
        false
    }

    /// The processes that count.
    pub(crate) fn members(&self) -> Vec<i32> {
        let counted = self.generations().into_iter().filter(|(generation, _)| *generation >= self.spared);
        counted.map(|(_, pid)| pid).collect()
    }

    fn generations(&self) -> Vec<(usize, i32)> {
        let Some(seen) = &self.seen else { return Vec::new() };
        let table = members();
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.among(&table).into_iter().map(|(generation, member)| (generation, member.pid)).collect()
    }
}

/// What was started last cannot be known here.
pub fn last_started() -> u32 {
    0
}

/// Processes of the user `id`, as RLIMIT_NPROC counts them: threads do not count here.
pub fn tasks_of_user(id: u32) -> u64 {
    processes_of(id)
}
