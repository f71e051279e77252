//! A keeper that was started ahead of what it will start: it is prepared while nobody waits for it, and told its plan over its socket.
//!
//! Each is used once. One that is never used ends with its control socket, and so with its host, whatever ends that.

use crate::keeper_spawn::spawn;
use crate::proc_text;
use crate::process::{Process, signal};
use crate::wakeup::readable;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

/// How long one that is not needed any more is waited for.
const LAST_LOOK: Duration = Duration::from_secs(5);

/// What a program would get of a thread's rights that starts it: users, all groups, capabilities, filters of system calls.
const RIGHTS: [&str; 11] = [
    "Uid",
    "Gid",
    "Groups",
    "CapInh",
    "CapPrm",
    "CapEff",
    "CapBnd",
    "CapAmb",
    "NoNewPrivs",
    "Seccomp",
    "Seccomp_filters",
];

/// The rights of a thread, as the kernel tells them.
#[derive(Debug, PartialEq, Eq)]
struct Owner(Vec<String>);

/// A keeper that waits for its plan.
#[derive(Debug)]
pub(crate) struct Ahead {
    process: Option<Process>,
    control: Option<OwnedFd>,
    owner: Owner,
}

impl Ahead {
    /// Starts one from the file `keeper`, with `control` as its end of the socket whose other end is `ours`.
    pub(crate) fn start(keeper: BorrowedFd<'_>, ours: OwnedFd, control: BorrowedFd<'_>) -> io::Result<Self> {
        let owner = owner()?;
        // Streams come with the plan; until then the socket stands in their places, too.
        let process = spawn(keeper, [control; 3], control, None, &[])?;
        Ok(Self { process: Some(process), control: Some(ours), owner })
    }

    /// Its process id, for /proc.
    pub(crate) fn pid(&self) -> Option<i32> {
        self.process.as_ref().map(Process::pid)
    }

    /// Tells it what to start. None where it is not there any more, or was started with rights that the host does not have any more; it is
    /// ended then.
    pub(crate) fn go(
        mut self,
        streams: [BorrowedFd<'_>; 3],
        plan: BorrowedFd<'_>,
        held: &[BorrowedFd<'_>],
    ) -> Option<(Process, OwnedFd)> {
        if owner().ok()? != self.owner {
            return None;
        }
        let handed = streams.into_iter().chain([plan]).chain(held.iter().copied());
        let descriptors: Vec<RawFd> = handed.map(|descriptor| descriptor.as_raw_fd()).collect();
        let rights = [ControlMessage::ScmRights(&descriptors)];
        let control = self.control.as_ref()?.as_raw_fd();
        sendmsg::<()>(control, &[IoSlice::new(&[0])], &rights, MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT, None)
            .ok()?;
        // A keeper that somebody stopped while it waited goes on.
        let _ = signal(self.process.as_ref()?.as_fd(), libc::SIGCONT);
        self.process.take().zip(self.control.take())
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.control = None;
        if let Some(process) = self.process.take() {
            // It may have been stopped, and could not read the end of its socket.
            let _ = signal(process.as_fd(), libc::SIGKILL);
            // What a host that became somebody else may not signal is not waited for without end.
            if readable(process.as_fd(), Some(LAST_LOOK)).unwrap_or(false) {
                let _ = process.reap();
            }
        }
    }
}

/// The rights of the thread that asks, by proc_pid_status(5).
fn owner() -> io::Result<Owner> {
    let status = proc_text::read("/proc/thread-self/status")?;
    let is_right = |line: &&str| line.split_once(':').is_some_and(|(name, _)| RIGHTS.contains(&name));
    Ok(Owner(status.lines().filter(is_right).map(str::to_owned).collect()))
}
