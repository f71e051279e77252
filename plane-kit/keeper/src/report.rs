//! Messages to the host, and the end of the keeper.

use crate::format::{CONTROL_FD, message};
use crate::raw_call::{call, nr};

/// Why a start failed.
pub struct Failure {
    pub step: u32,
    pub errno: i32,
}

/// The call's result, or a failure of `step`.
pub fn part(result: isize, step: u32) -> Result<usize, Failure> {
    // The kernel's error numbers are 1 to 4095; addresses above that are results.
    if (-4095..0).contains(&result) { Err(Failure { step, errno: -(result as i32) }) } else { Ok(result as usize) }
}

#[repr(C)]
struct Message {
    words: [u32; 4],
    used: [u64; 3],
}
const _: () = assert!(size_of::<Message>() == message::LENGTH);

/// Sends a message. When nobody is there to hear it, the closed socket tells so at the next look.
pub fn send(kind: u32, value: u32, errno: i32, step: u32) {
    write(&Message { words: [kind, value, errno as u32, step], used: [0; 3] });
}

/// Tells that nothing is left: the program's wait status, and what was used.
pub fn ended(status: u32, used: [u64; 3]) {
    write(&Message { words: [message::ENDED, status, 0, 0], used });
}

fn write(message: &Message) {
    // SAFETY: the message lives until the call returns; SIGPIPE is blocked.
    unsafe { call!(nr::WRITE, CONTROL_FD, core::ptr::from_ref(message), message::LENGTH) };
}

/// Reports a failure and ends.
pub fn fail(failure: &Failure) -> ! {
    send(message::FAILED, 0, failure.errno, failure.step);
    end(1)
}

/// Ends this process.
pub fn end(status: i32) -> ! {
    loop {
        // SAFETY: exit_group takes an integer and does not return.
        unsafe { call!(nr::EXIT_GROUP, status) };
    }
}
