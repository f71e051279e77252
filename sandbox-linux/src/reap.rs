//! The end of a sandbox's first process, and what the whole sandbox used.

#![expect(
    unsafe_code,
    reason = "wait4(2) is the only call that answers a child's resources, and nix has no form of it"
)]

use std::io;
use std::mem::MaybeUninit;

/// What the kernel counted for a process and all the descendants it waited for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Resources {
    /// Microseconds in user mode.
    pub(crate) user_us: u64,
    /// Microseconds in the kernel.
    pub(crate) system_us: u64,
    /// Peak resident memory of the largest process, in bytes.
    pub(crate) peak_bytes: u64,
}

/// Waits until `pid`, a child of ours, has ended. Pid 1 of a namespace ends only after everything in it.
pub(crate) fn reap(pid: i32) -> io::Result<Resources> {
    loop {
        let mut status = 0;
        let mut usage = MaybeUninit::<libc::rusage>::zeroed();
        // SAFETY: status and usage live until the call returns.
        let got = unsafe { libc::wait4(pid, &raw mut status, libc::__WALL, usage.as_mut_ptr()) };
        if got == pid {
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

fn microseconds(time: libc::timeval) -> u64 {
    time.tv_sec.unsigned_abs().saturating_mul(1_000_000).saturating_add(time.tv_usec.unsigned_abs())
}

/// Sends `signal` to the process behind a pidfd, which may have ended: then nothing happens.
pub(crate) fn signal(pidfd: std::os::fd::BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    use std::os::fd::AsRawFd;
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
