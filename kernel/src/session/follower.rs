//! Follows what a persistent command prints.

use super::persistent::Persistent;
use super::ring::Ring;
use super::status::{CommandState, CommandStatus};
use std::fmt;
use std::sync::Arc;
use tokio::sync::watch;

/// A standard stream that is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OutputStream {
    /// Standard output, or the terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What there is to tell a follower.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FollowEvent {
    /// Something was printed.
    Output {
        /// Where.
        stream: OutputStream,
        /// How many bytes before these were printed faster than they were followed, and are gone.
        lost: u64,
        /// What.
        bytes: Vec<u8>,
    },
    /// It ended, and is not started again by itself. Nothing comes after this.
    Ended(Box<CommandStatus>),
}

/// What a guest prints stays out of logs.
impl fmt::Debug for FollowEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Output { stream, lost, bytes } => {
                write!(f, "Output({stream:?}, {} bytes, {lost} lost)", bytes.len())
            }
            Self::Ended(status) => f.debug_tuple("Ended").field(status).finish(),
        }
    }
}

/// A reader of a command's output. It slows nothing down: what it is too slow for is lost to it, and it is told how much that was.
#[derive(Debug)]
pub struct Follower {
    command: Arc<Persistent>,
    changes: watch::Receiver<u64>,
    stdout: u64,
    stderr: u64,
    ended: bool,
}

impl Follower {
    /// From what is kept of it on.
    pub(super) fn new(command: Arc<Persistent>) -> Self {
        let changes = command.watch();
        let (stdout, stderr) = {
            let state = command.lock();
            (state.stdout.first(), state.stderr.first())
        };
        Self { command, changes, stdout, stderr, ended: false }
    }

    /// The next thing to tell, as soon as there is one; none after the end. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<FollowEvent> {
        loop {
            if self.ended {
                return None;
            }
            self.changes.borrow_and_update();
            if let Some(event) = self.look() {
                return Some(event);
            }
            if self.changes.changed().await.is_err() {
                return None;
            }
        }
    }

    fn look(&mut self) -> Option<FollowEvent> {
        let state = self.command.lock();
        let printed = part(&state.stdout, &mut self.stdout, OutputStream::Stdout)
            .or_else(|| part(&state.stderr, &mut self.stderr, OutputStream::Stderr));
        if printed.is_some() {
            return printed;
        }
        self.ended = matches!(state.phase, CommandState::Ended | CommandState::NeverStarted);
        drop(state);
        self.ended.then(|| FollowEvent::Ended(Box::new(self.command.status())))
    }
}

fn part(ring: &Ring, from: &mut u64, stream: OutputStream) -> Option<FollowEvent> {
    let part = ring.since(*from)?;
    *from = part.end;
    Some(FollowEvent::Output { stream, lost: part.lost, bytes: part.bytes })
}
