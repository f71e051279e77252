//! A launcher started ahead of its plan: its namespaces are made while the host still works out what to run.
//!
//! Each is used once. One that is never used ends with its control socket.

use crate::launcher::Launcher;
use crate::plan::beforehand;
use crate::plan::encode::Plan;
use crate::reap::reap;
use crate::spawn::{Spawned, spawn};
use crate::start::send_plan;
use crate::step_report;
use cofferdam_bridge::error::BridgeError;
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
    plan: Plan,
    flags: i32,
}

impl Parked {
    /// Starts the launcher in the namespaces of `flags` and lets it do what is the same for every run.
    pub(crate) fn start(launcher: &Launcher, flags: i32) -> Result<Self, BridgeError> {
        let plan = beforehand::plan(flags);
        let bytes = plan.encode()?;
        let (process, ours) = Self::spawn(launcher, flags).map_err(|error| step_report::spawn_failed(&error))?;
        let parked = Self { process: Some(process), control: Some(ours), plan, flags };
        if let Some(control) = &parked.control {
            send_plan(control.as_fd(), &bytes, &[])?;
        }
        Ok(parked)
    }

    fn spawn(launcher: &Launcher, flags: i32) -> io::Result<(Spawned, OwnedFd)> {
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)?;
        Ok((spawn(launcher.as_fd(), theirs.as_fd(), flags)?, ours))
    }

    /// The process, our end of its control socket, and the plan that it has.
    pub(crate) fn into_parts(mut self) -> Option<(Spawned, OwnedFd, Plan)> {
        let (process, control) = self.process.take().zip(self.control.take())?;
        Some((process, control, std::mem::take(&mut self.plan)))
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

/// The one launcher that is being got ready, if any.
#[derive(Debug, Default)]
pub(crate) struct Ahead(Mutex<Option<JoinHandle<Result<Parked, BridgeError>>>>);

impl Ahead {
    /// Begins to get one ready, on a thread of its own.
    pub(crate) fn begin(&self, launcher: &Arc<Launcher>, flags: i32) {
        let launcher = launcher.clone();
        let ready = move || Parked::start(&launcher, flags);
        let thread = thread::Builder::new().name("cofferdam-ahead".to_owned()).stack_size(128 * 1024).spawn(ready);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = thread.ok();
    }

    /// The launcher that was got ready, if it fits `flags`; one that does not is ended.
    pub(crate) fn take(&self, flags: i32) -> Option<Parked> {
        let thread = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        thread?.join().ok()?.ok().filter(|parked| parked.flags == flags)
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        drop(self.take(0));
    }
}
