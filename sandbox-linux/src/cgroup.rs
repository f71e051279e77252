//! A cgroup for one execution, where this process may make one: version 2 where a subtree is delegated, version 1 where
//! root has the controllers (cgroups(7)). The kernel's counters in it are the evidence for limits.

use crate::format::op;
use crate::launcher::Launcher;
use crate::plan::encode::Plan;
use crate::spawn::spawn;
use crate::start::send_plan;
use cofferdam_bridge::limits::Limits;
use cofferdam_plane_kit::process::Process;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::{AccessFlags, access};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

static NEXT: AtomicU64 = AtomicU64::new(1);

/// Where version 1 mounts its controllers.
const MOUNTS: &str = "/sys/fs/cgroup";

/// How often the removal of an emptied cgroup is tried; the kernel needs a moment after the last process.
const REMOVAL_TRIES: u32 = 200;

/// What a cgroup of ours counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    Unified,
    Separate,
}

/// The cgroup of one execution. Dropping it removes it; a helper process removes it when we cannot.
#[derive(Debug)]
pub(crate) struct Cgroup {
    place: Place,
    #[expect(dead_code, reason = "held for its end, which ends the process that clears up")]
    afterwards: Afterwards,
}

/// Where a cgroup of ours is, or will be.
#[derive(Clone, Debug)]
struct Place {
    layout: Layout,
    memory: Option<PathBuf>,
    processes: Option<PathBuf>,
}

/// The process that clears up when this one is killed.
#[derive(Debug)]
struct Afterwards {
    control: Option<OwnedFd>,
    process: Option<Process>,
}

impl Place {
    /// Version 2: below our own group, if its controllers are handed down.
    fn unified(own: &str) -> Option<Self> {
        let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
        let parent = Path::new(MOUNTS).join(path.trim_start_matches('/'));
        let handed_down = fs::read_to_string(parent.join("cgroup.subtree_control")).ok()?;
        let has = |name: &str| handed_down.split_whitespace().any(|controller| controller == name);
        if !has("memory") || !has("pids") {
            return None;
        }
        let directory = below(&parent)?;
        Some(Self { layout: Layout::Unified, memory: Some(directory.clone()), processes: Some(directory) })
    }

    /// Version 1: one group for each controller that is mounted and writable.
    fn separate(own: &str) -> Option<Self> {
        let parent = |controller: &str| {
            let path = own.lines().find_map(|line| {
                let mut fields = line.splitn(3, ':').skip(1);
                let controllers = fields.next()?;
                let path = fields.next()?;
                controllers.split(',').any(|name| name == controller).then_some(path)
            })?;
            Some(Path::new(MOUNTS).join(controller).join(path.trim_start_matches('/')))
        };
        let memory = parent("memory").and_then(|parent| below(&parent));
        let processes = parent("pids").and_then(|parent| below(&parent));
        let group = Self { layout: Layout::Separate, memory, processes };
        (group.memory.is_some() || group.processes.is_some()).then_some(group)
    }

    fn directories(&self) -> Vec<PathBuf> {
        let mut directories: Vec<PathBuf> = self.memory.iter().chain(&self.processes).cloned().collect();
        directories.dedup();
        directories
    }

    fn limit(&self, limits: &Limits) -> io::Result<()> {
        if let (Some(directory), Some(bytes)) = (&self.memory, limits.memory_bytes) {
            let file = if self.layout == Layout::Unified { "memory.max" } else { "memory.limit_in_bytes" };
            fs::write(directory.join(file), bytes.to_string())?;
            if self.layout == Layout::Unified {
                // Swapped-out memory would count for nothing; kernels without swap accounting have no such file.
                let _ = fs::write(directory.join("memory.swap.max"), "0");
                let _ = fs::write(directory.join("memory.oom.group"), "1");
            } else {
                let _ = fs::write(directory.join("memory.memsw.limit_in_bytes"), bytes.to_string());
            }
        }
        if let (Some(directory), Some(count)) = (&self.processes, limits.processes) {
            // Pid 1 of the sandbox is one of them.
            fs::write(directory.join("pids.max"), count.saturating_add(1).to_string())?;
        }
        Ok(())
    }
}

