//! What the run used, as the kernel counted it: told with its end.

use super::{AT_FDCWD, O_CLOEXEC, check};
use crate::format::message::account;
use crate::raw_call::{call, nr};

/// Of the children that were waited for, with all that they waited for (getrusage(2)).
const RUSAGE_CHILDREN: isize = -1;
/// Words of `struct rusage` up to the peak of resident memory: two times, then the peak in KiB.
const RUSAGE_WORDS: usize = 18;
const PEAK: usize = 4;
const LONGEST: usize = 512;
/// Figures of proc_pid_io(5), and which of them is what.
const FIGURES: usize = 7;
const READ: usize = 0;
const WRITTEN: usize = 1;
const STORED: usize = 5;
const CANCELLED: usize = 6;
/// A number that is not known.
const UNKNOWN: u64 = u64::MAX;

/// The kernel's accounts, opened while they still could be. `-1`: not there.
pub struct Account {
    /// proc_pid_io(5) of this process, to which the kernel adds those of every process that it waits for.
    io: i32,
    /// proc_loadavg(5), whose last figure is the last process number given in the reader's pid namespace.
    numbers: i32,
    /// What this process itself had read and written when the program started.
    before: [u64; FIGURES],
}

impl Account {
    pub fn new() -> Self {
        Self { io: -1, numbers: -1, before: [0; FIGURES] }
    }

    /// Opens what there is; `own_numbers`: process numbers are those of a namespace of our own.
    pub fn open(&mut self, own_numbers: bool) {
        self.io = open(c"/proc/self/io".as_ptr().cast());
        if own_numbers {
            self.numbers = open(c"/proc/loadavg".as_ptr().cast());
        }
    }

    /// The program starts: what was done so far was ours.
    pub fn begin(&mut self) {
        self.before = self.bytes().unwrap_or([0; FIGURES]);
    }

    /// Puts what the run used into the places of a message that `format` names.
    pub fn tell(&self, values: &mut [u64; crate::format::message::VALUES]) {
        let mut usage = [0_u64; RUSAGE_WORDS];
        // SAFETY: a `struct rusage` has 18 words.
        let told = unsafe { check(call!(nr::GETRUSAGE, RUSAGE_CHILDREN, usage.as_mut_ptr())) }.is_ok();
        let time = |at: usize| usage[at].wrapping_mul(1_000_000).wrapping_add(usage[at + 1]);
        let bytes = self.bytes();
        let since = |at: usize| bytes.map_or(UNKNOWN, |now| now[at].saturating_sub(self.before[at]));
        values[account::USER] = if told { time(0) } else { UNKNOWN };
        values[account::SYSTEM] = if told { time(2) } else { UNKNOWN };
        values[account::PEAK] = if told { usage[PEAK].wrapping_mul(1024) } else { UNKNOWN };
        values[account::READ] = since(READ);
        values[account::WRITTEN] = since(WRITTEN);
        values[account::STORED] = since(STORED).saturating_sub(if bytes.is_some() { since(CANCELLED) } else { 0 });
        // The first number is this process.
        values[account::TASKS] = last(self.numbers).map_or(UNKNOWN, |last| last.saturating_sub(1));
    }

    /// The figures of proc_pid_io(5).
    fn bytes(&self) -> Option<[u64; FIGURES]> {
        let mut found = [0; FIGURES];
        let mut count = 0;
        numbers(self.io, |number| {
            if let Some(place) = found.get_mut(count) {
                *place = number;
            }
            count += 1;
        });
        (count >= FIGURES).then_some(found)
    }
}

fn last(file: i32) -> Option<u64> {
    let mut last = None;
    numbers(file, |number| last = Some(number));
    last
}

/// Calls `take` with every run of digits in a file of the kernel's.
fn numbers(file: i32, mut take: impl FnMut(u64)) {
    let mut text = [0_u8; LONGEST];
    // SAFETY: the buffer is ours; a descriptor of -1 is refused by the kernel.
    let length = unsafe { check(call!(nr::PREAD64, file, text.as_mut_ptr(), LONGEST, 0)) }.unwrap_or(0);
    let mut number = None;
    for byte in text.iter().take(length).copied().chain([b'\n']) {
        if byte.is_ascii_digit() {
            number = Some(number.unwrap_or(0_u64).wrapping_mul(10).wrapping_add(u64::from(byte - b'0')));
        } else if let Some(number) = number.take() {
            take(number);
        }
    }
}

fn open(path: *const u8) -> i32 {
    // SAFETY: the path is constant and ends with NUL.
    unsafe { check(call!(nr::OPENAT, AT_FDCWD, path, O_CLOEXEC, 0)) }.map_or(-1, |file| file as i32)
}
