//! Renames a directory in an overlay, on behalf of the guest.
//!
//! Without root overlayfs refuses to rename a directory that lies beneath it (`EXDEV`; Documentation/filesystems/overlayfs.rst,
//! "renaming directories"), which programs do not expect. So a new directory is made, every file gets a second name in it, and only when
//! all is there it takes the new name and the old one is removed. Nobody makes or moves names meanwhile, since that is asked of this
//! very thread; descriptors of the old directory lead to a removed one afterwards, as after mv(1) between file systems.

use super::guest_path::{Place, own_path};
use super::raw_call::{Identity, facts, facts_at};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, RenameFlags, openat, renameat2};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, UtimensatFlags, fchmodat, fstat, mkdirat, utimensat};
use nix::sys::statfs::{FsType, fstatfs};
use nix::sys::time::TimeSpec;
use nix::unistd::{UnlinkatFlags, linkat, unlinkat};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

/// `OVERLAYFS_SUPER_MAGIC`.
const OVERLAY: FsType = FsType(0x794c_7630);

/// Most entries and levels of a directory that is moved so: beyond, the guest is told what overlayfs says, and copies by itself.
const MOST_ENTRIES: usize = 200_000;
const MOST_LEVELS: usize = 200;

static NEXT: AtomicU64 = AtomicU64::new(1);

/// Directories that became others: each identity before, and after.
pub(super) type Became = Vec<(Identity, Identity)>;

/// Moves the directory at `from` to `to`, where one rename(2) cannot: `EXDEV` where this cannot either, and nothing has changed then.
/// `wanted` tells whether somebody still waits for it.
pub(super) fn rename(from: &Place, to: &Place, flags: RenameFlags, wanted: &dyn Fn() -> bool) -> Result<Became, Errno> {
    let exchange = flags.contains(RenameFlags::RENAME_EXCHANGE);
    if exchange || !is_overlay(from)? || mount_of(from.parent.as_fd()) != mount_of(to.parent.as_fd()) {
        return Err(Errno::EXDEV);
    }
    let there = facts_at(to.parent.as_fd(), &to.name).ok();
    if there.is_some_and(|there| !there.is_directory()) {
        return Err(Errno::ENOTDIR);
    }
    if there.is_some()
        && let Ok(replaced) = directory(to.parent.as_fd(), &to.name)
        && names(&replaced).is_ok_and(|names| !names.is_empty())
    {
        // Saves the work; one that cannot be looked into is judged by the kernel when all is there.
        return Err(Errno::ENOTEMPTY);
    }
    let before = fstat(&to.parent)?;
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let temporary = CString::new(format!(".cofferdam-moving-{number}")).map_err(|_| Errno::EXDEV)?;
    let mut work = Move { left: MOST_ENTRIES, wanted, became: Vec::new(), opened: Vec::new() };
    let moved = work
        .copy(from.parent.as_fd(), &from.name, to.parent.as_fd(), &temporary, 0)
        .and_then(|()| renameat2(&to.parent, temporary.as_c_str(), &to.parent, to.name.as_c_str(), flags));
    if let Err(errno) = moved {
        let _ = remove(to.parent.as_fd(), &temporary);
        for (folder, mode) in &work.opened {
            let _ = set_mode(folder, *mode);
        }
        let _ = set_times(&to.parent, &before);
        // What the name to be stands for is the caller's affair; the rest is ours.
        return Err(match errno {
            Errno::ENOTEMPTY | Errno::EEXIST | Errno::ENOTDIR | Errno::ENOSPC | Errno::EDQUOT => errno,
            _ => Errno::EXDEV,
        });
    }
    remove(from.parent.as_fd(), &from.name)?;
    Ok(work.became)
}

fn is_overlay(place: &Place) -> Result<bool, Errno> {
    Ok(fstatfs(&place.parent)?.filesystem_type() == OVERLAY)
}

