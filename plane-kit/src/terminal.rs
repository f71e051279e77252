//! A pseudo-terminal: its two ends and its size.

#![expect(unsafe_code, reason = "the sizes and signals of a terminal are set by ioctl(2), which has no safe form")]

use cofferdam_bridge::execution::TerminalSize;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

/// A terminal that was just made.
#[derive(Debug)]
pub struct Terminal {
    /// Where the host reads and types. Does not block.
    pub host: OwnedFd,
    /// What the program has.
    pub guest: OwnedFd,
}

/// Makes a terminal of `size`.
///
/// # Errors
/// Where the kernel gives none.
pub fn open(size: TerminalSize) -> io::Result<Terminal> {
    let ends = nix::pty::openpty(Some(&window(size)), None)?;
    for end in [&ends.master, &ends.slave] {
        fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    }
    fcntl(&ends.master, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok(Terminal { host: ends.master, guest: ends.slave })
}

/// Changes the size; the kernel tells the foreground group.
///
/// # Errors
/// What ioctl(2) answers.
pub fn set_size(terminal: BorrowedFd<'_>, size: TerminalSize) -> io::Result<()> {
    let size = window(size);
    // SAFETY: the descriptor is valid while borrowed; the structure lives until the call returns.
    let set = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
    if set < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn window(size: TerminalSize) -> libc::winsize {
    libc::winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 }
}
