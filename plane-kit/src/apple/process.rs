//! A child process by its number, which stays its own until it is reaped: macOS has no descriptor for a process.

#![expect(unsafe_code, reason = "wait4(2), which alone answers a child's resources, has no safe form in nix")]

pub use crate::resources::Resources;
use std::io;
use std::mem::MaybeUninit;

/// A child of ours that we have not reaped.
#[derive(Debug)]
pub struct Process {
    pid: i32,
}

impl Process {
    /// The child `pid`.
    pub fn new(pid: i32) -> Self {
        Self { pid }
    }

    /// Its number. Valid until it is reaped.
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
            let got = unsafe { libc::wait4(self.pid, &raw mut status, 0, usage.as_mut_ptr()) };
            if got == self.pid {
                // SAFETY: wait4 filled it; all-zero bytes would be a valid value, too.
                let usage = unsafe { usage.assume_init() };
                return Ok(Resources {
                    user_us: microseconds(usage.ru_utime),
                    system_us: microseconds(usage.ru_stime),
                    // In bytes here (getrusage(2) of macOS), not in kibibytes.
                    peak_bytes: usage.ru_maxrss.unsigned_abs(),
                });
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }
}

fn microseconds(time: libc::timeval) -> u64 {
    time.tv_sec.unsigned_abs().saturating_mul(1_000_000).saturating_add(u64::from(time.tv_usec.unsigned_abs()))
}
