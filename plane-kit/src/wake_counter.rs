//! What a waker writes to and a wait reads: an eventfd(2).

use nix::sys::eventfd::{EfdFlags, EventFd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// A counter that can be read while it is not zero.
pub(crate) struct WakeCounter(EventFd);

impl WakeCounter {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?))
    }

    pub(crate) fn add(&self) {
        // A counter that is full has not been read yet, so the thread wakes anyway.
        let _ = self.0.write(1);
    }

    pub(crate) fn clear(&self) {
        // One that nobody woke says that it would block.
        let _ = self.0.read();
    }
}

impl AsFd for WakeCounter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
