//! Room in a pipe: the usual until one was found full, since most programs write little, and what a user's pipes may hold in all is bounded
//! (pipe(7), `pipe-user-pages-soft`).

#[cfg(target_os = "linux")]
use nix::fcntl::{FcntlArg, fcntl};
use std::os::fd::BorrowedFd;

/// Bytes in a pipe of the usual size (pipe(7), "Pipe capacity").
pub(crate) const USUAL: usize = 64 * 1024;

/// A megabyte is the most that an unprivileged user may ask for by default.
#[cfg(target_os = "linux")]
const MOST: i32 = 1 << 20;

/// Lets a pipe hold more, where the system lets its size be chosen. Anything else stays as it is.
pub(crate) fn widen(pipe: BorrowedFd<'_>) {
    #[cfg(target_os = "linux")]
    let _ = fcntl(pipe, FcntlArg::F_SETPIPE_SZ(MOST));
    #[cfg(not(target_os = "linux"))]
    let _ = pipe;
}
