//! The launcher's way in: a program executed from memory, held by a descriptor.

use super::attempt::Outcome;
use super::calls::{self, errno_of};
use crate::format::CONTROL_FD;
use crate::launcher::Launcher;
use crate::spawn::spawn;
use cofferdam_plane_kit::process::{Process, signal};
use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use std::os::fd::{AsFd, OwnedFd};

/// The launcher, started without namespaces and waiting for a plan. It ends when its control socket closes.
struct Waiting {
    process: Option<Process>,
    control: Option<OwnedFd>,
}

impl Waiting {
    fn start() -> Result<Self, Outcome> {
        let refused = |step, errno| Outcome::Refused { step, errno };
        memfd_create(c"cofferdam-doctor", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)
            .map_err(|errno| refused("memfd_create", errno))?;
        let launcher = Launcher::new().map_err(|_| refused("fcntl F_ADD_SEALS", Errno::EIO))?;
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)
            .map_err(|errno| refused("socketpair", errno))?;
        let process = spawn(launcher.as_fd(), theirs.as_fd(), 0, None)
            .map_err(|error| refused("execveat of a memory file", errno_of(&error)))?;
        Ok(Self { process: Some(process), control: Some(ours) })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.control = None;
        if let Some(process) = self.process.take() {
            let _ = process.reap();
        }
    }
}

pub(super) fn memory_file() -> Outcome {
    Waiting::start().map_or_else(|outcome| outcome, |_| Outcome::Worked)
}

pub(super) fn pid_descriptor() -> Outcome {
    let pid = nix::unistd::getpid().as_raw();
    match calls::open_pidfd(pid) {
        Err(errno) => Outcome::Refused { step: "pidfd_open", errno },
        // Signal 0 asks only whether a signal could be sent.
        Ok(own) => Outcome::of("pidfd_send_signal", signal(own.as_fd(), 0).map_err(|error| errno_of(&error))),
    }
}

pub(super) fn descriptor_transfer() -> Outcome {
    match Waiting::start() {
        Err(outcome) => outcome,
        Ok(waiting) => {
            let taken = waiting.process.as_ref().map(|process| calls::take_descriptor(process.as_fd(), CONTROL_FD));
            Outcome::of("pidfd_getfd", taken.unwrap_or(Err(Errno::ESRCH)))
        }
    }
}
