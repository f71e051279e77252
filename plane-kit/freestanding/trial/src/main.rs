//! Tries the raw calls that keeper and launcher make, on whatever machine it is run: exit code 0, or the number of the step that failed.
//!
//! `cargo xtask emulate` runs it for AArch64 under an emulator. It needs no rights and changes nothing.

#![no_std]
#![no_main]

#[path = "../../raw_call.rs"]
#[expect(dead_code, reason = "shared with programs that use other parts of it")]
mod raw_call;

use raw_call::{call, nr, start_child};

const AT_FDCWD: isize = -100;
/// `CLONE_VM | CLONE_VFORK | SIGCHLD`.
const VFORK: usize = 0x100 | 0x4000 | 17;
const PRIVATE_ANONYMOUS: usize = 0x22;
const READ_WRITE: usize = 3;

#[repr(align(16))]
struct Stack {
    _bytes: [u8; 16 * 1024],
}
static mut STACK: Stack = Stack { _bytes: [0; 16 * 1024] };

/// Where the kernel's entry point jumps to.
extern "C" fn main() -> ! {
    let failed = memory().or_else(files).or_else(mappings).or_else(descriptors).or_else(clocks_and_limits).or_else(child);
    end(failed.unwrap_or(0))
}

fn end(code: usize) -> ! {
    loop {
        // SAFETY: integers only.
        unsafe { call!(nr::EXIT_GROUP, code) };
    }
}

fn held(step: usize, holds: bool) -> Option<usize> {
    (!holds).then_some(step)
}

/// The memory routines, overlaps among them.
fn memory() -> Option<usize> {
    let mut bytes = [0_u8; 64];
    // SAFETY: all within the array.
    unsafe {
        let start = bytes.as_mut_ptr();
        raw_call::memset(start, 7, 32);
        raw_call::memmove(start.add(16), start, 32);
        raw_call::memcpy(start.add(50), start, 4);
        let equal = raw_call::memcmp(start, start.add(16), 32) == 0;
        let differs = raw_call::memcmp(start.add(48), start, 8) < 0 && raw_call::bcmp(start, start.add(48), 8) != 0;
        held(1, equal && differs)
    }
}

/// Files: opened, measured, read at a place; a name that is not there is -ENOENT.
fn files() -> Option<usize> {
    let mut head = [0_u8; 4];
    // SAFETY: texts end with NUL; the buffer is as long as is told.
    unsafe {
        let file = call!(nr::OPENAT, AT_FDCWD, c"/proc/self/exe".as_ptr(), 0);
        let length = call!(nr::LSEEK, file, 0, 2);
        let got = call!(nr::PREAD64, file, head.as_mut_ptr(), 4, 0);
        let absent = call!(nr::OPENAT, AT_FDCWD, c"/no/such/name".as_ptr(), 0);
        let opened = held(10, file >= 0 && length > 4096).or_else(|| held(11, got == 4 && head == *b"\x7fELF"));
        opened.or_else(|| held(12, absent == -2)).or_else(|| held(13, call!(nr::CLOSE, file) == 0))
    }
}

/// Memory from the kernel.
fn mappings() -> Option<usize> {
    // SAFETY: a fresh mapping touches nothing that is there, and is used as long as it is.
    unsafe {
        let place = call!(nr::MMAP, 0, 8192, READ_WRITE, PRIVATE_ANONYMOUS, -1_isize);
        if place <= 0 {
            return Some(20);
        }
        let byte = (place as *mut u8).add(8191);
        core::ptr::write_volatile(byte, 9);
        let kept = core::ptr::read_volatile(byte) == 9;
        held(21, kept).or_else(|| held(22, call!(nr::MUNMAP, place, 8192) == 0))
    }
}

/// As ppoll(2) takes it.
#[repr(C)]
struct PollFd {
    descriptor: i32,
    events: i16,
    happened: i16,
}

/// Descriptors of signals and copies, and waiting for them.
fn descriptors() -> Option<usize> {
    let (mask, none, at_once) = (1_u64 << 9, 0_u64, [0_u64; 2]);
    // SAFETY: masks are 8 bytes, the time two words, the list one entry.
    unsafe {
        let blocked = call!(nr::RT_SIGPROCMASK, 0, &raw const mask, 0, 8);
        let signals = call!(nr::SIGNALFD4, -1_isize, &raw const mask, 8, 0o2_004_000);
        let mut watched = PollFd { descriptor: signals as i32, events: 1, happened: 0 };
        let before = call!(nr::PPOLL, &raw mut watched, 1, at_once.as_ptr(), &raw const none, 8);
        let sent = call!(nr::KILL, call!(nr::GETPID), 10);
        let after = call!(nr::PPOLL, &raw mut watched, 1, at_once.as_ptr(), 0, 8);
        let copy = call!(nr::DUP3, signals, 100, 0o2_000_000);
        let flags = call!(nr::FCNTL, 100, 1);
        let waits = held(30, blocked == 0 && signals >= 0).or_else(|| held(31, before == 0 && sent == 0));
        waits.or_else(|| held(32, after == 1 && watched.happened & 1 == 1)).or_else(|| held(33, copy == 100 && flags == 1))
    }
}

/// The clock goes on, limits can be read, and what was used is told.
fn clocks_and_limits() -> Option<usize> {
    let (mut time, mut limit, mut usage) = ([0_u64; 2], [0_u64; 2], [0_u64; 18]);
    // SAFETY: the buffers are as long as the calls ask for.
    unsafe {
        let clock = call!(nr::CLOCK_GETTIME, 1, time.as_mut_ptr());
        let limits = call!(nr::PRLIMIT64, 0, 7, 0, limit.as_mut_ptr());
        let used = call!(nr::GETRUSAGE, 0, usage.as_mut_ptr());
        let [soft, hard] = limit;
        held(40, clock == 0 && time != [0; 2]).or_else(|| held(41, limits == 0 && soft > 0 && soft <= hard)).or_else(|| held(42, used == 0))
    }
}

/// A child on a stack of its own, which gets its argument, shares our memory, and ends with a code.
fn child() -> Option<usize> {
    let (mut word, mut status) = (40_u32, 0_i32);
    // SAFETY: the stack is used once; CLONE_VFORK suspends us until the child has ended.
    unsafe {
        let top = (&raw mut STACK).cast::<u8>().add(size_of::<Stack>());
        let pid = start_child(VFORK, top, run_child, (&raw mut word).cast());
        let got = call!(nr::WAIT4, pid, &raw mut status, 0x4000_0000, 0);
        let started = held(50, pid > 0).or_else(|| held(51, got == pid && status == 42 << 8));
        started.or_else(|| held(52, call!(nr::GETPPID) > 0 && pid != call!(nr::GETPID)))
    }
}

extern "C" fn run_child(argument: *mut u8) -> ! {
    // SAFETY: `child` passes its word, which outlives us.
    let word = unsafe { core::ptr::read_volatile(argument.cast::<u32>()) };
    end(word as usize + 2)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    end(99)
}
