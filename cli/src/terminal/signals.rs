//! Signals to this process, as what they mean for the run.

use cofferdam_bridge::execution::ExecutionSignal;
use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// To be handed to the program.
    Forward(ExecutionSignal),
    /// The host's terminal has another size.
    Resized,
}

/// The signals that are handed on.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    quit: Signal,
    user1: Signal,
    user2: Signal,
    stop: Signal,
    resized: Signal,
}

/// SIGTSTP, which tokio has no name for.
const STOP: i32 = nix::sys::signal::Signal::SIGTSTP as i32;

impl Signals {
    /// Takes the signals over from their default actions.
    pub(crate) fn take() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            quit: signal(SignalKind::quit())?,
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
            stop: signal(SignalKind::from_raw(STOP))?,
            resized: signal(SignalKind::window_change())?,
        })
    }

    /// The next signal. Dropping the future loses none.
    pub(crate) async fn next(&mut self) -> Received {
        let forwarded = tokio::select! {
            _ = self.interrupt.recv() => ExecutionSignal::Interrupt,
            _ = self.terminate.recv() => ExecutionSignal::Terminate,
            _ = self.hangup.recv() => ExecutionSignal::Hangup,
            _ = self.quit.recv() => ExecutionSignal::Quit,
            _ = self.user1.recv() => ExecutionSignal::User1,
            _ = self.user2.recv() => ExecutionSignal::User2,
            _ = self.stop.recv() => ExecutionSignal::Stop,
            _ = self.resized.recv() => return Received::Resized,
        };
        Received::Forward(forwarded)
    }
}
