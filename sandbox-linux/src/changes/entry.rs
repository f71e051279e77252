//! Entries of a tree, looked at by descriptor: a name never leads further than the directory it is in.

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use std::ffi::{CStr, CString, OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Most levels of directories that are looked at: each costs descriptors, and a part of the stack, while it is walked through.
pub(crate) const MOST_LEVELS: usize = 250;

/// A point in time as file systems keep it: seconds and nanoseconds.
pub(crate) type Time = (i64, i64);

/// What kind of thing an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Directory,
    Link,
    Fifo,
    Socket,
    /// A device whose number is 0: overlayfs's note that a name is gone.
    Whiteout,
    Device,
}

/// What lstat(2) tells of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) kind: Kind,
    pub(crate) device: u64,
    pub(crate) inode: u64,
    /// Permission bits with set-id and sticky bits.
    pub(crate) mode: u32,
    pub(crate) links: u64,
    pub(crate) user: u32,
    pub(crate) group: u32,
    pub(crate) size: u64,
    /// Bytes on disk.
    pub(crate) space: u64,
    pub(crate) modified: Time,
    /// When anything about it last changed. No program can set it.
    pub(crate) changed: Time,
}

impl Facts {
    fn new(stat: &FileStat) -> Self {
        let kind = match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
            SFlag::S_IFREG => Kind::File,
            SFlag::S_IFDIR => Kind::Directory,
            SFlag::S_IFLNK => Kind::Link,
            SFlag::S_IFIFO => Kind::Fifo,
            SFlag::S_IFSOCK => Kind::Socket,
            SFlag::S_IFCHR if stat.st_rdev == 0 => Kind::Whiteout,
            _ => Kind::Device,
        };
        Self {
            kind,
            device: stat.st_dev,
            inode: stat.st_ino,
            mode: stat.st_mode & 0o7777,
            links: whole(stat.st_nlink),
            user: stat.st_uid,
            group: stat.st_gid,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            space: u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512),
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        }
    }

    /// Of what a descriptor names.
    pub(crate) fn of(descriptor: impl AsFd) -> Result<Self, Errno> {
        fstat(descriptor).map(|stat| Self::new(&stat))
    }

    /// Of the entry `name`; a link is not followed.
    pub(crate) fn at(directory: impl AsFd, name: &CStr) -> Result<Self, Errno> {
        fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW).map(|stat| Self::new(&stat))
    }

    /// As [`at`](Self::at), or none where there is no such entry.
    pub(crate) fn if_there(directory: impl AsFd, name: &CStr) -> Result<Option<Self>, Errno> {
        match Self::at(directory, name) {
            Ok(facts) => Ok(Some(facts)),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Whether it is a directory.
    pub(crate) fn is_directory(&self) -> bool {
        self.kind == Kind::Directory
    }
}

/// Opens the directory `name` to be listed; a link is refused.
pub(crate) fn directory(parent: impl AsFd, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}

/// Names the entry `name` without opening it: neither a FIFO nor a device does anything.
pub(crate) fn handle(parent: impl AsFd, name: &CStr) -> Result<OwnedFd, Errno> {
    openat(parent, name, OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())
}

/// Opens the regular file `name` for reading; anything else is refused, and nothing is waited for.
pub(crate) fn file(parent: impl AsFd, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let file = openat(parent, name, flags, Mode::empty())?;
    if Facts::of(&file)?.kind == Kind::File { Ok(file) } else { Err(Errno::EINVAL) }
}

/// Opens the directory at `path` beneath `root`, to be worked in. No link is followed, no mount is crossed, and nothing leads
/// out, whatever is exchanged meanwhile (openat2(2)).
pub(crate) fn beneath(root: impl AsFd, path: &Path) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlag::RESOLVE_BENEATH
        | ResolveFlag::RESOLVE_NO_SYMLINKS
        | ResolveFlag::RESOLVE_NO_MAGICLINKS
        | ResolveFlag::RESOLVE_NO_XDEV;
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    loop {
        match openat2(&root, path, OpenHow::new().flags(flags).resolve(resolve)) {
            // A rename elsewhere crossed the walk; the kernel asks to try again.
            Err(Errno::EAGAIN) => {}
            other => return other,
        }
    }
}

/// Opens a directory by its absolute path, on which no link may lie, to be listed.
pub(crate) fn without_links(path: &Path) -> Result<OwnedFd, Errno> {
    by_path(path, OFlag::O_RDONLY)
}

/// As [`without_links`], but only names it: no right to list it is needed.
pub(crate) fn named(path: &Path) -> Result<OwnedFd, Errno> {
    by_path(path, OFlag::O_PATH)
}

fn by_path(path: &Path, access: OFlag) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    let flags = access | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    loop {
        match openat2(nix::fcntl::AT_FDCWD, path, OpenHow::new().flags(flags).resolve(resolve)) {
            Err(Errno::EAGAIN) => {}
            other => return other,
        }
    }
}

/// The names in a directory that is open for listing, sorted.
pub(crate) fn names(directory: impl AsFd) -> Result<Vec<CString>, Errno> {
    // The offset belongs to the open file, so another one is opened.
    let own = self::directory(directory, c".")?;
    let mut names = Vec::new();
    for entry in Dir::from_fd(own)?.iter() {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Where a link leads.
pub(crate) fn target(directory: impl AsFd, name: &CStr) -> Result<OsString, Errno> {
    readlinkat(directory, name)
}

/// A name as part of a path.
pub(crate) fn as_path(name: &CStr) -> &Path {
    Path::new(OsStr::from_bytes(name.to_bytes()))
}

/// A part of a path as a name.
pub(crate) fn as_name(name: &OsStr) -> Result<CString, Errno> {
    match name.as_bytes() {
        b"" | b"." | b".." => Err(Errno::EINVAL),
        bytes if bytes.contains(&b'/') => Err(Errno::EINVAL),
        bytes => CString::new(bytes).map_err(|_| Errno::EINVAL),
    }
}

/// The directory and the name of a relative path.
pub(crate) fn split(path: &Path) -> Result<(&Path, CString), Errno> {
    let name = path.file_name().ok_or(Errno::EINVAL)?;
    Ok((path.parent().unwrap_or(Path::new("")), as_name(name)?))
}

/// A path by which calls that take none but paths reach what a descriptor names.
pub(crate) fn own_path(descriptor: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", descriptor.as_raw_fd())
}
/// A count of links, which has four bytes on AArch64 and eight on x86-64.
fn whole(count: impl Into<u64>) -> u64 {
    count.into()
}
