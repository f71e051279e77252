//! Calls about extended attributes, owners and watches, which have no safe form.

#![expect(
    unsafe_code,
    reason = "xattr(7), fchownat with an empty path, and inotify on a foreign descriptor have no safe form"
)]

use nix::errno::Errno;
use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, BorrowedFd};

/// How long values and lists of names can be: `XATTR_SIZE_MAX`, `XATTR_LIST_MAX` of linux/limits.h.
const LONGEST: usize = 65_536;

fn text(path: &str) -> Result<CString, Errno> {
    CString::new(path).map_err(|_| Errno::EINVAL)
}

fn filled(mut bytes: Vec<u8>, count: libc::ssize_t) -> Result<Vec<u8>, Errno> {
    let count = Errno::result(count)?;
    bytes.truncate(usize::try_from(count).map_err(|_| Errno::EIO)?);
    Ok(bytes)
}

/// The value of an attribute of what `path` leads to.
pub(crate) fn attribute(path: &str, name: &CStr) -> Result<Vec<u8>, Errno> {
    let (path, mut bytes) = (text(path)?, vec![0_u8; LONGEST]);
    // SAFETY: both texts end with NUL; the buffer has the length told and lives until the call returns.
    let count = unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), bytes.as_mut_ptr().cast(), bytes.len()) };
    filled(bytes, count)
}

/// The names of its attributes, each with a NUL.
pub(crate) fn attribute_names(path: &str) -> Result<Vec<u8>, Errno> {
    let (path, mut bytes) = (text(path)?, vec![0_u8; LONGEST]);
    // SAFETY: as above.
    let count = unsafe { libc::listxattr(path.as_ptr(), bytes.as_mut_ptr().cast(), bytes.len()) };
    filled(bytes, count)
}

/// Sets an attribute.
pub(crate) fn set_attribute(path: &str, name: &CStr, value: &[u8], flags: i32) -> Result<(), Errno> {
    let path = text(path)?;
    // SAFETY: as above; the kernel reads the value only.
    let result = unsafe { libc::setxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), flags) };
    Errno::result(result).map(drop)
}

/// Removes an attribute.
pub(crate) fn remove_attribute(path: &str, name: &CStr) -> Result<(), Errno> {
    let path = text(path)?;
    // SAFETY: both texts end with NUL.
    Errno::result(unsafe { libc::removexattr(path.as_ptr(), name.as_ptr()) }).map(drop)
}

/// Changes owner and group of the very object behind a descriptor (`O_PATH` will do); `u32::MAX` leaves either.
pub(crate) fn change_owner(object: BorrowedFd<'_>, user: u32, group: u32) -> Result<(), Errno> {
    // SAFETY: the path is empty and ends with NUL; the rest are integers.
    let result = unsafe { libc::fchownat(object.as_raw_fd(), c"".as_ptr(), user, group, libc::AT_EMPTY_PATH) };
    Errno::result(result).map(drop)
}

/// Watches what `path` leads to.
pub(crate) fn add_watch(watcher: BorrowedFd<'_>, path: &str, mask: u32) -> Result<i32, Errno> {
    let path = text(path)?;
    // SAFETY: the path ends with NUL; the rest are integers.
    Errno::result(unsafe { libc::inotify_add_watch(watcher.as_raw_fd(), path.as_ptr(), mask) })
}
