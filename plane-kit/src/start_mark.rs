//! Tells that a program was about to run though its keeper tells nothing more, since the program has killed it: an eventfd(2), on which nobody
//! waits, so that writing to it wakes nobody on the way to the program.

use nix::sys::eventfd::{EfdFlags, EventFd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// Our end of it.
#[derive(Debug)]
pub(crate) struct StartMark(EventFd);

impl StartMark {
    /// One that nothing was written to.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?))
    }

    /// The process id of the program, if it was about to be executed.
    pub(crate) fn program_id(&self) -> Option<u32> {
        self.0.read().ok().and_then(|id| u32::try_from(id).ok())
    }
}

impl AsFd for StartMark {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
