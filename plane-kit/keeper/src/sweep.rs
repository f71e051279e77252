//! Signals everything beneath us.
//!
//! Only our own children are signalled, and only here where they are not reaped: until then the kernel keeps
//! their numbers. Whatever loses its parent becomes our child, so killing children until there are none reaches all.

use crate::raw_call::{call, nr};
use crate::signal_scope;

const SIGKILL: usize = 9;
const EVERY_PROCESS: isize = -1;

/// Ends everything: at once where our signals reach nothing else, so that nothing forks away, else child by child. Answers whether there
/// was anything.
pub fn everything(list: i32) -> bool {
    if !signal_scope::holds() {
        return children(list, SIGKILL, 0);
    }
    // SAFETY: integers only; without the scope this would reach every process of the user.
    unsafe { call!(nr::KILL, EVERY_PROCESS, SIGKILL) == 0 }
}

/// Sends `signal` to each child but `except`; answers whether there were any.
pub fn children(list: i32, signal: usize, except: isize) -> bool {
    let mut text = [0_u8; 8192];
    let (mut offset, mut pid, mut any) = (0_usize, 0_isize, false);
    loop {
        // SAFETY: the buffer lives until the call returns. The list is made anew for a read from its start.
        let got = unsafe { call!(nr::PREAD64, list, text.as_mut_ptr(), text.len(), offset) };
        let part = text.get(..got.max(0) as usize).unwrap_or_default();
        if part.is_empty() {
            return any;
        }
        offset += part.len();
        for byte in part {
            match byte {
                b'0'..=b'9' => pid = pid.saturating_mul(10).saturating_add((byte - b'0') as isize),
                // Each number is followed by a space; one may go on in the next part.
                _ => {
                    if pid > 1 && pid != except {
                        any = true;
                        // SAFETY: integers only; the number is that of a child that only we could reap.
                        unsafe { call!(nr::KILL, pid, signal) };
                    }
                    pid = 0;
                }
            }
        }
    }
}
