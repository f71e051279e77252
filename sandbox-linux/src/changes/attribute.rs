//! Extended attributes (xattr(7)), reached through a descriptor that only names its object.

#![expect(unsafe_code, reason = "extended attributes have no safe form here")]

use super::entry::own_path;
use nix::errno::Errno;
use std::ffi::{CStr, CString};
use std::os::fd::AsFd;

/// What overlayfs notes with each object, for mounts without root (Documentation/filesystems/overlayfs.rst).
pub(crate) const OPAQUE: &CStr = c"user.overlay.opaque";
pub(crate) const WHITEOUT: &CStr = c"user.overlay.whiteout";
pub(crate) const REDIRECT: &CStr = c"user.overlay.redirect";
pub(crate) const METACOPY: &CStr = c"user.overlay.metacopy";
pub(crate) const ORIGIN: &CStr = c"user.overlay.origin";

/// All of overlayfs's own; what a guest itself sets in that name is kept by it with another `overlay.` in front.
pub(crate) const OWN: &[u8] = b"user.overlay.";

/// Longest value and list that a kernel gives (`XATTR_SIZE_MAX`, `XATTR_LIST_MAX`).
const LONGEST: usize = 65_536;

fn path(object: &impl AsFd) -> Result<CString, Errno> {
    CString::new(own_path(object.as_fd())).map_err(|_| Errno::EINVAL)
}

/// The value of `name`, or none.
pub(crate) fn get(object: impl AsFd, name: &CStr) -> Result<Option<Vec<u8>>, Errno> {
    let path = path(&object)?;
    let mut value = vec![0_u8; LONGEST];
    // SAFETY: both texts end with NUL; the buffer is as long as told.
    let length = unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
    match Errno::result(length) {
        Ok(length) => {
            value.truncate(usize::try_from(length).unwrap_or(0));
            Ok(Some(value))
        }
        // Symbolic links and special files have none in `user.`.
        Err(Errno::ENODATA | Errno::EOPNOTSUPP | Errno::EPERM) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Sets `name`.
pub(crate) fn set(object: impl AsFd, name: &CStr, value: &[u8]) -> Result<(), Errno> {
    let path = path(&object)?;
    // SAFETY: both texts end with NUL; the value is as long as told.
    let result = unsafe { libc::setxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    Errno::result(result).map(drop)
}

/// Removes `name`.
pub(crate) fn remove(object: impl AsFd, name: &CStr) -> Result<(), Errno> {
    let path = path(&object)?;
    // SAFETY: both texts end with NUL.
    Errno::result(unsafe { libc::removexattr(path.as_ptr(), name.as_ptr()) }).map(drop)
}

/// The names of all that are set.
pub(crate) fn list(object: impl AsFd) -> Result<Vec<CString>, Errno> {
    let path = path(&object)?;
    let mut names = vec![0_u8; LONGEST];
    // SAFETY: the text ends with NUL; the buffer is as long as told.
    let length = unsafe { libc::listxattr(path.as_ptr(), names.as_mut_ptr().cast(), names.len()) };
    match Errno::result(length) {
        Ok(length) => names.truncate(usize::try_from(length).unwrap_or(0)),
        Err(Errno::EOPNOTSUPP) => return Ok(Vec::new()),
        Err(errno) => return Err(errno),
    }
    Ok(names
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .filter_map(|name| CString::new(name).ok())
        .collect())
}
