//! What a command of a session prints, on its way to where our own output goes.

use crate::failure::{Failure, io};
use crate::guest_text::GuestText;
use std::io::{IsTerminal, Write};

/// Both streams.
#[derive(Debug)]
pub(super) struct Streams {
    stdout: Option<GuestText>,
    stderr: Option<GuestText>,
}

impl Streams {
    /// As text that steers nothing where it goes to a terminal, unless `raw`; elsewhere as it is.
    pub(super) fn to_terminals_unless(raw: bool) -> Self {
        let text = |terminal: bool| (terminal && !raw).then(GuestText::default);
        Self { stdout: text(std::io::stdout().is_terminal()), stderr: text(std::io::stderr().is_terminal()) }
    }

    /// Hands a piece on; answers whether somebody reads it.
    pub(super) fn hand_on(&mut self, stream: &str, bytes: &[u8]) -> Result<bool, Failure> {
        let is_stderr = stream == "stderr";
        let text = if is_stderr { &mut self.stderr } else { &mut self.stdout };
        let shown = text.as_mut().map(|text| text.shown(bytes));
        let bytes = shown.as_ref().map_or(bytes, |shown| shown.as_bytes());
        let written = if is_stderr {
            std::io::stderr().lock().write_all(bytes)
        } else {
            let mut stdout = std::io::stdout().lock();
            stdout.write_all(bytes).and_then(|()| stdout.flush())
        };
        match written {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(io("what the command prints cannot be handed on", &error)),
        }
    }
}
