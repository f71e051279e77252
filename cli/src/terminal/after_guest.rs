//! The user's terminal after a guest has had it: what a guest may have switched on and not off again.

use std::io::{IsTerminal, Write};

/// Of xterm's control sequences (ctlseqs), which other terminals follow or pass over:
/// - DECSC, then away from the alternate screen (1049 goes back to the cursor that was saved: on the usual screen the one of just now);
/// - soft reset (DECSTR: margins, origin, insertion, character sets, keypad, cursor keys), lines that wrap, no reverse video, a cursor that is
///   seen, no updates held back;
/// - every kind of reports of the mouse, of focus, and brackets around what is pasted;
/// - keys as they always were (kitty's protocol, xterm's modifyOtherKeys), and no colours.
const RESET: &str = "\x1b7\x1b[?1049l\x1b[?47l\x1b[!p\x1b[?7h\x1b[?5l\x1b[?25h\x1b[?2026l\
                     \x1b[?9l\x1b[?1000l\x1b[?1001l\x1b[?1002l\x1b[?1003l\x1b[?1004l\x1b[?1005l\x1b[?1006l\x1b[?1015l\x1b[?1016l\x1b[?2004l\
                     \x1b[<99u\x1b[>4;0m\x1b[0m";

/// Takes back what a guest may have switched on, where standard output is a terminal. The terminal must take it.
pub(crate) fn reset() {
    let mut stdout = std::io::stdout().lock();
    if stdout.is_terminal() {
        // A terminal that is gone needs no mode.
        let _ = stdout.write_all(RESET.as_bytes()).and_then(|()| stdout.flush());
    }
}
