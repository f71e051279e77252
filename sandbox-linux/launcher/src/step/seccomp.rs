//! The system call filter.

use super::{AT_FDCWD, Failure, O_CLOEXEC, O_PATH, part};
use crate::format::{message, seccomp as flag};
use crate::plan_reader::Text;
use crate::raw_call::{call, nr};
use crate::report::{Message, send};

const SECCOMP_SET_MODE_FILTER: usize = 1;
const SECCOMP_FILTER_FLAG_NEW_LISTENER: usize = 8;
/// Without it a signal could end a brokered call whose effect has happened already.
const SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV: usize = 32;
const EINVAL: i32 = 22;

/// `struct sock_fprog`.
#[repr(C)]
struct Program {
    length: u16,
    instructions: *const u8,
}

/// Puts the filter in force. From here on this process, too, may only do what the filter allows.
pub fn install(flags: u32, instructions: Text) -> Result<(), Failure> {
    let program = Program { length: (instructions.length / 8) as u16, instructions: instructions.at };
    let at = &raw const program;
    if flags & flag::LISTENER == 0 {
        // SAFETY: the program lives until the call returns; the kernel copies it.
        part(unsafe { call!(nr::SECCOMP, SECCOMP_SET_MODE_FILTER, 0, at) }, 1)?;
        return Ok(());
    }
    // The supervisor looks up names from here; the program may have ended before it could ask for our root.
    // SAFETY: constant text.
    let root = part(unsafe { call!(nr::OPENAT, AT_FDCWD, c"/".as_ptr(), O_PATH | O_CLOEXEC) }, 4)?;
    part(send(&Message::new(message::ROOT, 0), &[root as i32]), 5)?;
    let with = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    // SAFETY: as above; kernels before 5.19 do not know the second flag and answer EINVAL.
    let listener = unsafe {
        match part(call!(nr::SECCOMP, SECCOMP_SET_MODE_FILTER, with, at), 1) {
            Err(Failure { errno: EINVAL, .. }) => {
                part(call!(nr::SECCOMP, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, at), 2)?
            }
            other => other?,
        }
    };
    part(send(&Message::new(message::LISTENER, 0), &[listener as i32]), 3)?;
    // SAFETY: the descriptors are ours; the guest must never hold them.
    unsafe {
        call!(nr::CLOSE, listener);
        call!(nr::CLOSE, root);
    }
    Ok(())
}
