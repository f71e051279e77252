//! Somebody at the terminal of a persistent command.

use super::persistent::Persistent;
use crate::error::KernelError;
use crate::execution::Controller;
use cofferdam_bridge::execution::TerminalSize;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Pieces of output that may wait to be shown; past that the program waits.
const MOST_WAITING: usize = 16;

/// Somebody at the terminal of a persistent command. Unlike a follower they miss nothing: the program waits for them, though not long
/// for one who does not look. There is one at a time; a second takes the first one's place. Dropping it leaves the command running.
#[derive(Debug)]
pub struct Attachment {
    controller: Controller,
    shown: mpsc::Receiver<Vec<u8>>,
    screen: Vec<u8>,
}

impl Attachment {
    pub(super) fn begin(command: &Arc<Persistent>) -> Result<Self, KernelError> {
        let controller = command.controller()?;
        let (sender, shown) = mpsc::channel(MOST_WAITING);
        let screen = command.change(|state| {
            state.attached = Some(sender);
            state.stdout.tail()
        });
        Ok(Self { controller, shown, screen })
    }

    /// What the terminal has shown so far, as far as it is kept.
    pub fn screen(&self) -> &[u8] {
        &self.screen
    }

    /// What it shows next; none when the command has ended or somebody else was attached. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Vec<u8>> {
        self.shown.recv().await
    }

    /// A handle to type and to resize with while this is read.
    pub fn controller(&self) -> Controller {
        self.controller.clone()
    }

    /// Types on the terminal; waits while the program does not read.
    ///
    /// # Errors
    /// `io_failed` when it does not read any more.
    pub async fn write(&self, bytes: Vec<u8>) -> Result<(), KernelError> {
        self.controller.write_stdin(bytes).await
    }

    /// Changes the terminal's size.
    ///
    /// # Errors
    /// What the plane met.
    pub fn resize(&self, size: TerminalSize) -> Result<(), KernelError> {
        self.controller.resize(size)
    }
}