impl Cgroup {
    /// A cgroup with the limits of `limits` that a cgroup can hold, or none where none may be made.
    ///
    /// Somebody to clear it up is there before anything is made.
    pub(crate) fn create(limits: &Limits, launcher: &Launcher) -> Option<Self> {
        if limits.memory_bytes.is_none() && limits.processes.is_none() {
            return None;
        }
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let place = Place::unified(&own).or_else(|| Place::separate(&own))?;
        let afterwards = Afterwards::start(&place.directories(), launcher).ok()?;
        let group = Self { place, afterwards };
        let made = group.place.directories().iter().try_for_each(fs::create_dir);
        made.and_then(|()| group.place.limit(limits)).ok()?;
        Some(group)
    }

    /// Files by which a process joins, opened for writing: the one who writes `0` to them does.
    pub(crate) fn entrances(&self) -> io::Result<Vec<File>> {
        let name = if self.place.layout == Layout::Unified { "cgroup.procs" } else { "tasks" };
        let open = |directory: &PathBuf| File::options().write(true).open(directory.join(name));
        self.place.directories().iter().map(open).collect()
    }

    /// Whether the kernel had to end a process for want of memory.
    pub(crate) fn ran_out_of_memory(&self) -> bool {
        let file = if self.place.layout == Layout::Unified { "memory.events" } else { "memory.oom_control" };
        counter(self.place.memory.as_deref(), file, "oom_kill") > 0
    }

    /// Whether the kernel refused a process.
    pub(crate) fn ran_out_of_processes(&self) -> bool {
        counter(self.place.processes.as_deref(), "pids.events", "max") > 0
    }

    /// The most memory that was used at one time, in bytes.
    pub(crate) fn peak_memory(&self) -> Option<u64> {
        let file = if self.place.layout == Layout::Unified { "memory.peak" } else { "memory.max_usage_in_bytes" };
        fs::read_to_string(self.place.memory.as_ref()?.join(file)).ok()?.trim().parse().ok()
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
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for directory in self.place.directories() {
            for _ in 0..REMOVAL_TRIES {
                match fs::remove_dir(&directory) {
                    Ok(()) => break,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                    Err(_) => thread::sleep(Duration::from_millis(1)),
                }
            }
        }
    }
}

impl Afterwards {
    fn start(directories: &[PathBuf], launcher: &Launcher) -> io::Result<Self> {
        let mut plan = Plan::default();
        let paths: Vec<Vec<u8>> = directories.iter().map(|path| path.as_os_str().as_encoded_bytes().to_vec()).collect();
        drop(plan.add(op::REMOVE_AFTERWARDS, "cgroup").texts(&paths));
        let bytes = plan.encode().map_err(io::Error::other)?;
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)?;
        let process = spawn(launcher.as_fd(), theirs.as_fd(), 0)?;
        let started = Self { control: Some(ours), process: Some(process) };
        if let Some(control) = &started.control {
            send_plan(control.as_fd(), &bytes, &[]).map_err(io::Error::other)?;
        }
        Ok(started)
    }
}

impl Drop for Afterwards {
    fn drop(&mut self) {
        self.control = None;
        if let Some(process) = self.process.take() {
            let _ = process.reap();
        }
    }
}

/// A new directory below `parent`, if we may make one there.
fn below(parent: &Path) -> Option<PathBuf> {
    access(parent, AccessFlags::W_OK).ok()?;
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    Some(parent.join(format!("cofferdam-{}-{number}", std::process::id())))
}

/// The value behind `name` in a file of `name value` lines; 0 where there is none.
fn counter(directory: Option<&Path>, file: &str, name: &str) -> u64 {
    let text = directory.and_then(|directory| fs::read_to_string(directory.join(file)).ok()).unwrap_or_default();
    let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok();
    text.lines().find_map(value).unwrap_or(0)
}
