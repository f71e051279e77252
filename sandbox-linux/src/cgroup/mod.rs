//! A cgroup for each execution, where this process may make one: version 2 where a subtree is delegated, version 1 where
//! root has the controllers (cgroups(7)). The kernel's counters in it are the evidence for limits.

mod afterwards;

use crate::launcher::Launcher;
use afterwards::Afterwards;
use cofferdam_bridge::limits::Limits;
pub(crate) use cofferdam_plane_kit::cgroup_place as home;
use home::{Layout, MOUNTS, Place};
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Emptied groups that are kept for the next execution.
const MOST_FREE: usize = 64;

/// Memory that an emptied group may still be charged for, in bytes, to be used again.
const LITTLE: u64 = 512 << 10;

/// The cgroups of one plane.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cgroups(Arc<Mutex<State>>);

#[derive(Debug, Default)]
enum State {
    /// Nobody has asked yet.
    #[default]
    Untried,
    /// None can be made here.
    Refused,
    /// There is a group for those of executions.
    Ready(Home),
}

/// The plane's own group. Dropping it removes it; a process beside us does when we are killed.
#[derive(Debug)]
struct Home {
    place: Place,
    free: Vec<Place>,
    next: u64,
    afterwards: Afterwards,
}

/// The cgroup of one execution. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Cgroup {
    place: Place,
    all: Cgroups,
    /// What the counters that only grow were at before.
    before: Counters,
}

/// Which limits the kernel had to enforce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Struck {
    pub(crate) memory: bool,
    pub(crate) processes: bool,
}

/// Counters that only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counters {
    memory_kills: u64,
    process_refusals: u64,
}

impl Home {
    /// Somebody to clear up is there before anything is made.
    fn make(launcher: &Launcher) -> io::Result<Self> {
        let own = fs::read_to_string("/proc/self/cgroup")?;
        let place = Place::find(&own, Path::new(MOUNTS)).ok_or(io::ErrorKind::Unsupported)?;
        let afterwards = Afterwards::start(&place.directories(), launcher)?;
        let home = Self { place, free: Vec::new(), next: 1, afterwards };
        home.place.make().and_then(|()| home.place.hand_down())?;
        Ok(home)
    }

    /// A group, and what its counters are at: those of a new one have not moved.
    fn take(&mut self) -> io::Result<(Place, Counters)> {
        if let Some(place) = self.free.pop() {
            let before = Counters::of(&place);
            return Ok((place, before));
        }
        let place = self.place.child(self.next);
        self.next += 1;
        place.make().inspect_err(|_| place.remove())?;
        Ok((place, Counters::default()))
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // Both begin at once, so that neither waits for the other, and that whoever is killed leaves nothing.
        self.afterwards.begin();
        self.free.iter().for_each(Place::remove);
        self.place.remove();
    }
}

impl Cgroups {
    /// A cgroup with the limits of `limits` that a cgroup can hold, or none where none may be made.
    pub(crate) fn take(&self, limits: &Limits, launcher: &Launcher) -> Option<Cgroup> {
        if limits.memory_bytes.is_none() && limits.processes.is_none() {
            return None;
        }
        let (place, before) = {
            let mut state = self.lock();
            if matches!(*state, State::Untried) {
                *state = Home::make(launcher).map_or(State::Refused, State::Ready);
            }
            let State::Ready(home) = &mut *state else { return None };
            home.take().ok()?
        };
        let group = Cgroup { place, all: self.clone(), before };
        group.limit(limits).ok()?;
        Some(group)
    }

    fn give_back(&self, place: &Place) {
        if let State::Ready(home) = &mut *self.lock()
            && home.free.len() < MOST_FREE
        {
            home.free.push(place.clone());
            return;
        }
        place.remove();
    }

    /// Half-done work behind this lock is no more than a group that the clearing up finds.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counters {
    fn of(place: &Place) -> Self {
        let memory = if place.layout == Layout::Unified { "memory.events" } else { "memory.oom_control" };
        Self {
            memory_kills: counter(place.memory.as_deref(), memory, "oom_kill"),
            process_refusals: counter(place.processes.as_deref(), "pids.events", "max"),
        }
    }
}

