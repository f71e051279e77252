//! The standard streams of a guest: nowhere, through the kernel, the host's own, or a terminal in their place.

use crate::captured_output::{CapturedOutput, DEFAULT_LIMIT};
use crate::guest_input::GuestInput;
use crate::terminal;
use cofferdam_bridge::execution::{StreamMode, Streams};
use cofferdam_bridge::limits::{LimitName, Limits};
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::sys::stat::Mode;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Both ends of what was opened for one execution.
#[derive(Debug)]
pub struct StandardStreams {
    guest: [OwnedFd; 3],
    input: GuestInput,
    outputs: Vec<CapturedOutput>,
}

impl StandardStreams {
    /// Opens what `streams` asks for; what is captured is bounded by `limits`, or by the default.
    ///
    /// # Errors
    /// Where the kernel gives no descriptors.
    pub fn open(streams: Streams, limits: &Limits) -> io::Result<Self> {
        let bound = |limit: Option<u64>, mode: StreamMode| {
            limit.unwrap_or(if mode == StreamMode::Followed { u64::MAX } else { DEFAULT_LIMIT })
        };
        let (stdin, stdout, stderr) = match streams {
            Streams::Separate { stdin, stdout, stderr } => (stdin, stdout, stderr),
            Streams::Terminal { size } => {
                let terminal = terminal::open(size)?;
                let guest = [cloned(terminal.guest.as_fd())?, cloned(terminal.guest.as_fd())?, terminal.guest];
                let output = cloned(terminal.host.as_fd())?;
                // Somebody watches a terminal, so what it shows is bounded only where the policy says so.
                let limit = limits.stdout_bytes.unwrap_or(u64::MAX);
                let outputs = vec![CapturedOutput::new(output, LimitName::Stdout, limit)];
                return Ok(Self { guest, input: GuestInput::terminal(terminal.host), outputs });
            }
            _ => return Err(io::ErrorKind::Unsupported.into()),
        };
        let mut outputs = Vec::new();
        let (read, input) = source(stdin)?;
        let out = target(stdout, LimitName::Stdout, bound(limits.stdout_bytes, stdout), &mut outputs)?;
        let err = target(stderr, LimitName::Stderr, bound(limits.stderr_bytes, stderr), &mut outputs)?;
        Ok(Self { guest: [read, out, err], input, outputs })
    }

    /// The guest's ends, as descriptors 0 to 2.
    pub fn guest(&self) -> [BorrowedFd<'_>; 3] {
        self.guest.each_ref().map(AsFd::as_fd)
    }

    /// The device of the terminal that the guest has, if it has one.
    pub fn terminal_name(&self) -> Option<String> {
        self.guest
            .iter()
            .find_map(|end| nix::unistd::ttyname(end).ok())
            .and_then(|path| path.into_os_string().into_string().ok())
    }

    /// Closes our copies of the guest's ends, so that a stream ends when the guest's last copy does.
    pub fn into_ours(self) -> (GuestInput, Vec<CapturedOutput>) {
        (self.input, self.outputs)
    }
}

fn source(mode: StreamMode) -> io::Result<(OwnedFd, GuestInput)> {
    match mode {
        StreamMode::Piped => {
            let (read, write) = pipe()?;
            fcntl(&write, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
            Ok((read, GuestInput::pipe(write)))
        }
        StreamMode::Inherit => Ok((host_stream(io::stdin().as_fd())?, GuestInput::none())),
        _ => Ok((null()?, GuestInput::none())),
    }
}

fn target(mode: StreamMode, name: LimitName, limit: u64, outputs: &mut Vec<CapturedOutput>) -> io::Result<OwnedFd> {
    match mode {
        StreamMode::Piped | StreamMode::Followed => {
            let (read, write) = pipe()?;
            fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
            outputs.push(CapturedOutput::new(read, name, limit));
            Ok(write)
        }
        StreamMode::Inherit if name == LimitName::Stderr => host_stream(io::stderr().as_fd()),
        StreamMode::Inherit => host_stream(io::stdout().as_fd()),
        _ => null(),
    }
}

/// A pipe that no program which the host starts meanwhile gets.
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = io::pipe()?;
    Ok((read.into(), write.into()))
}

/// A host that runs with a standard stream closed hands on nothing rather than failing.
fn host_stream(stream: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    cloned(stream).or_else(|_| null())
}

fn cloned(descriptor: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // In one step, so that no program which the host starts meanwhile gets a copy; above 2, so that no stream lies in another's place.
    descriptor.try_clone_to_owned()
}

fn null() -> io::Result<OwnedFd> {
    Ok(open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?)
}
