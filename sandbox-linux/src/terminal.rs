//! The master end of a guest's terminal.

#![expect(unsafe_code, reason = "ioctl_tty(2) has no safe form that takes a size")]

use nix::errno::Errno;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Sets the size of the terminal behind `master`.
pub(crate) fn set_size(master: BorrowedFd<'_>, size: &libc::winsize) -> Result<(), Errno> {
    // SAFETY: the descriptor is valid while borrowed and the size lives until the call returns.
    let result = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSWINSZ, std::ptr::from_ref(size)) };
    Errno::result(result).map(drop)
}
