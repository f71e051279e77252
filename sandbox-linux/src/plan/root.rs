//! From a view to operations: the skeleton of the new root, the mounts on it, /proc and /dev, and the entry.

use crate::changes::{Directory, OverlayPlace};
use crate::format::{bind, op};
use crate::plan::encode::Plan;
use crate::plan::view::{Access, Node, TEMPORARY, View};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Where the new root is put together: a directory that every system has and no plan needs the contents of.
pub(crate) const STAGING: &str = "/proc";

/// Paths of the new root that only serve to hide others, removed before it is entered.
const EMPTY_DIRECTORY: &str = ".hidden-directory";
const EMPTY_FILE: &str = ".hidden-file";
const PLANTED_FILE: &str = ".planted-file";

const MS_RDONLY: u32 = 1;
const MS_NOSUID: u32 = 2;
const MS_NODEV: u32 = 4;
const MS_NOEXEC: u32 = 8;

/// Devices that programs expect; each is the host's own node.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Links in /dev, with their targets.
const DEVICE_LINKS: [(&str, &str); 5] = [
    ("dev/fd", "/proc/self/fd"),
    ("dev/stdin", "/proc/self/fd/0"),
    ("dev/stdout", "/proc/self/fd/1"),
    ("dev/stderr", "/proc/self/fd/2"),
    ("dev/ptmx", "pts/ptmx"),
];

/// Bytes that private temporary storage may hold when the policy sets no disk limit.
const TEMPORARY_BYTES: u64 = 1 << 30;

/// What programs expect in temporary storage: shared memory, run-time files, sockets of a display.
pub(crate) const TEMPORARY_DIRECTORIES: [(&str, u32); 3] = [(".shm", 0o1777), (".run", 0o700), (".X11-unix", 0o1777)];

/// Bytes per inode of temporary storage: many small files fit, an endless number does not.
const BYTES_PER_INODE: u64 = 4096;

/// Writes the operations that build and enter the root of `view`.
pub(crate) struct RootBuilder<'a> {
    plan: &'a mut Plan,
    view: &'a View,
    /// The place where changes are kept apart.
    overlay: Option<&'a OverlayPlace>,
    made: BTreeSet<PathBuf>,
    hides: bool,
}

/// Adds what every root has to `plan`: /proc and /dev on an empty root. It depends on no policy.
pub(crate) fn begin(plan: &mut Plan) {
    plan.add(op::NEW_ROOT, "/").text(STAGING).text("size=4m,nr_inodes=64k,mode=755");
    processes(plan);
    devices(plan);
}

/// Adds the operations that fill the root with `view` and enter it to `plan`; [`begin`] came before. Changes in the place of `overlay` are
/// kept apart.
pub(crate) fn build(plan: &mut Plan, view: &View, disk_bytes: Option<u64>, overlay: Option<&OverlayPlace>) {
    let hides = view.nodes.values().any(|node| matches!(node, Node::Mask { .. }));
    let made = ["/proc", "/dev", "/dev/pts"].into_iter().map(PathBuf::from).collect();
    let mut builder = RootBuilder { plan, view, overlay, made, hides };
    builder.masks();
    for (path, node) in &view.nodes {
        builder.node(path, node, disk_bytes);
    }
    builder.links();
    builder.shared_memory();
    builder.end();
}

/// A /proc that shows only the sandbox, read-only: as root, sysctl files would be writable by user id alone.
fn processes(plan: &mut Plan) {
    let path = Path::new("/proc");
    plan.add(op::DIRECTORY, "/proc").text(inside(path)).u32(0o755);
    mount(plan, path, MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "proc", "");
}

