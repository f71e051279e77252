//! The standard streams of a guest: nowhere, through the kernel, or the host's own.

use crate::output::Output;
use cofferdam_bridge::execution::{StreamMode, Streams};
use cofferdam_bridge::limits::{LimitName, Limits};
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::sys::stat::Mode;
use nix::unistd::{dup, pipe2};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Room in a pipe of ours, in bytes: a megabyte is the most that an unprivileged user may ask for by default.
const PIPE_BYTES: i32 = 1 << 20;

/// Both ends of what was opened for one execution.
#[derive(Debug)]
pub(crate) struct StreamSet {
    guest: [OwnedFd; 3],
    /// Where `write_stdin` writes.
    pub(crate) input: Option<OwnedFd>,
    /// What the supervisor reads.
    pub(crate) outputs: Vec<Output>,
}

impl StreamSet {
    /// Opens what `streams` asks for.
    pub(crate) fn open(streams: Streams, limits: &Limits) -> io::Result<Self> {
        let (stdin, stdout, stderr) = match streams {
            Streams::Separate { stdin, stdout, stderr } => (stdin, stdout, stderr),
            // The terminal takes all three places; what stands there until then does not matter.
            _ => (StreamMode::Null, StreamMode::Null, StreamMode::Null),
        };
        let mut outputs = Vec::new();
        let (read, input) = source(stdin)?;
        let out = target(stdout, LimitName::Stdout, limits.stdout_bytes, &mut outputs)?;
        let err = target(stderr, LimitName::Stderr, limits.stderr_bytes, &mut outputs)?;
        Ok(Self { guest: [read, out, err], input, outputs })
    }

    /// The guest's ends.
    pub(crate) fn guest(&self) -> [BorrowedFd<'_>; 3] {
        self.guest.each_ref().map(AsFd::as_fd)
    }

    /// Closes our copies of the guest's ends, so that a stream ends when the guest's last copy does.
    pub(crate) fn into_ours(self) -> (Option<OwnedFd>, Vec<Output>) {
        (self.input, self.outputs)
    }
}

fn source(mode: StreamMode) -> io::Result<(OwnedFd, Option<OwnedFd>)> {
    match mode {
        StreamMode::Piped => {
            let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
            let _ = fcntl(&write, FcntlArg::F_SETPIPE_SZ(PIPE_BYTES));
            fcntl(&write, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
            Ok((read, Some(write)))
        }
        StreamMode::Inherit => Ok((cloned(io::stdin().as_fd())?, None)),
        _ => Ok((null()?, None)),
    }
}

fn target(mode: StreamMode, name: LimitName, limit: Option<u64>, outputs: &mut Vec<Output>) -> io::Result<OwnedFd> {
    match mode {
        StreamMode::Piped => {
            let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
            let _ = fcntl(&read, FcntlArg::F_SETPIPE_SZ(PIPE_BYTES));
            fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
            outputs.push(Output::new(read, name, limit));
            Ok(write)
        }
        StreamMode::Inherit if name == LimitName::Stderr => cloned(io::stderr().as_fd()),
        StreamMode::Inherit => cloned(io::stdout().as_fd()),
        _ => null(),
    }
}

/// A host that runs with a standard stream closed hands on nothing rather than failing.
fn cloned(stream: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    match dup(stream) {
        Ok(copy) => {
            fcntl(&copy, FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC))?;
            Ok(copy)
        }
        Err(_) => null(),
    }
}

fn null() -> io::Result<OwnedFd> {
    Ok(open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?)
}
