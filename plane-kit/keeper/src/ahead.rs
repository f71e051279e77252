//! A keeper that was started ahead waits here for what it is to start: its plan and descriptors come in one message of the host's.

use crate::format::{CONTROL_FD, MARK_FD, MOST_DESCRIPTORS, MOST_SENT, PLAN_FD, PROGRAM_FD, step};
use crate::raw_call::{call, nr};
use crate::report::{Failure, end, part};
use crate::watch::PollFd;

const EBADMSG: i32 = 74;
const EBADF: isize = -9;
const EINTR: isize = -4;
const SIGTERM: usize = 15;
const POLLIN: i16 = 1;
const F_GETFD: usize = 1;
const F_DUPFD_CLOEXEC: usize = 1030;
/// Higher than any place.
const ABOVE: usize = 32;
const O_CLOEXEC: usize = 0o2_000_000;
const MSG_CMSG_CLOEXEC: usize = 0x4000_0000;
const SOL_SOCKET: i32 = 1;
const SCM_RIGHTS: i32 = 1;
/// Bytes of a `cmsghdr` before its data.
const HEAD: usize = 16;
/// Where descriptors arrive: the kernel gives the lowest that are free, and 0 to 2, the control socket and the mark are not.
const FIRST: i32 = MARK_FD + 1;

#[repr(C)]
struct IoVector {
    base: *mut u8,
    length: usize,
}

/// A `msghdr` of the 64-bit kernel interface.
#[repr(C)]
struct Header {
    name: usize,
    name_length: usize,
    vector: *const IoVector,
    vectors: usize,
    control: *mut Rights,
    control_length: usize,
    flags: usize,
}

#[repr(C, align(8))]
struct Rights {
    length: usize,
    level: i32,
    kind: i32,
    descriptors: [i32; MOST_DESCRIPTORS],
}

/// A plan that came in a message. It takes no memory before it comes.
static mut SENT: [u8; MOST_SENT] = [0; MOST_SENT];

/// Waits for the plan, unless it is there already as a file, and puts every descriptor to its place; answers how many bytes of [`sent`] it
/// has. Ends with the host, or when there is nothing to start any more.
pub fn wait() -> Result<Option<usize>, Failure> {
    // SAFETY: integers only.
    if unsafe { call!(nr::FCNTL, PLAN_FD, F_GETFD) } != EBADF {
        return Ok(None);
    }
    until_told()?;
    let (length, count) = receive()?;
    let (streams, rest) = (FIRST..FIRST + 3, FIRST + 3..FIRST + count);
    // Each goes to a lower place that was left before: streams to 0 to 2, then the program to where the second stream came, and so on.
    let moves = streams.zip(0..3).map(|places| (places, 0)).chain(rest.zip(PROGRAM_FD..).map(|places| (places, O_CLOEXEC)));
    for ((from, to), flags) in moves {
        // SAFETY: integers only; both are ours.
        part(unsafe { call!(nr::DUP3, from, to, flags) }, step::PREPARE)?;
    }
    for left in [FIRST, FIRST + count - 2, FIRST + count - 1] {
        // SAFETY: what was moved away from here is at its place; nothing may hold a stream open but the program.
        unsafe { call!(nr::CLOSE, left) };
    }
    Ok(Some(length))
}

/// Where the plan of a message lies.
pub fn sent() -> *mut u8 {
    (&raw mut SENT).cast()
}

/// Waits until the host says something. Its end is told by the signal that `prepare` asked for, too, whoever may still hold its socket; the same
/// signal comes when merely the thread that started us has ended.
fn until_told() -> Result<(), Failure> {
    let mask: u64 = 1 << (SIGTERM - 1);
    // SAFETY: the mask is 8 bytes; no arguments else.
    let (signals, host) = unsafe { (call!(nr::SIGNALFD4, -1_isize, &raw const mask, 8, O_CLOEXEC), call!(nr::GETPPID)) };
    let signals = out_of_the_way(part(signals, step::PREPARE)? as i32).map_err(|errno| Failure { step: step::PREPARE, errno })?;
    loop {
        let poll = |descriptor| PollFd { descriptor, events: POLLIN, happened: 0 };
        let mut watched = [poll(CONTROL_FD), poll(signals)];
        // SAFETY: two structures of poll(2), no time, no mask.
        let got = unsafe { call!(nr::PPOLL, watched.as_mut_ptr(), 2, 0, 0, 0) };
        // SAFETY: no arguments.
        if unsafe { call!(nr::GETPPID) } != host || (got < 0 && got != EINTR) {
            end(0);
        }
        let [control, signal] = &watched;
        if signal.happened != 0 {
            let mut drained = [0_u8; 128];
            // SAFETY: a signalfd_siginfo has 128 bytes, and one is there.
            unsafe { call!(nr::READ, signals, drained.as_mut_ptr(), drained.len()) };
        }
        if control.happened != 0 {
            // SAFETY: ours, and not used again.
            unsafe { call!(nr::CLOSE, signals) };
            return Ok(());
        }
    }
}

/// Moves a descriptor above all places.
pub fn out_of_the_way(descriptor: i32) -> Result<i32, i32> {
    // SAFETY: integers only; the descriptor is ours and not used again.
    let moved = unsafe {
        let moved = call!(nr::FCNTL, descriptor, F_DUPFD_CLOEXEC, ABOVE);
        call!(nr::CLOSE, descriptor);
        moved
    };
    if moved < 0 { Err(-moved as i32) } else { Ok(moved as i32) }
}

/// How many bytes of a plan and how many descriptors came.
fn receive() -> Result<(usize, i32), Failure> {
    let vector = IoVector { base: sent(), length: MOST_SENT };
    let mut rights = Rights { length: 0, level: 0, kind: 0, descriptors: [-1; MOST_DESCRIPTORS] };
    let mut header = Header {
        name: 0,
        name_length: 0,
        vector: &raw const vector,
        vectors: 1,
        control: &raw mut rights,
        control_length: size_of::<Rights>(),
        flags: 0,
    };
    let length = loop {
        // SAFETY: the header and all that it names live until the call returns.
        let got = unsafe { call!(nr::RECVMSG, CONTROL_FD, &raw mut header, MSG_CMSG_CLOEXEC) };
        if got == EINTR {
            continue;
        }
        // The host has closed its end, or is gone, or wants this keeper no more.
        if got <= 0 || header.control_length < HEAD {
            end(0);
        }
        break got as usize;
    };
    // SAFETY: written by the kernel, which the compiler does not see.
    let rights = unsafe { core::ptr::read_volatile(&raw const rights) };
    let count = rights.length.saturating_sub(HEAD) / size_of::<i32>();
    let expected = |(at, descriptor): (usize, &i32)| *descriptor == FIRST + at as i32;
    let whole = rights.level == SOL_SOCKET && rights.kind == SCM_RIGHTS && (3..=MOST_DESCRIPTORS).contains(&count);
    if whole && rights.descriptors.iter().take(count).enumerate().all(expected) {
        Ok((length, count as i32))
    } else {
        Err(Failure { step: step::PREPARE, errno: EBADMSG })
    }
}
