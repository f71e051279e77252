//! The user's terminal after a guest has had it: what a guest may have switched on and not off again.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;

/// Of xterm's control sequences (ctlseqs), which other terminals follow or pass over:
/// - DECSC, then away from the alternate screen (1049 goes back to the cursor that was saved: on the usual screen the one of just now);
/// - soft reset (DECSTR: margins, origin, insertion, character sets, keypad, cursor keys), lines that wrap, no reverse video, a cursor that is
///   seen, no updates held back;
/// - every kind of reports of the mouse, of focus, and brackets around what is pasted;
/// - keys as they always were (kitty's protocol, xterm's modifyOtherKeys), and no colours.
const RESET: &str = "\x1b7\x1b[?1049l\x1b[?47l\x1b[!p\x1b[?7h\x1b[?5l\x1b[?25h\x1b[?2026l\
                     \x1b[?9l\x1b[?1000l\x1b[?1001l\x1b[?1002l\x1b[?1003l\x1b[?1004l\x1b[?1005l\x1b[?1006l\x1b[?1015l\x1b[?1016l\x1b[?2004l\
                     \x1b[<99u\x1b[>4;0m\x1b[0m";

/// How long a terminal that takes nothing is waited for, in milliseconds.
const MOST: u16 = 500;

/// Takes back what a guest may have switched on, where standard output is a terminal and takes something.
pub(crate) fn reset() {
    let stdout = std::io::stdout();
    if !stdout.is_terminal() {
        return;
    }
    let mut waited = [PollFd::new(stdout.as_fd(), PollFlags::POLLOUT)];
    let ready = poll(&mut waited, PollTimeout::from(MOST)).is_ok_and(|ready| ready > 0);
    let takes = waited.iter().all(|one| one.revents() == Some(PollFlags::POLLOUT));
    if ready && takes {
        // A terminal that is gone needs no mode.
        let mut stdout = stdout.lock();
        let _ = stdout.write_all(RESET.as_bytes()).and_then(|()| stdout.flush());
    }
}
