//! Waits until something is written in a directory (inotify(7)).

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

/// A watch over the files of one directory.
#[derive(Debug)]
pub(super) struct DirectoryWatch(Inotify);

impl DirectoryWatch {
    pub(super) fn new(directory: &Path) -> io::Result<Self> {
        let watch = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        let what = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_DELETE_SELF;
        watch.add_watch(directory, what)?;
        Ok(Self(watch))
    }

    /// Whether something was written within `longest`.
    pub(super) fn wait(&self, longest: Duration) -> io::Result<bool> {
        let timeout = PollTimeout::try_from(longest).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(0) | Err(nix::Error::EINTR) => Ok(false),
            Ok(_) => Ok(self.0.read_events().map(|_| true)?),
            Err(error) => Err(error.into()),
        }
    }
}
