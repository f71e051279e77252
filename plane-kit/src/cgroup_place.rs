//! Where this process may make cgroups, and the group of a plane's own in which those of its executions lie.
//!
//! Version 1: below our own group of each controller, as root. Version 2: below the nearest group above or at our own whose
//! controllers are handed down and which is ours to change, which is what systemd delegates to a user (cgroups(7),
//! "Delegation of a hierarchy").

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use nix::unistd::{AccessFlags, access};

static NEXT: AtomicU64 = AtomicU64::new(1);

/// Where the hierarchies are mounted.
pub const MOUNTS: &str = "/sys/fs/cgroup";

/// How often the removal of an emptied cgroup is tried; the kernel needs a moment after the last process.
const REMOVAL_TRIES: u32 = 200;
const REMOVAL_PAUSE: std::time::Duration = std::time::Duration::from_millis(1);

/// What a cgroup of ours counts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Version 2: one hierarchy.
    Unified,
    /// Version 1: one for each controller.
    Separate,
}

/// One cgroup: a directory for each controller, the same one for both in version 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The version.
    pub layout: Layout,
    /// Where memory is counted.
    pub memory: Option<PathBuf>,
    /// Where processes are counted.
    pub processes: Option<PathBuf>,
}

impl Place {
    /// Where a plane's group would go for a process whose `/proc/self/cgroup` is `own`.
    pub fn find(own: &str, mounts: &Path) -> Option<Self> {
        Self::unified(own, mounts).or_else(|| Self::separate(own, mounts))
    }

    fn unified(own: &str, mounts: &Path) -> Option<Self> {
        let directory = delegated(own, mounts).iter().find_map(|parent| below(parent))?;
        Some(Self { layout: Layout::Unified, memory: Some(directory.clone()), processes: Some(directory) })
    }

    fn separate(own: &str, mounts: &Path) -> Option<Self> {
        let directory = |controller: &str| own_of(own, controller, mounts).and_then(|parent| below(&parent));
        let place = Self { layout: Layout::Separate, memory: directory("memory"), processes: directory("pids") };
        (place.memory.is_some() || place.processes.is_some()).then_some(place)
    }

    /// The group `name` in this one.
    pub fn child(&self, name: u64) -> Self {
        let within = |directory: &Option<PathBuf>| directory.as_ref().map(|directory| directory.join(name.to_string()));
        Self { layout: self.layout, memory: within(&self.memory), processes: within(&self.processes) }
    }

    /// Its directories, each once.
    pub fn directories(&self) -> Vec<PathBuf> {
        let mut directories: Vec<PathBuf> = self.memory.iter().chain(&self.processes).cloned().collect();
        directories.dedup();
        directories
    }

    /// Makes its directories.
    ///
    /// # Errors
    /// That of mkdir(2).
    pub fn make(&self) -> io::Result<()> {
        self.directories().iter().try_for_each(fs::create_dir)
    }

    /// Hands the controllers down to groups within it, which version 2 does not do by itself.
    ///
    /// # Errors
    /// That of write(2).
    pub fn hand_down(&self) -> io::Result<()> {
        match (self.layout, &self.memory) {
            (Layout::Unified, Some(directory)) => fs::write(directory.join("cgroup.subtree_control"), "+memory +pids"),
            _ => Ok(()),
        }
    }

    /// Removes its directories, once they are empty.
    pub fn remove(&self) {
        for directory in self.directories() {
            for _ in 0..REMOVAL_TRIES {
                match fs::remove_dir(&directory) {
                    Ok(()) => break,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                    Err(_) => std::thread::sleep(REMOVAL_PAUSE),
                }
            }
        }
    }
}

/// Our own group of version 2, for a process whose `/proc/self/cgroup` is `own`.
pub fn own_unified(own: &str, mounts: &Path) -> Option<PathBuf> {
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    Some(mounts.join(path.trim_start_matches('/')))
}

/// The groups of version 2 below which there might be one of ours, the nearest first: our own, and those above it as far as no limit
/// is left behind, that hand their controllers down.
pub fn delegated(own: &str, mounts: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut at = own_unified(own, mounts);
    while let Some(group) = at {
        // A limit on our own group would not hold for a group beside it.
        let last = group == mounts || bounded(&group);
        at = group.parent().filter(|_| !last).map(Path::to_owned);
        if hands_down(&group) {
            found.push(group);
        }
    }
    found
}

