//! The host's terminal in raw mode, and back on every way out.

use cofferdam_bridge::execution::TerminalSize;
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, Once, PoisonError};
use terminal_size::{Height, Width};

static PANIC_RESTORES: Once = Once::new();

/// What the terminal was before. Dropping it, and a panic, bring that back.
#[derive(Debug)]
pub(crate) struct RawTerminal {
    before: Option<Arc<Mutex<Termios>>>,
}

impl RawTerminal {
    /// Puts standard input's terminal in raw mode; does nothing where there is none.
    pub(crate) fn enter() -> nix::Result<Self> {
        let stdin = std::io::stdin();
        if !stdin.is_terminal() {
            return Ok(Self { before: None });
        }
        let before = Arc::new(Mutex::new(tcgetattr(&stdin)?));
        // A release build ends on a panic without dropping anything.
        let saved = before.clone();
        PANIC_RESTORES.call_once(move || {
            let hook = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                set(&saved);
                hook(panic);
            }));
        });
        let terminal = Self { before: Some(before) };
        terminal.again()?;
        Ok(terminal)
    }

    /// Raw mode again, after [`restore`](Self::restore).
    pub(crate) fn again(&self) -> nix::Result<()> {
        let Some(before) = &self.before else { return Ok(()) };
        let mut raw = before.lock().unwrap_or_else(PoisonError::into_inner).clone();
        cfmakeraw(&mut raw);
        tcsetattr(std::io::stdin(), SetArg::TCSADRAIN, &raw)
    }

    /// The terminal as it was.
    pub(crate) fn restore(&self) {
        if let Some(before) = &self.before {
            set(before);
        }
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        self.restore();
    }
}

fn set(before: &Mutex<Termios>) {
    // At once: a terminal that takes nothing would be waited for without end. One that is gone needs no mode.
    let _ = tcsetattr(std::io::stdin(), SetArg::TCSANOW, &before.lock().unwrap_or_else(PoisonError::into_inner));
}

/// The size of the host's terminal, or the usual one where there is none.
pub(crate) fn size() -> TerminalSize {
    match terminal_size::terminal_size_of(std::io::stdin()) {
        Some((Width(columns), Height(rows))) => TerminalSize::new(rows, columns),
        None => TerminalSize::new(24, 80),
    }
}
