//! What host threads and the supervisor share of one execution.

use crate::format::command;
use crate::reap::signal;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::execution::{ExecutionSignal, TerminalSize};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::socket::{Shutdown, shutdown};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The handles of one execution. Every operation is safe after its end and then does nothing.
#[derive(Debug)]
pub(crate) struct Shared {
    pidfd: OwnedFd,
    control: Mutex<Option<OwnedFd>>,
    input: Mutex<Option<OwnedFd>>,
    terminal: Option<OwnedFd>,
    end: End,
    killed: AtomicBool,
    ended: AtomicBool,
}

/// How a sandbox is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Its first process is killed, and the kernel ends the rest of the pid namespace with it.
    Kill,
    /// The control socket is shut down: the launcher ends, and its guard ends the rest.
    HangUp,
}

impl Shared {
    /// Shares the descriptors of a sandbox that runs.
    pub(crate) fn new(
        pidfd: OwnedFd,
        control: OwnedFd,
        input: Option<OwnedFd>,
        terminal: Option<OwnedFd>,
        end: End,
    ) -> Self {
        Self {
            pidfd,
            control: Mutex::new(Some(control)),
            input: Mutex::new(input),
            terminal,
            end,
            killed: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        }
    }

    /// Ends everything in the sandbox.
    pub(crate) fn kill(&self) {
        match self.end {
            End::Kill => drop(signal(self.pidfd.as_fd(), libc::SIGKILL)),
            End::HangUp => {
                if let Some(control) = lock(&self.control).as_ref() {
                    let _ = shutdown(control.as_raw_fd(), Shutdown::Both);
                }
            }
        }
    }

    /// As `kill`, on the host's wish.
    pub(crate) fn kill_for_host(&self) {
        self.killed.store(true, Ordering::SeqCst);
        self.kill();
    }

    /// Whether the host wished the end.
    pub(crate) fn was_killed(&self) -> bool {
        self.killed.load(Ordering::SeqCst)
    }

    /// The sandbox is gone: writers that wait for room give up.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        *lock(&self.control) = None;
    }

    /// Delivers a signal.
    pub(crate) fn deliver(&self, wanted: ExecutionSignal) -> Result<(), BridgeError> {
        let (kind, number) = match wanted {
            ExecutionSignal::Kill => {
                self.kill_for_host();
                return Ok(());
            }
            ExecutionSignal::Terminate => (command::SIGNAL_PROGRAM, libc::SIGTERM),
            ExecutionSignal::Hangup => (command::SIGNAL_PROGRAM, libc::SIGHUP),
            ExecutionSignal::User1 => (command::SIGNAL_PROGRAM, libc::SIGUSR1),
            ExecutionSignal::User2 => (command::SIGNAL_PROGRAM, libc::SIGUSR2),
            ExecutionSignal::Interrupt => (command::SIGNAL_FOREGROUND, libc::SIGINT),
            ExecutionSignal::Quit => (command::SIGNAL_FOREGROUND, libc::SIGQUIT),
            ExecutionSignal::Stop => (command::SIGNAL_FOREGROUND, libc::SIGTSTP),
            ExecutionSignal::Continue => (command::SIGNAL_FOREGROUND, libc::SIGCONT),
            _ => {
                return Err(BridgeError::new(
                    ErrorCode::UnsupportedOperation,
                    "this plane does not know that signal; terminate or kill end the program",
                ));
            }
        };
        let mut bytes = [0; command::LENGTH];
        let (head, tail) = bytes.split_at_mut(4);
        head.copy_from_slice(&kind.to_le_bytes());
        tail.copy_from_slice(&number.to_le_bytes());
        let control = lock(&self.control);
        let Some(control) = control.as_ref() else { return Ok(()) };
        match nix::sys::socket::send(control.as_raw_fd(), &bytes, nix::sys::socket::MsgFlags::MSG_NOSIGNAL) {
            Ok(_) | Err(Errno::EPIPE | Errno::ECONNRESET) => Ok(()),
            Err(errno) => Err(io_failed("the signal could not be sent", errno)),
        }
    }

    /// Writes to standard input or types on the terminal; waits for room until the sandbox ends.
    pub(crate) fn write(&self, mut bytes: &[u8]) -> Result<(), BridgeError> {
        let input = lock(&self.input);
        let target: BorrowedFd<'_> = match (input.as_ref(), self.terminal.as_ref()) {
            (Some(input), _) => input.as_fd(),
            (None, Some(terminal)) => terminal.as_fd(),
            (None, None) => {
                return Err(BridgeError::new(ErrorCode::InvalidState, "standard input is closed or was never piped"));
            }
        };
        while !bytes.is_empty() {
            if self.ended.load(Ordering::SeqCst) {
                return Err(io_failed("the program has ended", Errno::EPIPE));
            }
            let sent = match &*input {
                Some(_) => without_sigpipe(|| nix::unistd::write(target, bytes)),
                None => nix::unistd::write(target, bytes),
            };
            match sent {
                Ok(sent) => bytes = bytes.get(sent..).unwrap_or_default(),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => wait_for_room(target)?,
                Err(errno) => return Err(io_failed("the program does not read its input any more", errno)),
            }
        }
        Ok(())
    }

    /// Closes standard input. On a terminal, types the end-of-file character.
    pub(crate) fn close_input(&self) -> Result<(), BridgeError> {
        const END_OF_TRANSMISSION: &[u8] = &[4];
        if lock(&self.input).take().is_none() && self.terminal.is_some() {
            return self.write(END_OF_TRANSMISSION);
        }
        Ok(())
    }

    /// Changes the terminal's size; the kernel tells the foreground group.
    pub(crate) fn resize(&self, size: TerminalSize) -> Result<(), BridgeError> {
        let Some(terminal) = &self.terminal else {
            return Err(BridgeError::new(ErrorCode::InvalidState, "this execution has no terminal"));
        };
        let size = libc::winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
        crate::terminal::set_size(terminal.as_fd(), &size)
            .map_err(|errno| io_failed("the terminal was not resized", errno))
    }
}

/// Runs a write whose SIGPIPE, if it raises one, is taken back before anybody sees it: what the host does with that
/// signal is the host's own affair.
fn without_sigpipe(write: impl FnOnce() -> nix::Result<usize>) -> nix::Result<usize> {
    let mut pipe = SigSet::empty();
    pipe.add(Signal::SIGPIPE);
    let before = pipe.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let written = write();
    if written == Err(Errno::EPIPE) && !before.contains(Signal::SIGPIPE) {
        // It is pending for this very thread, so this does not wait.
        pipe.wait()?;
    }
    before.thread_set_mask()?;
    written
}

/// Waits a while for room; the caller looks whether the sandbox is still there and comes again.
fn wait_for_room(target: BorrowedFd<'_>) -> Result<(), BridgeError> {
    let mut watched = [PollFd::new(target, PollFlags::POLLOUT)];
    match poll(&mut watched, PollTimeout::from(100_u8)) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(io_failed("waiting for room failed", errno)),
    }
}

fn io_failed(what: &str, errno: Errno) -> BridgeError {
    let kind = std::io::Error::from(errno).kind();
    let kind = if errno == Errno::EPIPE { "broken_pipe".to_owned() } else { kind.to_string() };
    BridgeError::new(ErrorCode::IoFailed, what).with("kind", kind)
}

/// A panicking thread leaves nothing half-done behind these locks, so a poisoned one is as good.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
