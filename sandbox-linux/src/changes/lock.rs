//! Who works on a change set: one at a time, and never longer than its process lives (flock(2)).

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag, openat};
use nix::sys::stat::Mode;
use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: Flock<OwnedFd>,
}

impl Lock {
    /// Takes the lock of the file `name` in `folder`, which is made if need be; none when somebody else has it.
    pub(crate) fn try_take(folder: impl AsFd, name: &CStr) -> Result<Option<Self>, Errno> {
        Self::take(folder, name, FlockArg::LockExclusiveNonblock)
    }

    /// As [`try_take`](Self::try_take), but waits until it is free.
    pub(crate) fn wait(folder: impl AsFd, name: &CStr) -> Result<Option<Self>, Errno> {
        Self::take(folder, name, FlockArg::LockExclusive)
    }

    fn take(folder: impl AsFd, name: &CStr, how: FlockArg) -> Result<Option<Self>, Errno> {
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mut file = openat(&folder, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?;
        loop {
            match Flock::lock(file, how) {
                Ok(lock) => return Ok(Some(Self { _file: lock })),
                Err((_, Errno::EWOULDBLOCK)) => return Ok(None),
                Err((again, Errno::EINTR)) => file = again,
                Err((_, errno)) => return Err(errno),
            }
        }
    }
}
