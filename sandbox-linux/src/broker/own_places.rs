//! What a guest may open without a rule where no mount namespace shows it just that: its temporary storage, a few devices, and what
//! /proc tells of itself.

use super::caller::Caller;
use super::own_terminals::OwnTerminals;
use crate::plan::view::{Access, Node, TEMPORARY, View};
use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Devices that every sandbox has.
const DEVICES: [&str; 6] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"];

/// What programs read of the machine, and what tells nothing about anybody else on it.
const MACHINE: [&str; 25] = [
    "cpuinfo",
    "filesystems",
    "loadavg",
    "meminfo",
    "stat",
    "sys/fs/file-max",
    "sys/fs/nr_open",
    "sys/fs/pipe-max-size",
    "sys/kernel/cap_last_cap",
    "sys/kernel/hostname",
    "sys/kernel/ngroups_max",
    "sys/kernel/osrelease",
    "sys/kernel/ostype",
    "sys/kernel/pid_max",
    "sys/kernel/random/boot_id",
    "sys/kernel/random/entropy_avail",
    "sys/kernel/random/poolsize",
    "sys/kernel/random/uuid",
    "sys/kernel/threads-max",
    "sys/kernel/version",
    "sys/net/core/somaxconn",
    "sys/vm/max_map_count",
    "sys/vm/overcommit_memory",
    "uptime",
    "version",
];

/// What a process reads of itself. Not what tells of the host's mounts and network.
const ITSELF: [&str; 21] = [
    "auxv",
    "cgroup",
    "cmdline",
    "comm",
    "environ",
    "fd",
    "fdinfo",
    "io",
    "limits",
    "maps",
    "oom_adj",
    "oom_score",
    "oom_score_adj",
    "pagemap",
    "personality",
    "smaps",
    "smaps_rollup",
    "stat",
    "statm",
    "status",
    "task",
];

/// The places of one run.
#[derive(Debug)]
pub(crate) struct OwnPlaces {
    temporary: Option<PathBuf>,
    /// What stands above or leads to the places that the policy shows.
    ways: Arc<BTreeSet<PathBuf>>,
    terminals: OwnTerminals,
}

/// Where shm_open(3) and sem_open(3) keep what they make.
const SHARED_MEMORY: &str = "/dev/shm";

/// Its stand-in in temporary storage, which the launcher makes.
const OWN_SHARED_MEMORY: &str = ".shm";

/// What leads to what a run may have of its own, and is no secret on any machine.
const WAYS: [&str; 23] = [
    "/",
    "/dev",
    "/dev/fd",
    "/dev/ptmx",
    "/dev/pts",
    "/dev/pts/ptmx",
    "/dev/shm",
    "/dev/stderr",
    "/dev/stdin",
    "/dev/stdout",
    "/proc",
    "/proc/self",
    "/proc/sys",
    "/proc/sys/fs",
    "/proc/sys/kernel",
    "/proc/sys/kernel/random",
    "/proc/sys/net",
    "/proc/sys/net/core",
    "/proc/sys/vm",
    "/proc/thread-self",
    "/sys",
    "/tmp",
    "/var",
];

/// What else of itself a process may look at without opening it: links that tell it nothing it does not know.
const ITS_LINKS: [&str; 3] = ["cwd", "exe", "root"];

/// What leads to the places that `view` shows: folders above them, and links.
pub(crate) fn ways(view: &View) -> BTreeSet<PathBuf> {
    let shown = |node: &Node| !matches!(node, Node::Mask { .. } | Node::Bind { access: Access::None, .. });
    let places = view.nodes.iter().filter(|(_, node)| shown(node)).map(|(path, _)| path);
    let leading = places.chain(view.links.keys()).flat_map(|path| path.ancestors());
    leading.map(Path::to_path_buf).chain(WAYS.map(PathBuf::from)).collect()
}

impl OwnPlaces {
    /// `temporary`: the run's temporary storage on the host. `ways`: see the function of that name.
    pub(crate) fn new(temporary: Option<PathBuf>, ways: Arc<BTreeSet<PathBuf>>) -> Self {
        Self { temporary, ways, terminals: OwnTerminals::default() }
    }

    /// The terminals that the run made.
    pub(crate) fn terminals(&mut self) -> &mut OwnTerminals {
        &mut self.terminals
    }

    /// The terminal that stands at `path`, if the run made it.
    pub(crate) fn terminal(&self, path: &Path) -> Option<&OwnedFd> {
        self.terminals.at(path)
    }

    /// May `thread` know that the canonical `path` is there, whatever the rules let it read?
    pub(crate) fn shows(&self, thread: i32, path: &Path) -> bool {
        self.ways.contains(path)
            || self.temporary.as_deref().is_some_and(|temporary| temporary.starts_with(path))
            || path.strip_prefix("/proc").is_ok_and(|path| is_of_itself(thread, path))
            || self.may_read(thread, path)
    }

