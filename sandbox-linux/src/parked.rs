//! A launcher started ahead of its plan: it does what is the same for every run while the host still works out what to run.
//!
//! Each is used once. One that is never used ends with its control socket.

use crate::format::message;
use crate::launcher::Launcher;
use crate::plan::beforehand;
use crate::plan::encode::Plan;
use crate::spawn::spawn;
use crate::start::{Running, receive, send_plan};
use crate::step_report;
use crate::temporary::TemporaryDirectory;
use cofferdam_bridge::error::BridgeError;
use cofferdam_plane_kit::process::Process;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// A launcher that waits for its plan.
#[derive(Debug)]
pub(crate) struct Parked {
    process: Option<Process>,
    control: Option<OwnedFd>,
    plan: Plan,
    flags: i32,
    temporary: Option<TemporaryDirectory>,
}

impl Parked {
    /// Starts the launcher in the namespaces of `flags` and lets it do what is the same for every run.
    pub(crate) fn in_namespaces(launcher: &Launcher, flags: i32) -> Result<Self, BridgeError> {
        Self::start(launcher, flags, beforehand::in_namespaces(flags), None)
    }

    /// Starts the launcher without namespaces, under a guard; `temporary`: with temporary storage of its own on the host.
    pub(crate) fn guarded(launcher: &Launcher, temporary: bool) -> Result<Self, BridgeError> {
        let temporary = temporary.then(TemporaryDirectory::choose).transpose()?;
        let plan = beforehand::guarded(temporary.as_ref().map(TemporaryDirectory::path));
        Self::start(launcher, 0, plan, temporary)
    }

    /// Whether a launcher can do its part in the namespaces of `flags` here, found out by letting it.
    pub(crate) fn try_namespaces(launcher: &Launcher, flags: i32) -> Result<(), BridgeError> {
        let parked = Self::start(launcher, flags, beforehand::trial(flags), None)?;
        let Some(control) = &parked.control else { return Ok(()) };
        while let Ok(Some(message)) = receive(control.as_fd()) {
            if message.kind == message::FAILED {
                return Err(step_report::explain(&message, [&parked.plan, &parked.plan]));
            }
        }
        Ok(())
    }

    fn start(
        launcher: &Launcher,
        flags: i32,
        plan: Plan,
        temporary: Option<TemporaryDirectory>,
    ) -> Result<Self, BridgeError> {
        let bytes = plan.encode()?;
        let (process, ours) = Self::spawn(launcher, flags).map_err(|error| step_report::spawn_failed(&error))?;
        let parked = Self { process: Some(process), control: Some(ours), plan, flags, temporary };
        if let Some(control) = &parked.control {
            send_plan(control.as_fd(), &bytes, &[])?;
        }
        Ok(parked)
    }

    fn spawn(launcher: &Launcher, flags: i32) -> io::Result<(Process, OwnedFd)> {
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)?;
        Ok((spawn(launcher.as_fd(), theirs.as_fd(), flags)?, ours))
    }

    /// Its process number.
    pub(crate) fn pid(&self) -> Option<i32> {
        self.process.as_ref().map(Process::pid)
    }

    /// The temporary storage that it made on the host, where it has no mounts of its own.
    pub(crate) fn temporary(&self) -> Option<&Path> {
        self.temporary.as_ref().map(TemporaryDirectory::path)
    }

    /// A sandbox whose program does not run yet, and the plan that its launcher has.
    pub(crate) fn into_running(mut self) -> Option<(Running, Plan)> {
        let (process, control) = self.process.take().zip(self.control.take())?;
        let running = Running { process, control, terminal: None, temporary: self.temporary.take() };
        Some((running, std::mem::take(&mut self.plan)))
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        self.control = None;
        if let Some(process) = self.process.take() {
            // It reads the end of its socket and ends; reaping it leaves nothing behind.
            let _ = process.reap();
        }
    }
}

/// The one launcher that was started ahead, if any.
#[derive(Debug, Default)]
pub(crate) struct Ahead(Mutex<Option<Parked>>);

impl Ahead {
    /// Starts one now. Where that fails, so will the start that it was for, and tell why.
    pub(crate) fn begin(&self, launcher: &Launcher, flags: i32) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Parked::in_namespaces(launcher, flags).ok();
    }

    /// The launcher that was started, if it fits `flags`; one that does not is ended.
    pub(crate) fn take(&self, flags: i32) -> Option<Parked> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().filter(|parked| parked.flags == flags)
    }
}