/// Our own group of a controller of version 1.
pub fn own_of(own: &str, controller: &str, mounts: &Path) -> Option<PathBuf> {
    let path = own.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let controllers = fields.next()?;
        let path = fields.next()?;
        controllers.split(',').any(|name| name == controller).then_some(path)
    })?;
    Some(mounts.join(controller).join(path.trim_start_matches('/')))
}

/// Whether groups below `group` have the controllers that limits need.
fn hands_down(group: &Path) -> bool {
    let handed_down = fs::read_to_string(group.join("cgroup.subtree_control")).unwrap_or_default();
    let has = |name: &str| handed_down.split_whitespace().any(|controller| controller == name);
    has("memory") && has("pids")
}

/// Whether somebody has limited the memory of `group`.
fn bounded(group: &Path) -> bool {
    ["memory.max", "memory.high"].iter().any(|file| {
        let value = fs::read_to_string(group.join(file)).unwrap_or_default();
        !matches!(value.trim(), "" | "max")
    })
}

/// A new directory below `parent`, if we may make one there and move processes into it.
fn below(parent: &Path) -> Option<PathBuf> {
    access(parent, AccessFlags::W_OK).ok()?;
    // Who moves a process must be allowed to write to the nearest group above both places.
    access(&parent.join("cgroup.procs"), AccessFlags::W_OK).ok()?;
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    Some(parent.join(format!("cofferdam-{}-{number}", std::process::id())))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str) -> Self {
            let root = std::env::temp_dir().join(format!("cofferdam-cgroups-{}-{name}", std::process::id()));
            let _ = fs::remove_dir_all(&root);
            fs::create_dir_all(&root).unwrap();
            Self(root)
        }

        fn group(&self, path: &str, files: &[(&str, &str)]) -> &Self {
            let group = self.0.join(path);
            fs::create_dir_all(&group).unwrap();
            for (file, text) in [("cgroup.procs", "")].iter().chain(files) {
                fs::write(group.join(file), text).unwrap();
            }
            self
        }

        fn found(&self, own: &str) -> Option<PathBuf> {
            Place::find(own, &self.0)?.memory?.parent()?.strip_prefix(&self.0).ok().map(Path::to_owned)
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const HANDED_DOWN: (&str, &str) = ("cgroup.subtree_control", "cpu memory pids\n");

    #[test]
    fn of_a_delegated_subtree_the_nearest_group_that_hands_controllers_down_is_taken() {
        let tree = Tree::new("delegated");
        tree.group("user.slice", &[HANDED_DOWN]).group("user.slice/app.slice", &[HANDED_DOWN]);
        tree.group("user.slice/app.slice/shell.scope", &[("cgroup.subtree_control", "\n"), ("memory.max", "max\n")]);
        assert_eq!(tree.found("0::/user.slice/app.slice/shell.scope\n"), Some("user.slice/app.slice".into()));
    }

    #[test]
    fn a_limit_on_our_own_group_is_not_left_behind() {
        let tree = Tree::new("bounded");
        tree.group("", &[HANDED_DOWN])
            .group("service", &[("cgroup.subtree_control", ""), ("memory.max", "1073741824\n")]);
        assert_eq!(tree.found("0::/service\n"), None);
    }

    #[test]
    fn without_the_controllers_there_is_none() {
        let tree = Tree::new("bare");
        tree.group("", &[("cgroup.subtree_control", "cpu pids\n")]).group("scope", &[("cgroup.subtree_control", "")]);
        assert_eq!(tree.found("0::/scope\n"), None);
    }

    #[test]
    fn each_controller_of_version_1_has_its_own_directory() {
        let tree = Tree::new("separate");
        tree.group("memory/a", &[]).group("pids/b", &[]).group("unified", &[("cgroup.subtree_control", "")]);
        let place = Place::find("7:cpu,cpuacct:/x\n5:pids:/b\n4:memory:/a\n0::/\n", &tree.0).unwrap();
        assert_eq!(place.layout, Layout::Separate);
        assert!(place.memory.unwrap().starts_with(tree.0.join("memory/a")));
        assert!(place.processes.unwrap().starts_with(tree.0.join("pids/b")));
    }
}
