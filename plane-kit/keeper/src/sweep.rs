//! Signals everything beneath us.
//!
//! Only our own children are signalled, and only here where they are not reaped: until then the kernel keeps
//! their numbers. Whatever loses its parent becomes our child, so killing children until there are none reaches all.

use crate::raw_call::{call, nr};

/// Sends `signal` to each child but `except`.
pub fn children(list: i32, signal: usize, except: isize) {
    let mut text = [0_u8; 4096];
    // SAFETY: the buffer lives until the call returns. The list is made anew for a read from its start.
    let got = unsafe { call!(nr::PREAD64, list, text.as_mut_ptr(), text.len(), 0) };
    let text = text.get(..got.max(0) as usize).unwrap_or_default();
    let mut pid: isize = 0;
    for byte in text {
        match byte {
            b'0'..=b'9' => pid = pid.saturating_mul(10).saturating_add((byte - b'0') as isize),
            // Each number is followed by a space; one that is cut off at the end of the buffer is none.
            _ => {
                if pid > 1 && pid != except {
                    // SAFETY: integers only; the number is that of a child that only we could reap.
                    unsafe { call!(nr::KILL, pid, signal) };
                }
                pid = 0;
            }
        }
    }
}
