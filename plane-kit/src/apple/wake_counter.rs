//! What a waker writes to and a wait reads: a pipe, for there is no eventfd(2) here.

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

/// A pipe that can be read once it was written to.
pub(crate) struct WakeCounter {
    read: PipeReader,
    write: PipeWriter,
}

impl WakeCounter {
    pub(crate) fn new() -> io::Result<Self> {
        let (read, write) = io::pipe()?;
        fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        fcntl(&write, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok(Self { read, write })
    }

    pub(crate) fn add(&self) {
        // A pipe that is full has not been read yet, so the thread wakes anyway.
        let _ = (&self.write).write(&[1]);
    }

    pub(crate) fn clear(&self) {
        let mut bytes = [0; 512];
        // Until it says that it would block.
        while (&self.read).read(&mut bytes).is_ok_and(|count| count == bytes.len()) {}
    }
}

impl AsFd for WakeCounter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.read.as_fd()
    }
}
