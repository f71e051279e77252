//! A launcher started ahead of its plan: it does what is the same for every run while the host still works out what to run.
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
use std::sync::{Mutex, PoisonError};

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

/// The one launcher that was started ahead, if any.
#[derive(Debug, Default)]
pub(crate) struct Ahead(Mutex<Option<Parked>>);

impl Ahead {
    /// Starts one now. Where that fails, so will the start that it was for, and tell why.
    pub(crate) fn begin(&self, launcher: &Launcher, flags: i32) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Parked::start(launcher, flags).ok();
    }

    /// The launcher that was started, if it fits `flags`; one that does not is ended.
    pub(crate) fn take(&self, flags: i32) -> Option<Parked> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().filter(|parked| parked.flags == flags)
    }
}
