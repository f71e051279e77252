//! Clears up after a supervisor that cannot do it any more.

use super::{AT_FDCWD, EINTR, ENOENT, Failure, check, scratch};
use crate::format::CONTROL_FD;
use crate::plan_reader::Cursor;
use crate::raw_call::{call, nr};
use crate::report;

const AT_REMOVEDIR: usize = 0x200;
/// Ten seconds in all: a cgroup is empty as soon as the kernel is through with its processes.
const TRIES: u32 = 1000;
static PAUSE: [u64; 2] = [0, 10_000_000];

/// Waits until the control socket closes, removes the directories and those in them, and ends.
pub fn remove(body: &mut Cursor) -> Result<(), Failure> {
    let count = body.u32()?;
    let paths = *body;
    let mut byte = 0_u8;
    loop {
        // SAFETY: one byte is read into one byte.
        match check(unsafe { call!(nr::READ, CONTROL_FD, &raw mut byte, 1) }) {
            Ok(0) => break,
            Ok(_) | Err(EINTR) => {}
            Err(_) => break,
        }
    }
    for _ in 0..TRIES {
        let mut left = paths;
        let mut all = true;
        for _ in 0..count {
            let directory = left.text()?;
            scratch::remove_directories_in(directory);
            // SAFETY: texts of the plan end with NUL.
            let removed = unsafe { call!(nr::UNLINKAT, AT_FDCWD, directory.at, AT_REMOVEDIR) };
            all &= matches!(check(removed), Ok(_) | Err(ENOENT));
        }
        if all {
            report::end(0);
        }
        // SAFETY: no descriptors are watched; the time is a `struct timespec`.
        unsafe { call!(nr::PPOLL, 0, 0, &raw const PAUSE, 0, 0) };
    }
    report::end(1)
}