fn devices(plan: &mut Plan) {
    plan.add(op::DIRECTORY, "/dev").text("dev").u32(0o755);
    for name in DEVICES {
        let path = Path::new("/dev").join(name);
        plan.add(op::FILE, path.to_string_lossy()).text(inside(&path));
        let flags = bind::DEVICES | bind::NO_EXEC | bind::ANY_OBJECT;
        let source = path.as_os_str().as_encoded_bytes();
        let operation = plan.add(op::BIND, path.to_string_lossy());
        drop(operation.u32(flags).u64(0).u64(0).text(source).text(inside(&path)));
    }
    for (path, target) in DEVICE_LINKS {
        plan.add(op::SYMLINK, path).text(target).text(path);
    }
    let pts = Path::new("/dev/pts");
    plan.add(op::DIRECTORY, "/dev/pts").text(inside(pts)).u32(0o755);
    mount(plan, pts, MS_NOSUID | MS_NOEXEC, "devpts", "newinstance,ptmxmode=0666,mode=620");
}

fn mount(plan: &mut Plan, path: &Path, flags: u32, kind: &str, options: &str) {
    let operation = plan.add(op::MOUNT, path.to_string_lossy());
    drop(operation.u32(flags).text(kind).text(options).text(inside(path)));
}

impl RootBuilder<'_> {
    fn masks(&mut self) {
        if self.hides {
            self.plan.add(op::DIRECTORY, EMPTY_DIRECTORY).text(EMPTY_DIRECTORY).u32(0);
            self.plan.add(op::FILE, EMPTY_FILE).text(EMPTY_FILE);
        }
    }

    fn node(&mut self, path: &Path, node: &Node, disk_bytes: Option<u64>) {
        match node {
            Node::Bind { executable, directory, .. } if self.overlay.is_some_and(|own| own.workspace.path == path) => {
                self.place(path, *directory);
                self.overlay(path, *executable);
            }
            Node::Bind { access, executable, directory, device, inode } => {
                self.place(path, *directory);
                let mut flags = bind::RECURSIVE;
                if *access == Access::Read {
                    flags |= bind::READ_ONLY;
                }
                if !executable {
                    flags |= bind::NO_EXEC;
                }
                if path.starts_with("/dev") {
                    flags |= bind::DEVICES;
                }
                // What can be written in an overlay is the overlay's own; what is only read there is the host's, which it stands for.
                let own =
                    *access == Access::Write && self.overlay.is_some_and(|own| path.starts_with(&own.workspace.path));
                let source = if own { inside(path) } else { path.as_os_str().as_encoded_bytes() };
                if own {
                    flags |= bind::ANY_OBJECT | bind::INSIDE;
                }
                let operation = self.plan.add(op::BIND, path.to_string_lossy());
                drop(operation.u32(flags).u64(*device).u64(*inode).text(source).text(inside(path)));
            }
            Node::Planted { contents } => self.planted(path, contents),
            Node::Mask { directory } => {
                let (source, flags) = (if *directory { EMPTY_DIRECTORY } else { EMPTY_FILE }, bind::READ_ONLY);
                let flags = flags | bind::NO_EXEC | bind::ANY_OBJECT;
                let operation = self.plan.add(op::BIND, path.to_string_lossy());
                drop(operation.u32(flags).u64(0).u64(0).text(source).text(inside(path)));
            }
            Node::Hollow => {
                let flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
                mount(self.plan, path, flags, "tmpfs", "size=1m,mode=755");
            }
            Node::Temporary { executable } => {
                self.place(path, true);
                let bytes = disk_bytes.unwrap_or(TEMPORARY_BYTES);
                let inodes = (bytes / BYTES_PER_INODE).clamp(1024, 1 << 20);
                let options = format!("size={bytes},nr_inodes={inodes},mode=700");
                let flags = MS_NOSUID | MS_NODEV | if *executable { 0 } else { MS_NOEXEC };
                mount(self.plan, path, flags, "tmpfs", &options);
                for (directory, mode) in TEMPORARY_DIRECTORIES {
                    let place = path.join(directory);
                    self.plan.add(op::DIRECTORY, place.to_string_lossy()).text(inside(&place)).u32(mode);
                }
            }
        }
    }

    /// A file with contents of our own: made in the new root, or mounted over the host's file where its directory is the host's.
    fn planted(&mut self, path: &Path, contents: &str) {
        let over =
            path.parent().is_some_and(|parent| matches!(self.view.covering(parent), Some((_, Node::Bind { .. }))));
        let shown = path.to_string_lossy();
        if !over {
            if let Some(parent) = path.parent() {
                self.directories(parent);
            }
            self.made.insert(path.to_path_buf());
            self.plan.add(op::CONTENTS, shown).text(inside(path)).text(contents);
            return;
        }
        self.plan.add(op::CONTENTS, PLANTED_FILE).text(PLANTED_FILE).text(contents);
        let flags = bind::READ_ONLY | bind::NO_EXEC | bind::ANY_OBJECT;
        let operation = self.plan.add(op::BIND, shown);
        drop(operation.u32(flags).u64(0).u64(0).text(PLANTED_FILE).text(inside(path)));
        self.plan.add(op::REMOVE, PLANTED_FILE).text(PLANTED_FILE);
    }

    fn overlay(&mut self, path: &Path, executable: bool) {
        let Some(OverlayPlace { workspace, upper, work }) = self.overlay else { return };
        let flags = MS_NOSUID | MS_NODEV | if executable { 0 } else { MS_NOEXEC };
        let operation = self.plan.add(op::OVERLAY, path.to_string_lossy()).u32(flags);
        let operation = [workspace, upper, work].into_iter().fold(operation, |operation, directory| {
            let Directory { path, device, inode } = directory;
            operation.u64(*device).u64(*inode).text(path.as_os_str().as_encoded_bytes())
        });
        drop(operation.text(inside(path)));
    }

    /// Makes a place to mount on, where the new root itself and not a host directory lies beneath.
    fn place(&mut self, path: &Path, directory: bool) {
        let Some(parent) = path.parent() else { return };
        if matches!(self.view.covering(parent), Some((_, Node::Bind { .. } | Node::Mask { .. }))) {
            return;
        }
        self.directories(parent);
        if self.made.insert(path.to_path_buf()) {
            if directory {
                self.plan.add(op::DIRECTORY, path.to_string_lossy()).text(inside(path)).u32(0o755);
            } else {
                self.plan.add(op::FILE, path.to_string_lossy()).text(inside(path));
            }
        }
    }

    fn directories(&mut self, path: &Path) {
        if path == Path::new("/") || self.made.contains(path) || self.view.nodes.contains_key(path) {
            return;
        }
        if let Some(parent) = path.parent() {
            self.directories(parent);
        }
        self.made.insert(path.to_path_buf());
        self.plan.add(op::DIRECTORY, path.to_string_lossy()).text(inside(path)).u32(0o755);
    }

    /// Links that rules lead through, such as /bin where /usr/bin is meant.
    fn links(&mut self) {
        for (path, target) in &self.view.links {
            let Some(parent) = path.parent() else { continue };
            let covered = self.view.covering(parent).is_some();
            if covered || self.made.contains(path) || self.view.nodes.contains_key(path) {
                continue;
            }
            self.directories(parent);
            let operation = self.plan.add(op::SYMLINK, path.to_string_lossy());
            drop(operation.text(target.as_os_str().as_encoded_bytes()).text(inside(path)));
        }
    }

    /// POSIX shared memory is part of private temporary storage.
    fn shared_memory(&mut self) {
        if self.view.nodes.contains_key(Path::new(TEMPORARY)) {
            self.plan.add(op::SYMLINK, "dev/shm").text("/tmp/.shm").text("dev/shm");
        }
    }

    fn end(&mut self) {
        if self.hides {
            self.plan.add(op::REMOVE, EMPTY_DIRECTORY).text(EMPTY_DIRECTORY);
            self.plan.add(op::REMOVE, EMPTY_FILE).text(EMPTY_FILE);
        }
        self.plan.add(op::ENTER_ROOT, "/");
    }
}

/// A path as the launcher uses it while the root is put together: relative to it.
fn inside(path: &Path) -> &[u8] {
    let bytes = path.as_os_str().as_encoded_bytes();
    bytes.strip_prefix(b"/").unwrap_or(bytes)
}
