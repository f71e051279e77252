//! Joining cgroups.

use super::{Failure, part};
use crate::plan_reader::{MOST_DESCRIPTORS, receive_descriptors};
use crate::raw_call::{call, nr};

/// Receives files of cgroups and writes to each that the writer joins.
///
/// A thread that moves itself in version 1 needs no lock of the whole system; moving it from outside takes one that waits for a
/// grace period, ten milliseconds and more.
pub fn join() -> Result<(), Failure> {
    let mut byte = [0_u8; 1];
    let mut files = [-1; MOST_DESCRIPTORS];
    let (_, count) = receive_descriptors(&mut byte, &mut files).map_err(|errno| Failure { errno, detail: 1 })?;
    for file in files.iter().take(count) {
        // SAFETY: one byte of constant text; the descriptor came for us alone.
        unsafe {
            part(call!(nr::WRITE, *file, c"0".as_ptr(), 1), 2)?;
            call!(nr::CLOSE, *file);
        }
    }
    Ok(())
}
