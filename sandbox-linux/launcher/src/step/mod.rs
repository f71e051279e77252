//! The operations, a file for each kind of thing they change.

pub mod account;
pub mod afterwards;
pub mod cgroup;
pub mod file;
pub mod hold;
pub mod landlock;
pub mod limits;
pub mod network;
pub mod overlay;
pub mod packets;
pub mod privileges;
pub mod root;
pub mod scratch;
pub mod seccomp;
pub mod terminal;

/// An error number, positive.
pub type Errno = i32;

/// Error numbers that the launcher itself gives.
pub const ENOENT: Errno = 2;
pub const EINTR: Errno = 4;
pub const ECHILD: Errno = 10;
pub const EEXIST: Errno = 17;
pub const ENOSYS: Errno = 38;
pub const EBADMSG: Errno = 74;
pub const ESTALE: Errno = 116;
pub const ENOTRECOVERABLE: Errno = 131;

/// Relative to the working directory.
pub const AT_FDCWD: isize = -100;
/// The descriptor itself is meant.
pub const AT_EMPTY_PATH: usize = 0x1000;
/// The new descriptor is closed on exec.
pub const O_CLOEXEC: usize = 0o2_000_000;
/// The descriptor only names a place.
pub const O_PATH: usize = 0o10_000_000;
/// A symbolic link in the last place is not followed.
pub const O_NOFOLLOW: usize = if cfg!(target_arch = "aarch64") { 0o100_000 } else { 0o400_000 };
/// Only a directory is opened. These two have numbers of their own on AArch64 (its `uapi/asm/fcntl.h`).
pub const O_DIRECTORY: usize = if cfg!(target_arch = "aarch64") { 0o40_000 } else { 0o200_000 };

/// Why an operation failed: the error number, and what tells its parts from each other.
pub struct Failure {
    pub errno: Errno,
    pub detail: u64,
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self { errno, detail: 0 }
    }
}

/// The call's result, or its error number.
pub fn check(result: isize) -> Result<usize, Errno> {
    // The kernel's error numbers are 1 to 4095; addresses above that are results.
    if (-4095..0).contains(&result) { Err(-(result as i32)) } else { Ok(result as usize) }
}

/// As `check`, with `detail` in a failure.
pub fn part(result: isize, detail: u64) -> Result<usize, Failure> {
    check(result).map_err(|errno| Failure { errno, detail })
}
