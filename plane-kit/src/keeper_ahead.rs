//! A keeper that was started ahead of what it will start: it is prepared while nobody waits for it, and told its plan over its socket.
//!
//! Each is used once. One that is never used ends with its control socket, and so with its host, whatever ends that.

use crate::keeper_spawn::spawn;
use crate::process::{Process, signal};
use crate::wakeup::readable;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use nix::unistd::{getresgid, getresuid};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

/// How long one that is not needed any more is waited for.
const LAST_LOOK: Duration = Duration::from_secs(5);

/// Real, effective and saved user and group.
type Owner = [u32; 6];

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

    /// Tells it what to start. None where it is not there any more, or was started by whom the host is not any more; it is ended then.
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

fn owner() -> io::Result<Owner> {
    let (user, group) = (getresuid()?, getresgid()?);
    let users = [user.real, user.effective, user.saved].map(nix::unistd::Uid::as_raw);
    let groups = [group.real, group.effective, group.saved].map(nix::unistd::Gid::as_raw);
    let ([a, b, c], [d, e, f]) = (users, groups);
    Ok([a, b, c, d, e, f])
}
