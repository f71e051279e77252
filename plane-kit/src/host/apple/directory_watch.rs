//! Waits until something is written in a directory: kqueue(2), which tells of a directory's names and of each open file by itself.

use nix::errno::Errno;
use nix::sys::event::{EvFlags, EventFilter, FilterFlag, KEvent, Kqueue};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A watch over the files of one directory.
#[derive(Debug)]
pub(super) struct DirectoryWatch {
    queue: Kqueue,
    directory: PathBuf,
    _held: File,
    files: Mutex<BTreeMap<OsString, File>>,
}

impl DirectoryWatch {
    pub(super) fn new(directory: &Path) -> io::Result<Self> {
        let (queue, held) = (Kqueue::new()?, File::open(directory)?);
        follow(&queue, &held)?;
        let watch = Self { queue, directory: directory.to_owned(), _held: held, files: Mutex::default() };
        watch.follow_all()?;
        Ok(watch)
    }

    /// Whether something was written within `longest`.
    pub(super) fn wait(&self, longest: Duration) -> io::Result<bool> {
        let seconds = longest.as_secs().try_into().unwrap_or(i64::MAX);
        let most = libc::timespec { tv_sec: seconds, tv_nsec: longest.subsec_nanos().into() };
        let none = KEvent::new(0, EventFilter::EVFILT_VNODE, EvFlags::empty(), FilterFlag::empty(), 0, 0);
        match self.queue.kevent(&[], &mut [none; 8], Some(most)) {
            Ok(0) | Err(Errno::EINTR) => Ok(false),
            Ok(_) => self.follow_all().map(|()| true),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Follows the files that are there now, and lets go of those that are not.
    fn follow_all(&self) -> io::Result<()> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let mut now = BTreeMap::new();
        for entry in fs::read_dir(&self.directory)?.flatten() {
            let name = entry.file_name();
            if let Some(file) = files.remove(&name) {
                now.insert(name, file);
            } else if let Ok(file) = File::open(entry.path()) {
                follow(&self.queue, &file)?;
                now.insert(name, file);
            }
        }
        *files = now;
        Ok(())
    }
}

fn follow(queue: &Kqueue, file: &File) -> nix::Result<()> {
    let descriptor = usize::try_from(file.as_raw_fd()).unwrap_or(0);
    let (add, what) = (EvFlags::EV_ADD | EvFlags::EV_CLEAR, FilterFlag::NOTE_WRITE | FilterFlag::NOTE_EXTEND);
    queue.kevent(&[KEvent::new(descriptor, EventFilter::EVFILT_VNODE, add, what, 0, 0)], &mut [], None).map(|_| ())
}
