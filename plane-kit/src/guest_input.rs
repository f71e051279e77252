//! What the host writes to a guest: a pipe, or typing on its terminal. Safe after the guest's end.

use crate::pipe_room;
use crate::terminal;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::execution::TerminalSize;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Where input goes.
#[derive(Debug)]
pub struct GuestInput {
    pipe: Mutex<Option<OwnedFd>>,
    terminal: Option<OwnedFd>,
    ended: AtomicBool,
}

impl GuestInput {
    /// Nowhere: every write is refused.
    pub fn none() -> Self {
        Self::over(None, None)
    }

    /// A pipe whose end does not block.
    pub fn pipe(write: OwnedFd) -> Self {
        Self::over(Some(write), None)
    }

    /// The host's end of a terminal, which does not block.
    pub fn terminal(host: OwnedFd) -> Self {
        Self::over(None, Some(host))
    }

    fn over(pipe: Option<OwnedFd>, terminal: Option<OwnedFd>) -> Self {
        Self { pipe: Mutex::new(pipe), terminal, ended: AtomicBool::new(false) }
    }

    /// The guest is gone: writers that wait for room give up.
    pub fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
    }

    /// Writes; waits for room until the guest ends.
    ///
    /// # Errors
    /// `invalid_state` where there is no input, `io_failed` (kind `broken_pipe`) when nobody reads any more.
    pub fn write(&self, mut bytes: &[u8]) -> Result<(), BridgeError> {
        let pipe = lock(&self.pipe);
        let target: BorrowedFd<'_> = match (pipe.as_ref(), self.terminal.as_ref()) {
            (Some(pipe), _) => pipe.as_fd(),
            (None, Some(terminal)) => terminal.as_fd(),
            (None, None) => {
                let message =
                    "standard input is closed or was never piped; ask for a piped one when the run is started";
                return Err(BridgeError::new(ErrorCode::InvalidState, message));
            }
        };
        let mut widened = false;
        while !bytes.is_empty() {
            if self.ended.load(Ordering::SeqCst) {
                return Err(io_failed("the program has ended and reads no input any more", Errno::EPIPE));
            }
            match without_sigpipe(|| nix::unistd::write(target, bytes)) {
                Ok(sent) => bytes = bytes.get(sent..).unwrap_or_default(),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) if !widened => {
                    widened = true;
                    pipe_room::widen(target);
                }
                Err(Errno::EAGAIN) => wait_for_room(target)?,
                Err(errno) => return Err(io_failed("the program does not read its input any more", errno)),
            }
        }
        Ok(())
    }

    /// Closes a pipe, once; on a terminal, types the end-of-file character.
    ///
    /// # Errors
    /// As [`write`](Self::write), on a terminal.
    pub fn close(&self) -> Result<(), BridgeError> {
        const END_OF_TRANSMISSION: &[u8] = &[4];
        if lock(&self.pipe).take().is_none() && self.terminal.is_some() && !self.ended.load(Ordering::SeqCst) {
            return self.write(END_OF_TRANSMISSION);
        }
        Ok(())
    }

    /// Changes the terminal's size.
    ///
    /// # Errors
    /// `invalid_state` where there is no terminal.
    pub fn resize(&self, size: TerminalSize) -> Result<(), BridgeError> {
        let Some(terminal) = &self.terminal else {
            return Err(BridgeError::new(ErrorCode::InvalidState, "this execution has no terminal; start it with one"));
        };
        terminal::set_size(terminal.as_fd(), size).map_err(|error| {
            BridgeError::new(ErrorCode::IoFailed, "the terminal was not resized; the run may have ended")
                .with("kind", error.kind().to_string())
        })
    }
}

/// Runs a write whose SIGPIPE, if it raises one, is taken back before anybody sees it: what the host does with that
/// signal is the host's own affair.
fn without_sigpipe(write: impl FnOnce() -> nix::Result<usize>) -> nix::Result<usize> {
    let mut pipe = SigSet::empty();
    pipe.add(Signal::SIGPIPE);
    let before = pipe.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let written = write();
    if written == Err(Errno::EPIPE) && !before.contains(Signal::SIGPIPE) && pending(Signal::SIGPIPE) {
        // It is pending for this very thread, so this does not wait.
        pipe.wait()?;
    }
    before.thread_set_mask()?;
    written
}

/// Whether `signal` waits to be delivered. A host that ignores it has none waiting, and waiting for it would never end.
fn pending(signal: Signal) -> bool {
    pending_signals().is_some_and(|pending| pending.contains(signal))
}

#[expect(unsafe_code, reason = "sigpending(2) has no safe form in nix")]
fn pending_signals() -> Option<SigSet> {
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: the set lives until the call returns.
    let answer = unsafe { libc::sigpending(set.as_mut_ptr()) };
    if answer != 0 {
        return None;
    }
    // SAFETY: sigpending filled it.
    let set = unsafe { set.assume_init() };
    // SAFETY: the set is one that the kernel made.
    Some(unsafe { SigSet::from_sigset_t_unchecked(set) })
}

/// Waits a while for room; the caller looks whether the guest is still there and comes again.
fn wait_for_room(target: BorrowedFd<'_>) -> Result<(), BridgeError> {
    let mut watched = [PollFd::new(target, PollFlags::POLLOUT)];
    match poll(&mut watched, PollTimeout::from(100_u8)) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(io_failed("waiting for room in the program's input failed", errno)),
    }
}

fn io_failed(what: &str, errno: Errno) -> BridgeError {
    let kind = std::io::Error::from(errno).kind();
    let kind = if errno == Errno::EPIPE { "broken_pipe".to_owned() } else { kind.to_string() };
    BridgeError::new(ErrorCode::IoFailed, what).with("kind", kind)
}

/// A panicking thread leaves nothing half-done behind this lock, so a poisoned one is as good.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
