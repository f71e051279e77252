//! A keeper that was started ahead of what it will start: it is prepared while nobody waits for it, and told its plan over its socket.
//!
//! Each is used once. One that is never used ends with its control socket, and so with its host, whatever ends that.

use crate::keeper_line::Line;
use crate::keeper_spawn::spawn;
use crate::proc_text;
use crate::process::{Process, signal};
use crate::wakeup::readable;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
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

/// The rights of a thread, as the kernel tells them: the whole of proc_pid_status(5), where all else is passed over.
#[derive(Debug)]
struct Owner(String);

impl PartialEq for Owner {
    fn eq(&self, other: &Self) -> bool {
        self.rights().eq(other.rights())
    }
}

/// A keeper that waits for its plan.
#[derive(Debug)]
pub(crate) struct Ahead {
    process: Option<Process>,
    line: Option<Line>,
    owner: Owner,
}

impl Ahead {
    /// Starts one from the file `keeper`.
    pub(crate) fn start(keeper: BorrowedFd<'_>) -> io::Result<Self> {
        let owner = Owner::asking()?;
        let (line, its) = Line::new()?;
        // Streams come with the plan; until then the socket stands in their places, too.
        let process = spawn(keeper, [its.as_fd(); 3], [its.as_fd(), line.mark.as_fd()], None, &[])?;
        Ok(Self { process: Some(process), line: Some(line), owner })
    }

    /// Its process id, for /proc.
    pub(crate) fn pid(&self) -> Option<i32> {
        self.process.as_ref().map(Process::pid)
    }

    /// Tells it what to start, in at most `MOST_SENT` bytes. None where it is not there any more, or was started with rights that the host
    /// does not have any more; it is ended then.
    pub(crate) fn go(
        mut self,
        streams: [BorrowedFd<'_>; 3],
        plan: &[u8],
        held: &[BorrowedFd<'_>],
    ) -> Option<(Process, Line)> {
        if Owner::asking().ok()? != self.owner {
            return None;
        }
        let descriptors: Vec<RawFd> = streams.iter().chain(held).map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&descriptors)];
        let control = self.line.as_ref()?.control.as_raw_fd();
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        let sent = sendmsg::<()>(control, &[IoSlice::new(plan)], &rights, flags, None).ok()?;
        // A keeper that somebody stopped while it waited goes on when it is waited for.
        if sent == plan.len() { self.process.take().zip(self.line.take()) } else { None }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.line = None;
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

impl Owner {
    /// The rights of the thread that asks.
    fn asking() -> io::Result<Self> {
        proc_text::read("/proc/thread-self/status").map(Self)
    }

    fn rights(&self) -> impl Iterator<Item = &str> {
        let is_right =
            |line: &&str| RIGHTS.iter().any(|name| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(':')));
        self.0.lines().filter(is_right)
    }
}
