//! Holds the file that is to be executed, and the scripts that it runs, by descriptors.
//!
//! The supervisor has checked an object and holds it open, so that its number is no other's; what is opened here must be the same. What
//! happens to the path afterwards changes nothing.

use super::root::object;
use super::{AT_EMPTY_PATH, AT_FDCWD, ESTALE, Errno, Failure, O_CLOEXEC, O_NOFOLLOW, O_PATH, part};
use crate::format::hold::{ANY_DEVICE, MOST_SCRIPTS, SCRIPT_FD};
use crate::plan_reader::Cursor;
use crate::raw_call::{call, nr};
use crate::state::State;

const F_DUPFD_CLOEXEC: usize = 1030;
const E2BIG: Errno = 7;

/// Descriptors of a program and its scripts.
#[derive(Clone, Copy)]
pub struct Held {
    descriptors: [i32; MOST_SCRIPTS + 1],
    count: usize,
}

impl Held {
    /// Nothing is held.
    pub const fn none() -> Self {
        Self { descriptors: [-1; MOST_SCRIPTS + 1], count: 0 }
    }

    fn all(&self) -> &[i32] {
        self.descriptors.get(..self.count).unwrap_or_default()
    }

    /// Closes them: the program has its own copies of what it needs.
    pub fn close(&self) {
        for descriptor in self.all() {
            // SAFETY: the descriptor is ours.
            unsafe { call!(nr::CLOSE, *descriptor) };
        }
    }

    /// Executes the program, in the process that becomes it. `secret` is for the filter of the program alone, which knows one call by
    /// it. Answers the error.
    ///
    /// # Safety
    /// The tables end with null, and their texts with NUL.
    pub unsafe fn execute(
        &self,
        arguments: *const *const u8,
        variables: *const *const u8,
        secret: Option<[u64; 2]>,
    ) -> Errno {
        let [program, scripts @ ..] = self.all() else { return super::ENOENT };
        for (script, place) in scripts.iter().zip(SCRIPT_FD..) {
            // SAFETY: integers only; the interpreter opens it by this number, so it stays open.
            let placed = unsafe { call!(nr::DUP3, *script, place, 0) };
            if placed < 0 {
                return -(placed as i32);
            }
        }
        // SAFETY: constant or our own text, and the tables as promised above.
        let failed = unsafe {
            match secret {
                None => call!(nr::EXECVEAT, *program, c"".as_ptr(), arguments, variables, AT_EMPTY_PATH),
                // Only execve(2) has registers to spare for the secret. This path leads to just this descriptor's file (proc_pid_fd(5)).
                Some([one, other]) => {
                    let path = by_descriptor(*program);
                    call!(nr::EXECVE, path.as_ptr(), arguments, variables, one, other)
                }
            }
        };
        -(failed as i32)
    }
}

/// `/proc/self/fd/N`, with a NUL.
fn by_descriptor(descriptor: i32) -> [u8; 32] {
    let mut path = [0; 32];
    let (mut digits, mut count, mut rest) = ([0_u8; 10], 0, descriptor as u32);
    for digit in &mut digits {
        *digit = b'0' + (rest % 10) as u8;
        (rest, count) = (rest / 10, count + 1);
        if rest == 0 {
            break;
        }
    }
    let number = digits.iter().take(count).rev();
    for (to, from) in path.iter_mut().zip(b"/proc/self/fd/".iter().chain(number)) {
        *to = *from;
    }
    path
}

/// Opens one more, and looks whether it is the one that was checked.
pub fn hold(body: &mut Cursor, state: &mut State) -> Result<(), Failure> {
    let (flags, device, inode) = (body.u32()?, body.u64()?, body.u64()?);
    let path = body.text()?;
    let Some(place) = state.held.descriptors.get_mut(state.held.count) else { return Err(E2BIG.into()) };
    // SAFETY: the text ends with NUL.
    let opened = part(unsafe { call!(nr::OPENAT, AT_FDCWD, path.at, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0) }, 1)?;
    let there = object(opened)?;
    if there.1 != inode || (flags & ANY_DEVICE == 0 && there.0 != device) {
        return Err(Failure { errno: ESTALE, detail: 2 });
    }
    // Above where scripts will be put.
    let above = SCRIPT_FD as usize + MOST_SCRIPTS;
    // SAFETY: integers only.
    let kept = part(unsafe { call!(nr::FCNTL, opened, F_DUPFD_CLOEXEC, above) }, 3)?;
    // SAFETY: the descriptor is ours.
    unsafe { call!(nr::CLOSE, opened) };
    *place = kept as i32;
    state.held.count += 1;
    Ok(())
}
