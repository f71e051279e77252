//! What host threads and the supervisor share of one execution.

use crate::format::command;
use crate::inner_sockets::Family;
use crate::network::OwnLoopback;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::execution::ExecutionSignal;
use cofferdam_plane_kit::guest_input::GuestInput;
use cofferdam_plane_kit::process::signal;
use cofferdam_plane_kit::process_tree::ProcessTree;
use nix::errno::Errno;
use nix::sys::socket::{Shutdown, shutdown};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The handles of one execution. Every operation is safe after its end and then does nothing.
#[derive(Debug)]
pub(crate) struct Shared {
    pidfd: OwnedFd,
    control: Mutex<Option<OwnedFd>>,
    input: GuestInput,
    end: End,
    processes: ProcessTree,
    /// Where it listens, where it has no network of its own.
    loopback: Option<Arc<OwnLoopback>>,
    killed: AtomicBool,
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
    pub(crate) fn new(pidfd: OwnedFd, control: OwnedFd, input: GuestInput, end: End, processes: ProcessTree) -> Self {
        Self {
            pidfd,
            control: Mutex::new(Some(control)),
            input,
            end,
            processes,
            loopback: None,
            killed: AtomicBool::new(false),
        }
    }

    /// The same of one that listens at places of the host's loopback.
    pub(crate) fn listening_at(self, loopback: Option<Arc<OwnLoopback>>) -> Self {
        Self { loopback, ..self }
    }

    /// Whether something in it listens at what it knows as `port`.
    pub(crate) fn is_listening(&self, port: u16) -> bool {
        let Some(loopback) = &self.loopback else { return self.processes.is_listening(port) };
        let places = [Family::Four, Family::Six].map(|family| loopback.place(port, family));
        places.into_iter().flatten().any(|at| self.processes.is_listening(at.port()))
    }

    /// What the host writes to the guest.
    pub(crate) fn input(&self) -> &GuestInput {
        &self.input
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
        self.input.end();
        *lock(&self.control) = None;
    }

    /// Ends what goes on after the program's end.
    pub(crate) fn finish(&self) {
        // A launcher that does not hear it has ended.
        let _ = self.tell(command::FINISH, 0);
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
        self.tell(kind, number)
    }

    fn tell(&self, kind: u32, value: i32) -> Result<(), BridgeError> {
        let mut bytes = [0; command::LENGTH];
        let (head, tail) = bytes.split_at_mut(4);
        head.copy_from_slice(&kind.to_le_bytes());
        tail.copy_from_slice(&value.to_le_bytes());
        let control = lock(&self.control);
        let Some(control) = control.as_ref() else { return Ok(()) };
        match nix::sys::socket::send(control.as_raw_fd(), &bytes, nix::sys::socket::MsgFlags::MSG_NOSIGNAL) {
            Ok(_) | Err(Errno::EPIPE | Errno::ECONNRESET) => Ok(()),
            Err(errno) => Err(io_failed("the signal could not be sent", errno)),
        }
    }
}

fn io_failed(what: &str, errno: Errno) -> BridgeError {
    BridgeError::new(ErrorCode::IoFailed, what).with("kind", std::io::Error::from(errno).kind().to_string())
}

/// A panicking thread leaves nothing half-done behind these locks, so a poisoned one is as good.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