impl Cgroup {
    fn limit(&self, limits: &Limits) -> io::Result<()> {
        let unified = self.place.layout == Layout::Unified;
        if let Some(directory) = &self.place.memory {
            let bytes = limits.memory_bytes.map_or_else(|| unlimited(unified).to_owned(), |bytes| bytes.to_string());
            if unified {
                fs::write(directory.join("memory.max"), bytes)?;
                // Swapped-out memory would count for nothing; kernels without swap accounting have no such file.
                let _ = fs::write(directory.join("memory.swap.max"), "0");
                let _ = fs::write(directory.join("memory.oom.group"), "1");
            } else {
                // Memory with swap can never be less than memory alone: it goes up before, and down after.
                let with_swap = directory.join("memory.memsw.limit_in_bytes");
                let _ = fs::write(&with_swap, unlimited(unified));
                fs::write(directory.join("memory.limit_in_bytes"), &bytes)?;
                let _ = fs::write(&with_swap, &bytes);
                let _ = fs::write(directory.join("memory.max_usage_in_bytes"), "0");
            }
        }
        if let Some(directory) = &self.place.processes {
            // Pid 1 of the sandbox is one of them.
            let count = limits.processes.map_or_else(|| "max".to_owned(), |count| count.saturating_add(1).to_string());
            fs::write(directory.join("pids.max"), count)?;
        }
        Ok(())
    }

    /// Files by which a process joins, opened for writing: the one who writes `0` to them does.
    pub(crate) fn entrances(&self) -> io::Result<Vec<File>> {
        let name = if self.place.layout == Layout::Unified { "cgroup.procs" } else { "tasks" };
        let open = |directory: &std::path::PathBuf| File::options().write(true).open(directory.join(name));
        self.place.directories().iter().map(open).collect()
    }

    /// Whether the kernel had to end a process for want of memory, and whether it refused one.
    pub(crate) fn struck(&self) -> Struck {
        let now = Counters::of(&self.place);
        Struck {
            memory: now.memory_kills > self.before.memory_kills,
            processes: now.process_refusals > self.before.process_refusals,
        }
    }

    /// The most memory that was used at one time, in bytes.
    pub(crate) fn peak_memory(&self) -> Option<u64> {
        let file = if self.place.layout == Layout::Unified { "memory.peak" } else { "memory.max_usage_in_bytes" };
        number(&self.place.memory.as_ref()?.join(file))
    }

    /// Whether it holds the memory limit.
    pub(crate) fn holds_memory(&self) -> bool {
        self.place.memory.is_some()
    }

    /// Whether it holds the limit on processes.
    pub(crate) fn holds_processes(&self) -> bool {
        self.place.processes.is_some()
    }

    /// What to call it in a result.
    pub(crate) fn label(&self, controller: &str) -> String {
        format!("cgroup {} {controller}", if self.place.layout == Layout::Unified { "v2" } else { "v1" })
    }

    /// Whether nothing is left in it that the next execution would be charged for. Version 2 cannot forget a peak.
    fn as_new(&self) -> bool {
        let empty = |directory: &std::path::PathBuf| {
            fs::read_to_string(directory.join("cgroup.procs")).is_ok_and(|processes| processes.is_empty())
        };
        let charged = self.place.memory.as_ref().map(|directory| number(&directory.join("memory.usage_in_bytes")));
        self.place.layout == Layout::Separate
            && charged.is_none_or(|bytes| bytes.is_some_and(|bytes| bytes < LITTLE))
            && self.place.directories().iter().all(empty)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        if self.as_new() { self.all.give_back(&self.place) } else { self.place.remove() }
    }
}

/// How a file of a limit says that there is none.
fn unlimited(unified: bool) -> &'static str {
    if unified { "max" } else { "-1" }
}

fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// The value behind `name` in a file of `name value` lines; 0 where there is none.
fn counter(directory: Option<&Path>, file: &str, name: &str) -> u64 {
    let text = directory.and_then(|directory| fs::read_to_string(directory.join(file)).ok()).unwrap_or_default();
    let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok();
    text.lines().find_map(value).unwrap_or(0)
}
