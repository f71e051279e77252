//! A launcher started ahead of its plan: it does what is the same for every run while the host still works out what to run.
//!
//! Each is used once. One that is never used ends with its control socket.

use crate::counting::Counting;
use crate::format::message;
use crate::launcher::Launcher;
use crate::network::Sockets;
use crate::plan::beforehand;
use crate::plan::encode::Plan;
use crate::shared_network::SharedNetwork;
use crate::spawn::spawn;
use crate::start::{Message, Running, receive, send_plan};
use crate::step_report;
use crate::temporary::TemporaryDirectory;
use cofferdam_bridge::error::BridgeError;
use cofferdam_plane_kit::process::Process;
use cofferdam_plane_kit::wakeup::readable;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A launcher that waits for its plan.
#[derive(Debug)]
pub(crate) struct Parked {
    process: Option<Process>,
    control: Option<OwnedFd>,
    stage: Stage,
    flags: i32,
    temporary: Option<TemporaryDirectory>,
}

/// How far a launcher has come.
#[derive(Debug, Default)]
pub(crate) struct Stage {
    /// The plans it got, in order.
    pub(crate) plans: Vec<Plan>,
    /// What counts for its run, where it has joined it already: it is confined then, and needs no more than a program to run.
    pub(crate) counting: Option<Counting>,
    /// The sandbox's root and its seccomp listener, where the filter has one.
    pub(crate) listener: Option<(OwnedFd, OwnedFd)>,
    /// The sockets of its network, as far as it has made them.
    pub(crate) sockets: Sockets,
}

impl Parked {
    /// Starts the launcher in the namespaces of `flags` and lets it do what is the same for every run.
    pub(crate) fn in_namespaces(launcher: &Launcher, flags: i32) -> Result<Self, BridgeError> {
        Self::start(launcher, flags, beforehand::in_namespaces(flags), None)
    }

    /// As [`in_namespaces`](Self::in_namespaces), in a network that others live in, too.
    pub(crate) fn in_network(launcher: &Launcher, flags: i32, network: &SharedNetwork) -> Result<Self, BridgeError> {
        let spawned = Self::spawn(launcher, flags, Some(network));
        Self::begin(spawned, flags, beforehand::in_namespaces(flags), None)
    }

    /// Starts the launcher in the namespaces of `flags` with a plan of the caller's.
    pub(crate) fn with_plan(launcher: &Launcher, flags: i32, plan: Plan) -> Result<Self, BridgeError> {
        Self::start(launcher, flags, plan, None)
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
                return Err(step_report::explain(&message, &parked.stage.plans));
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
        Self::begin(Self::spawn(launcher, flags, None), flags, plan, temporary)
    }

    fn begin(
        spawned: io::Result<(Process, OwnedFd)>,
        flags: i32,
        plan: Plan,
        temporary: Option<TemporaryDirectory>,
    ) -> Result<Self, BridgeError> {
        let (process, ours) = spawned.map_err(|error| step_report::spawn_failed(&error))?;
        let bytes = plan.encode()?;
        let stage = Stage { plans: vec![plan], ..Stage::default() };
        let parked = Self { process: Some(process), control: Some(ours), stage, flags, temporary };
        if let Some(control) = &parked.control {
            send_plan(control.as_fd(), &bytes, &[])?;
        }
        Ok(parked)
    }

    fn spawn(launcher: &Launcher, flags: i32, network: Option<&SharedNetwork>) -> io::Result<(Process, OwnedFd)> {
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)?;
        Ok((spawn(launcher.as_fd(), theirs.as_fd(), flags, network)?, ours))
    }

    /// Where it speaks.
    pub(crate) fn control(&self) -> Result<BorrowedFd<'_>, BridgeError> {
        self.control.as_ref().map(AsFd::as_fd).ok_or_else(step_report::silent)
    }

    /// Why it failed, as it said.
    pub(crate) fn explain(&self, message: &Message) -> BridgeError {
        step_report::explain(message, &self.stage.plans)
    }

    /// Its process number.
    pub(crate) fn pid(&self) -> Option<i32> {
        self.process.as_ref().map(Process::pid)
    }

    /// The temporary storage that it made on the host, where it has no mounts of its own.
    pub(crate) fn temporary(&self) -> Option<&Path> {
        self.temporary.as_ref().map(TemporaryDirectory::path)
    }

    /// Lets it do everything up to the program itself, and waits until it has: `plan` ends with `op::READY`; `count` makes what it joins.
    pub(crate) fn confine(
        mut self,
        plan: Plan,
        count: impl FnOnce(BorrowedFd<'_>) -> Result<Counting, BridgeError>,
    ) -> Result<Self, BridgeError> {
        let Some(control) = &self.control else { return Err(step_report::silent()) };
        send_plan(control.as_fd(), &plan.encode()?, &[])?;
        self.stage.plans.push(plan);
        self.stage.counting = Some(count(control.as_fd())?);
        let mut root = None;
        loop {
            let message = receive(control.as_fd()).map_err(|error| step_report::spawn_failed(&error))?;
            let Some(message) = message else { return Err(step_report::silent()) };
            match message.kind {
                message::READY => return Ok(self),
                message::FAILED => return Err(step_report::explain(&message, &self.stage.plans)),
                message::ROOT => root = message.into_descriptor(),
                message::LISTENER => self.stage.listener = root.take().zip(message.into_descriptor()),
                message::SOCKETS => self.stage.sockets.take(message),
                _ => {}
            }
        }
    }

    /// Whether it is confined already.
    pub(crate) fn is_confined(&self) -> bool {
        self.stage.counting.is_some()
    }

    /// Whether it waits, as it should: one that has ended or says something is broken.
    pub(crate) fn is_sound(&self) -> bool {
        self.control
            .as_ref()
            .is_some_and(|control| matches!(readable(control.as_fd(), Some(Duration::ZERO)), Ok(false)))
    }

    /// A descriptor that can be read when its process has ended.
    pub(crate) fn watch(&self) -> io::Result<OwnedFd> {
        let process = self.process.as_ref().ok_or(io::ErrorKind::NotFound)?;
        process.as_fd().try_clone_to_owned()
    }

    /// A sandbox whose program does not run yet, and how far its launcher has come.
    pub(crate) fn into_running(mut self) -> Option<(Running, Stage)> {
        let (process, control) = self.process.take().zip(self.control.take())?;
        let running =
            Running { process, control, terminal: None, sockets: Sockets::default(), temporary: self.temporary.take() };
        Some((running, std::mem::take(&mut self.stage)))
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
