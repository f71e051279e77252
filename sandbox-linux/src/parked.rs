//! A launcher started ahead of its plan: its namespaces are made while the host still works out what to run.
//!
//! Each is used once. One that is never used ends with its control socket.

use crate::cgroup::Reserved;
use crate::launcher::Launcher;
use crate::reap::reap;
use crate::spawn::{Spawned, spawn};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

/// A launcher that waits for its plan.
#[derive(Debug)]
pub(crate) struct Parked {
    process: Option<Spawned>,
    control: Option<OwnedFd>,
    flags: i32,
}

impl Parked {
    /// Starts the launcher in the namespaces of `flags`.
    pub(crate) fn start(launcher: &Launcher, flags: i32) -> io::Result<Self> {
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)?;
        let process = spawn(launcher.as_fd(), theirs.as_fd(), flags)?;
        Ok(Self { process: Some(process), control: Some(ours), flags })
    }

    /// The process and our end of its control socket.
    pub(crate) fn into_parts(mut self) -> Option<(Spawned, OwnedFd)> {
        self.process.take().zip(self.control.take())
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        self.control = None;
        if let Some(process) = self.process.take() {
            // It reads the end of its socket and ends; reaping it leaves nothing behind.
            let _ = reap(process.pid);
        }
    }
}

/// What is got ready ahead of a start.
#[derive(Debug)]
struct Readied {
    launcher: io::Result<Parked>,
    cgroup: Option<Reserved>,
}

/// The one launcher that is being got ready, if any.
#[derive(Debug, Default)]
pub(crate) struct Ahead(Mutex<Option<JoinHandle<Readied>>>);

impl Ahead {
    /// Begins to get one ready, on a thread of its own.
    pub(crate) fn begin(&self, launcher: &Arc<Launcher>, flags: i32) {
        let launcher = launcher.clone();
        let ready = move || Readied { launcher: Parked::start(&launcher, flags), cgroup: Reserved::new(&launcher) };
        let thread = thread::Builder::new().name("cofferdam-ahead".to_owned()).stack_size(128 * 1024).spawn(ready);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = thread.ok();
    }

    /// The launcher that was got ready for `flags`, and the place for its cgroup. What does not fit is ended.
    pub(crate) fn take(&self, flags: i32) -> (Option<Parked>, Option<Reserved>) {
        let thread = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Readied { launcher, cgroup }) = thread.and_then(|thread| thread.join().ok()) else {
            return (None, None);
        };
        (launcher.ok().filter(|parked| parked.flags == flags), cgroup)
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        drop(self.take(0));
    }
}
