//! A child process, named by a pidfd: the descriptor means this process for ever, whatever becomes of its number.

#![expect(
    unsafe_code,
    reason = "pidfd_send_signal(2) and wait4(2), which alone answers a child's resources, have no safe form in nix"
)]

pub use crate::resources::Resources;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// A child of ours that we have not reaped.
#[derive(Debug)]
pub struct Process {
    pidfd: OwnedFd,
    pid: i32,
}

impl Process {
    /// The child `pid`, by the descriptor that clone(2) gave with it.
    pub fn new(pidfd: OwnedFd, pid: i32) -> Self {
        Self { pidfd, pid }
    }

    /// Its number, for display and for /proc. Valid until it is reaped.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Waits for its end and reaps it.
    ///
    /// # Errors
    /// Where a host reaps every child itself, and with it this one: its resources are lost then, nothing else.
    pub fn reap(self) -> io::Result<Resources> {
        loop {
            let mut status = 0;
            let mut usage = MaybeUninit::<libc::rusage>::zeroed();
            // SAFETY: status and usage live until the call returns.
            let got = unsafe { libc::wait4(self.pid, &raw mut status, libc::__WALL, usage.as_mut_ptr()) };
            if got == self.pid {
                // SAFETY: wait4 filled it; all-zero bytes would be a valid value, too.
                let usage = unsafe { usage.assume_init() };
                return Ok(Resources {
                    user_us: microseconds(usage.ru_utime),
                    system_us: microseconds(usage.ru_stime),
                    peak_bytes: usage.ru_maxrss.unsigned_abs().saturating_mul(1024),
                });
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }
}

impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

fn microseconds(time: libc::timeval) -> u64 {
    time.tv_sec.unsigned_abs().saturating_mul(1_000_000).saturating_add(time.tv_usec.unsigned_abs())
}

/// Sends `signal` to the process behind a pidfd, which may have ended: then nothing happens.
///
/// # Errors
/// What the kernel answers, other than that the process has ended.
pub fn signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    // SAFETY: the descriptor is valid while borrowed; no siginfo is passed.
    let sent = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, std::ptr::null::<libc::siginfo_t>(), 0)
    };
    if sent == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() == Some(libc::ESRCH) { Ok(()) } else { Err(error) }
}
