//! A terminal of the sandbox's own, so that the host's terminal is never in the guest's hands.

use super::{AT_FDCWD, Failure, O_CLOEXEC, part};
use crate::format::message;
use crate::raw_call::{call, nr};
use crate::report::{Message, send};
use crate::state::State;

const O_RDWR_NOCTTY: usize = 0o402;
const TIOCSPTLCK: usize = 0x4004_5431;
const TIOCGPTPEER: usize = 0x5441;
const TIOCSWINSZ: usize = 0x5414;

/// Opens a terminal pair in the devpts that it sees and sends the master end to the supervisor.
pub fn open(rows: u16, columns: u16, state: &mut State) -> Result<(), Failure> {
    let (unlock, size) = (0_i32, [rows, columns, 0, 0]);
    let flags = O_RDWR_NOCTTY | O_CLOEXEC;
    // SAFETY: constant text; the ioctls of ioctl_tty(2) read an int and a `struct winsize` that live until they return.
    unsafe {
        let master = part(call!(nr::OPENAT, AT_FDCWD, c"/dev/ptmx".as_ptr(), flags), 1)?;
        part(call!(nr::IOCTL, master, TIOCSPTLCK, &raw const unlock), 2)?;
        part(call!(nr::IOCTL, master, TIOCSWINSZ, &raw const size), 3)?;
        state.terminal = part(call!(nr::IOCTL, master, TIOCGPTPEER, flags), 4)? as i32;
        part(send(&Message::new(message::TERMINAL, 0), &[master as i32]), 5)?;
        call!(nr::CLOSE, master);
    }
    Ok(())
}
