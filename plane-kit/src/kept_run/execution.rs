//! What host threads and the supervisor share of one execution.

use crate::guest_input::GuestInput;
use crate::keeper::{GRACE, KeptControl};
use crate::process_tree::ProcessTree;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::execution::ExecutionSignal;
use std::sync::atomic::{AtomicU8, Ordering};

/// The handles of one execution. Every operation is safe after its end and then does nothing.
#[derive(Debug)]
pub(crate) struct Shared {
    control: KeptControl,
    pub(crate) input: GuestInput,
    /// All that the keeper keeps.
    pub(crate) tree: ProcessTree,
    wished: AtomicU8,
}

/// What the host has wished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Nothing,
    /// Its end at once.
    Kill,
    /// Its end in order.
    Stop,
}

impl Shared {
    /// Shares what runs.
    pub(crate) fn new(control: KeptControl, input: GuestInput, tree: ProcessTree) -> Self {
        Self { control, input, tree, wished: AtomicU8::new(0) }
    }

    /// Ends everything in the execution.
    pub(crate) fn kill(&self) {
        self.control.kill();
    }

    /// Ends everything when `grace` has passed, and asks it to end before.
    pub(crate) fn stop(&self, grace: std::time::Duration) {
        self.control.stop(grace);
    }

    /// As `kill`, on the host's wish.
    pub(crate) fn kill_for_host(&self) {
        self.wished.fetch_max(1, Ordering::SeqCst);
        self.kill();
    }

    /// TERM, a grace, KILL, on the host's wish.
    pub(crate) fn stop_for_host(&self) {
        self.wished.fetch_max(2, Ordering::SeqCst);
        self.stop(GRACE);
    }

    /// What the host has wished.
    pub(crate) fn wish(&self) -> Wish {
        match self.wished.load(Ordering::SeqCst) {
            0 => Wish::Nothing,
            1 => Wish::Kill,
            _ => Wish::Stop,
        }
    }

    /// Delivers a signal.
    pub(crate) fn deliver(&self, wanted: ExecutionSignal) -> Result<(), BridgeError> {
        match wanted {
            ExecutionSignal::Kill => self.kill_for_host(),
            ExecutionSignal::Terminate => self.control.signal_program(libc::SIGTERM),
            ExecutionSignal::Hangup => self.control.signal_program(libc::SIGHUP),
            ExecutionSignal::User1 => self.control.signal_program(libc::SIGUSR1),
            ExecutionSignal::User2 => self.control.signal_program(libc::SIGUSR2),
            ExecutionSignal::Interrupt => self.control.signal_foreground(libc::SIGINT),
            ExecutionSignal::Quit => self.control.signal_foreground(libc::SIGQUIT),
            ExecutionSignal::Stop => self.control.signal_foreground(libc::SIGTSTP),
            ExecutionSignal::Continue => self.control.signal_foreground(libc::SIGCONT),
            _ => {
                return Err(BridgeError::new(
                    ErrorCode::UnsupportedOperation,
                    "this plane does not know that signal; terminate or kill end the program",
                ));
            }
        }
        Ok(())
    }
}
