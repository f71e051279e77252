//! The process that removes a plane's cgroups when the plane's own process is killed.

use crate::format::op;
use crate::launcher::Launcher;
use crate::plan::encode::Plan;
use crate::spawn::spawn;
use crate::start::send_plan;
use cofferdam_plane_kit::process::Process;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

/// It waits for the end of its socket, then removes what is left. Dropping this ends and reaps it.
#[derive(Debug)]
pub(super) struct Afterwards {
    control: Option<OwnedFd>,
    process: Option<Process>,
}

impl Afterwards {
    /// Starts it for `directories` and the directories in them, which need not be there yet.
    pub(super) fn start(directories: &[PathBuf], launcher: &Launcher) -> io::Result<Self> {
        let mut plan = Plan::default();
        let paths: Vec<Vec<u8>> = directories.iter().map(|path| path.as_os_str().as_encoded_bytes().to_vec()).collect();
        drop(plan.add(op::REMOVE_AFTERWARDS, "cgroup").texts(&paths));
        let bytes = plan.encode().map_err(io::Error::other)?;
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)?;
        let process = spawn(launcher.as_fd(), theirs.as_fd(), 0, None)?;
        let started = Self { control: Some(ours), process: Some(process) };
        if let Some(control) = &started.control {
            send_plan(control.as_fd(), &bytes, &[]).map_err(io::Error::other)?;
        }
        Ok(started)
    }

    /// Lets it begin; dropping this waits for its end.
    pub(super) fn begin(&mut self) {
        self.control = None;
    }
}

impl Drop for Afterwards {
    fn drop(&mut self) {
        self.begin();
        if let Some(process) = self.process.take() {
            let _ = process.reap();
        }
    }
}
