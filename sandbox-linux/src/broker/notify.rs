//! The kernel's side of seccomp user notifications (seccomp_unotify(2)): receive a call, answer it, hand over a descriptor.

#![expect(unsafe_code, reason = "the ioctls of seccomp_unotify(2) have no safe form")]

use nix::errno::Errno;
use std::mem::zeroed;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Both sides run on one processor while a call is answered, which saves waking another (since Linux 6.6).
const SYNC_WAKE_UP: u64 = 1;

/// A call that waits for its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Notification {
    /// Names the waiting call; never reused while the listener lives.
    pub(crate) id: u64,
    /// The thread that called, as this process numbers it.
    pub(crate) thread: i32,
    /// The architecture of the call (`AUDIT_ARCH_…`).
    pub(crate) architecture: u32,
    /// The call's number.
    pub(crate) number: i64,
    /// Its arguments.
    pub(crate) arguments: [u64; 6],
}

/// The descriptor on which the calls of one sandbox arrive.
#[derive(Debug)]
pub(crate) struct Listener(OwnedFd);

impl Listener {
    /// Takes over a descriptor that seccomp(2) gave with `SECCOMP_FILTER_FLAG_NEW_LISTENER`.
    pub(crate) fn new(descriptor: OwnedFd) -> Self {
        // SAFETY: integers only. A kernel that does not know the flag refuses it, and serving is only slower then.
        unsafe { libc::ioctl(descriptor.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS, SYNC_WAKE_UP) };
        Self(descriptor)
    }

    /// Takes the next call. `ENOENT`: its thread died before it was taken.
    pub(crate) fn receive(&self) -> Result<Notification, Errno> {
        // SAFETY: integers only, for which all-zero bytes are valid; the kernel demands them.
        let mut notification: libc::seccomp_notif = unsafe { zeroed() };
        // SAFETY: the request number holds the structure's size, and the structure lives until the call returns.
        let result = unsafe {
            libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, std::ptr::from_mut(&mut notification))
        };
        Errno::result(result)?;
        Ok(Notification {
            id: notification.id,
            thread: notification.pid.cast_signed(),
            architecture: notification.data.arch,
            number: i64::from(notification.data.nr),
            arguments: notification.data.args,
        })
    }

    /// Whether the call still waits: what was read about its thread until now was about that very thread.
    pub(crate) fn is_valid(&self, id: u64) -> bool {
        // SAFETY: the kernel reads eight bytes, which live until the call returns.
        let result =
            unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ID_VALID, std::ptr::from_ref(&id)) };
        result == 0
    }

    /// Answers a call with a number that is no error.
    pub(crate) fn answer_with(&self, id: u64, value: i64) {
        let mut response = libc::seccomp_notif_resp { id, val: value, error: 0, flags: 0 };
        // SAFETY: as in `answer`.
        unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, std::ptr::from_mut(&mut response)) };
    }

    /// Answers a call. That its thread is gone meanwhile is no fault.
    pub(crate) fn answer(&self, id: u64, outcome: Result<(), Errno>) {
        let error = match outcome {
            Ok(()) => 0,
            Err(errno) => -(errno as i32),
        };
        let mut response = libc::seccomp_notif_resp { id, val: 0, error, flags: 0 };
        // SAFETY: the structure has the size in the request number and lives until the call returns.
        unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, std::ptr::from_mut(&mut response)) };
    }

    /// Lets a call go on as if nobody had been asked (seccomp_unotify(2)). Only for calls whose verdict depends on nothing that was
    /// looked at: the memory that they name may be another by now.
    pub(crate) fn let_go_on(&self, id: u64) {
        let flags = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32;
        let mut response = libc::seccomp_notif_resp { id, val: 0, error: 0, flags };
        // SAFETY: as above.
        unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, std::ptr::from_mut(&mut response)) };
    }

    /// Puts a copy of `descriptor` into the caller's table and answers with its number, both at once.
    pub(crate) fn hand_over(&self, id: u64, descriptor: BorrowedFd<'_>, close_on_exec: bool) -> Result<(), Errno> {
        let mut request = libc::seccomp_notif_addfd {
            id,
            flags: libc::SECCOMP_ADDFD_FLAG_SEND as u32,
            srcfd: descriptor.as_raw_fd().cast_unsigned(),
            newfd: 0,
            newfd_flags: if close_on_exec { libc::O_CLOEXEC.cast_unsigned() } else { 0 },
        };
        // SAFETY: as in `answer`; the descriptor is borrowed until the call returns.
        let result = unsafe {
            libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ADDFD, std::ptr::from_mut(&mut request))
        };
        Errno::result(result).map(drop)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