    /// `absolute`, or where it leads that begins with the folder of shared memory: one of the run's own, in its temporary storage.
    pub(crate) fn moved(&self, absolute: Vec<u8>) -> Vec<u8> {
        let Some(temporary) = &self.temporary else { return absolute };
        let rest = absolute
            .strip_prefix(SHARED_MEMORY.as_bytes())
            .filter(|rest| rest.first().is_none_or(|byte| *byte == b'/'));
        match rest {
            Some(rest) => [temporary.join(OWN_SHARED_MEMORY).as_os_str().as_bytes(), rest].concat(),
            None => absolute,
        }
    }

    /// May `thread` read what is at the canonical `path`?
    pub(crate) fn may_read(&self, thread: i32, path: &Path) -> bool {
        self.temporary.as_deref().is_some_and(|temporary| path.starts_with(temporary))
            || is_device(thread, path)
            || self.terminals.at(path).is_some()
            || path.strip_prefix("/proc").is_ok_and(|path| may_read_of_proc(thread, path))
    }

    /// May `thread` change what is at the canonical `path`, or make it?
    pub(crate) fn may_write(&self, thread: i32, path: &Path) -> bool {
        let is_temporary = |temporary: &Path| path != temporary && path.starts_with(temporary);
        self.temporary.as_deref().is_some_and(is_temporary)
            || is_device(thread, path)
            || self.terminals.at(path).is_some()
    }

    /// The name that a policy has for `path`, if it lies in the run's temporary storage.
    pub(crate) fn as_policies_name_it(&self, path: &Path) -> Option<PathBuf> {
        Some(Path::new(TEMPORARY).join(path.strip_prefix(self.temporary.as_deref()?).ok()?))
    }

    /// May files without a name be made in the directory `path`?
    pub(crate) fn is_temporary(&self, path: &Path) -> bool {
        self.temporary.as_deref().is_some_and(|temporary| path.starts_with(temporary))
    }
}

fn is_device(thread: i32, path: &Path) -> bool {
    let is_terminal = |path: &Path| {
        let number = path.strip_prefix("/dev/pts").ok().and_then(|number| number.to_str()?.parse::<u32>().ok());
        number.is_some() && number == Caller::of(thread).ok().and_then(|caller| caller.terminal())
    };
    DEVICES.iter().any(|device| path == Path::new(device)) || is_terminal(path)
}

/// Whether a path of /proc is the caller's own folder, or a link in it.
fn is_of_itself(thread: i32, path: &Path) -> bool {
    let mut parts = path.iter().map(|part| part.to_str().unwrap_or_default());
    let Some(process) = parts.next().and_then(|part| part.parse::<i32>().ok()) else { return false };
    let named = match (parts.next(), parts.next()) {
        (None, _) => true,
        (Some(link), None) => ITS_LINKS.contains(&link),
        _ => false,
    };
    named && Caller::of(thread).is_ok_and(|caller| caller.process == process)
}

fn may_read_of_proc(thread: i32, path: &Path) -> bool {
    if MACHINE.iter().any(|file| path == Path::new(file)) {
        return true;
    }
    let mut parts = path.iter().map(|part| part.to_str().unwrap_or_default());
    let Some(process) = parts.next().and_then(|part| part.parse::<i32>().ok()) else { return false };
    let what = match (parts.next(), parts.next(), parts.next()) {
        (None, ..) => return false,
        // What is told of one thread is told as of the process.
        (Some("task"), Some(_), Some(what)) => what,
        (Some(what), ..) => what,
    };
    ITSELF.contains(&what) && Caller::of(thread).is_ok_and(|caller| caller.process == process)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> (i32, i32) {
        (nix::unistd::gettid().as_raw(), nix::unistd::getpid().as_raw())
    }

    #[test]
    fn a_process_reads_of_itself_and_of_nobody_else() {
        let ((thread, process), places) = (own(), OwnPlaces::new(None, Arc::default()));
        let may = |path: String| places.may_read(thread, Path::new(&path));
        assert!(may(format!("/proc/{process}/status")) && may(format!("/proc/{process}/task/{thread}/stat")));
        for path in
            ["/proc/1/environ", "/proc/1/cmdline", "/proc", "/proc/net/tcp", "/proc/kcore", "/proc/sysrq-trigger"]
        {
            assert!(!may(path.to_owned()), "{path}");
        }
        for what in ["mem", "mountinfo", "net/tcp", "task", "ns/mnt", "root/etc/shadow", "map_files"] {
            assert!(what == "task" || !may(format!("/proc/{process}/{what}")), "{what}");
        }
    }

    #[test]
    fn temporary_storage_may_be_filled_but_not_removed() {
        let (thread, places) = (own().0, OwnPlaces::new(Some("/tmp/x".into()), Arc::default()));
        assert!(places.may_write(thread, Path::new("/tmp/x/a/b")) && places.may_read(thread, Path::new("/tmp/x")));
        assert!(!places.may_write(thread, Path::new("/tmp/x")) && !places.may_read(thread, Path::new("/tmp/xy")));
    }

    #[test]
    fn only_harmless_devices_are_there() {
        let (thread, places) = (own().0, OwnPlaces::new(None, Arc::default()));
        assert!(places.may_write(thread, Path::new("/dev/null")));
        for path in ["/dev/mem", "/dev/kmsg", "/dev/pts/ptmx", "/dev/shm", "/dev"] {
            assert!(!places.may_read(thread, Path::new(path)), "{path}");
        }
    }
}
