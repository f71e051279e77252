//! Mounts of the kinds that a sandbox makes, made and looked at.

use super::attempt::{Outcome, Step, attempt};
use super::calls::{self, errno_of};
use super::namespaces::{change, private, tmpfs};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::MsFlags;
use nix::sys::stat::Mode;
use nix::sys::statvfs::{FsFlags, statvfs};
use std::cell::RefCell;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

const INSIDE: i32 = libc::CLONE_NEWUSER | libc::CLONE_NEWNS;

pub(super) fn mount_api() -> Outcome {
    let tree: RefCell<Option<OwnedFd>> = RefCell::new(None);
    let with =
        |use_it: &dyn Fn(&OwnedFd) -> Result<(), Errno>| tree.borrow().as_ref().map_or(Err(Errno::EBADF), use_it);
    let outcome = attempt(
        INSIDE,
        &[
            private(),
            Step { name: "open_tree", call: &|| calls::open_tree(c"/").map(|made| drop(tree.replace(Some(made)))) },
            Step { name: "mount_setattr", call: &|| with(&|tree| calls::make_read_only(tree.as_fd())) },
            Step { name: "move_mount", call: &|| with(&|tree| calls::attach(tree.as_fd(), c"/proc")) },
            Step { name: "statfs", call: &|| expect(statvfs("/proc")?.flags().contains(FsFlags::ST_RDONLY)) },
        ],
    );
    // The number was the child's; here it is nobody's, or another thread's, and must not be closed.
    if let Some(gone) = tree.into_inner() {
        let _ = std::os::fd::IntoRawFd::into_raw_fd(gone);
    }
    outcome
}

pub(super) fn proc() -> Outcome {
    let own = || {
        let target = fs::read_link("/proc/self").map_err(|error| errno_of(&error))?;
        expect(target == Path::new("1"))
    };
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    attempt(
        INSIDE | libc::CLONE_NEWPID,
        &[
            private(),
            Step { name: "mount proc", call: &|| change("/proc", Some("proc"), flags, None) },
            Step { name: "readlink /proc/self", call: &own },
        ],
    )
}

pub(super) fn terminals() -> Outcome {
    let options = Some("newinstance,ptmxmode=0666,mode=620");
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    let take = || open("/proc/ptmx", OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC, Mode::empty()).map(drop);
    attempt(
        INSIDE,
        &[
            private(),
            Step { name: "mount devpts", call: &|| change("/proc", Some("devpts"), flags, options) },
            Step { name: "open ptmx", call: &take },
        ],
    )
}

pub(super) fn overlay() -> Outcome {
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    let (users, groups) = (format!("{uid} {uid} 1\n"), format!("{gid} {gid} 1\n"));
    let map = || {
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", &users)?;
        fs::write("/proc/self/gid_map", &groups)
    };
    let folders = || ["/proc/lower", "/proc/upper", "/proc/work", "/proc/merged"].iter().try_for_each(fs::create_dir);
    let options = "lowerdir=/proc/lower,upperdir=/proc/upper,workdir=/proc/work,userxattr";
    let write = || {
        fs::write("/proc/merged/file", "x").map_err(|error| errno_of(&error))?;
        expect(Path::new("/proc/upper/file").exists())
    };
    attempt(
        INSIDE,
        &[
            private(),
            Step { name: "write uid_map", call: &|| map().map_err(|error| errno_of(&error)) },
            Step { name: "mount tmpfs", call: &tmpfs },
            Step { name: "mkdir", call: &|| folders().map_err(|error| errno_of(&error)) },
            Step {
                name: "mount overlay",
                call: &|| change("/proc/merged", Some("overlay"), MsFlags::empty(), Some(options)),
            },
            Step { name: "write through the overlay", call: &write },
        ],
    )
}

/// A call that succeeded without its effect is a failure, too.
fn expect(holds: bool) -> Result<(), Errno> {
    if holds { Ok(()) } else { Err(Errno::EIO) }
}