/// The mount that a descriptor is in (proc_pid_fdinfo(5)).
fn mount_of(descriptor: BorrowedFd<'_>) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", descriptor.as_raw_fd())).ok()?;
    text.lines().find_map(|line| line.strip_prefix("mnt_id:")).map(|number| number.trim().to_owned())
}

struct Move<'a> {
    left: usize,
    wanted: &'a dyn Fn() -> bool,
    became: Became,
    /// Directories that were closed to their own user, with the modes they had.
    opened: Vec<(OwnedFd, Mode)>,
}

impl Move<'_> {
    /// Makes a directory like `name`, in which every file has a second name.
    fn copy(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &CStr,
        to: BorrowedFd<'_>,
        new: &CStr,
        level: usize,
    ) -> Result<(), Errno> {
        if level > MOST_LEVELS {
            return Err(Errno::EXDEV);
        }
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let handle = openat(parent, name, flags, Mode::empty())?;
        let like = fstat(&handle)?;
        let mode = Mode::from_bits_truncate(like.st_mode);
        if !mode.contains(Mode::S_IRWXU) {
            // One rename(2) would ask for no rights in it either.
            set_mode(&handle, mode | Mode::S_IRWXU)?;
            self.opened.push((handle, mode));
        }
        let old = directory(parent, name)?;
        if mount_of(old.as_fd()) != mount_of(parent) {
            // What is mounted there holds a rule; it stays where it is.
            return Err(Errno::EXDEV);
        }
        mkdirat(to, new, Mode::S_IRWXU)?;
        let made = directory(to, new)?;
        self.became.push((facts(old.as_fd())?.identity, facts(made.as_fd())?.identity));
        for name in names(&old)? {
            self.left = self.left.checked_sub(1).ok_or(Errno::EXDEV)?;
            if !(self.wanted)() {
                return Err(Errno::EXDEV);
            }
            if facts_at(old.as_fd(), &name)?.is_directory() {
                self.copy(old.as_fd(), &name, made.as_fd(), &name, level + 1)?;
            } else {
                // From another mount, such as a protected file's own, this fails; so nothing is moved that may not be.
                linkat(&old, name.as_c_str(), &made, name.as_c_str(), AtFlags::empty())?;
            }
        }
        set_times(&made, &like)?;
        fchmodat(&made, c".", mode, FchmodatFlags::FollowSymlink)
    }
}

fn set_times(folder: &OwnedFd, like: &FileStat) -> Result<(), Errno> {
    let accessed = TimeSpec::new(like.st_atime, like.st_atime_nsec);
    let modified = TimeSpec::new(like.st_mtime, like.st_mtime_nsec);
    utimensat(folder, c".", &accessed, &modified, UtimensatFlags::FollowSymlink)
}

fn set_mode(handle: &OwnedFd, mode: Mode) -> Result<(), Errno> {
    fchmodat(AT_FDCWD, own_path(handle).as_str(), mode, FchmodatFlags::FollowSymlink)
}

/// Removes a directory and all in it, whose rights were opened or are those of one just made.
fn remove(parent: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    set_mode(&openat(parent, name, flags, Mode::empty())?, Mode::S_IRWXU)?;
    let old = directory(parent, name)?;
    for name in names(&old)? {
        if facts_at(old.as_fd(), &name)?.is_directory() {
            remove(old.as_fd(), &name)?;
        } else {
            unlinkat(&old, name.as_c_str(), UnlinkatFlags::NoRemoveDir)?;
        }
    }
    unlinkat(parent, name, UnlinkatFlags::RemoveDir)
}

fn directory(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}

/// The names in a directory that was opened for this, and not read yet.
fn names(folder: &OwnedFd) -> Result<Vec<CString>, Errno> {
    let mut names = Vec::new();
    // Not opened anew by `.`, which asks for the right to search it: rename(2) does not.
    let same = folder.try_clone().map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or_default()))?;
    for entry in nix::dir::Dir::from_fd(same)?.iter() {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    Ok(names)
}
