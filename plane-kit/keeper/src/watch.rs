//! Waits for ends and commands until nothing is left.

use crate::format::{CONTROL_FD, command, message, step};
use crate::raw_call::{call, nr};
use crate::report::{Failure, end, ended, fail, part, send};
use crate::start::Started;
use crate::{account, sweep};

const SIGTERM: usize = 15;
const SIGCHLD: usize = 17;
const SIGCONT: usize = 18;
const WNOHANG: usize = 1;
const WUNTRACED: usize = 2;
const WCONTINUED: usize = 8;
const WALL: usize = 0x4000_0000;
const ECHILD: isize = -10;
const EAGAIN: isize = -11;
const EINTR: isize = -4;
const POLLIN: i16 = 1;
const SFD_NONBLOCK_CLOEXEC: usize = 0o2_004_000;
const TIOCGPGRP: usize = 0x540f;
const AT_FDCWD: isize = -100;
const TERMINAL_FLAGS: usize = 0o2_000_402;
const CLOCK_MONOTONIC: usize = 1;
/// Between two sweeps of what does not die at once, such as a process that waits for a disk.
const PAUSE: u64 = 5;

/// As ppoll(2) takes it.
#[repr(C)]
pub struct PollFd {
    pub descriptor: i32,
    pub events: i16,
    pub happened: i16,
}

struct Watch<'a> {
    started: &'a Started,
    control: i32,
    /// The program's wait status, once it has ended. From then on its number may be another's.
    status: Option<u32>,
    /// Everything is to end now.
    ending: bool,
    /// When everything is to end, in milliseconds of the monotonic clock.
    deadline: Option<u64>,
}

/// Watches to the end.
pub fn watch(started: &Started) -> ! {
    let mask: u64 = 1 << (SIGCHLD - 1) | 1 << (SIGTERM - 1);
    // SAFETY: the mask is 8 bytes; the signals are blocked, so they stay pending for the descriptor.
    let signals = unsafe { call!(nr::SIGNALFD4, -1_isize, &raw const mask, 8, SFD_NONBLOCK_CLOEXEC) };
    let signals = match part(signals, step::PREPARE) {
        Ok(signals) => signals as i32,
        Err(failure) => give_up(started, &failure),
    };
    let mut watch = Watch { started, control: CONTROL_FD, status: None, ending: false, deadline: None };
    loop {
        let mut empty = watch.reap();
        let mut busy = false;
        // Whatever lost its parent became our child before that could be reaped, so no child means that nothing at all is left.
        if watch.ending && !empty {
            busy = sweep::everything(started.children);
            empty = watch.reap();
        }
        if empty {
            ended(watch.status.unwrap_or(0), account::used());
            // Who hears of it was perhaps put onto our processor, where it would wait until all of our memory is given back.
            // SAFETY: no arguments.
            unsafe { call!(nr::SCHED_YIELD) };
            end(0);
        }
        // What forks as fast as it can is not given a moment.
        watch.wait(signals, busy);
    }
}

fn give_up(started: &Started, failure: &Failure) -> ! {
    sweep::everything(started.children);
    fail(failure)
}

impl Watch<'_> {
    /// Waits for a signal, a command, or the time to act.
    fn wait(&mut self, signals: i32, busy: bool) {
        let mut watched = [
            PollFd { descriptor: self.control, events: POLLIN, happened: 0 },
            PollFd { descriptor: signals, events: POLLIN, happened: 0 },
        ];
        let most = match (self.ending, self.deadline) {
            (true, _) => Some(if busy { 0 } else { PAUSE }),
            (false, Some(deadline)) => Some(deadline.saturating_sub(now())),
            (false, None) => None,
        };
        let time = most.map(|most| [most / 1000, most % 1000 * 1_000_000]);
        let time = time.as_ref().map_or(core::ptr::null(), |time| time.as_ptr());
        // SAFETY: two structures of poll(2), a time of two words or none, no mask.
        let got = unsafe { call!(nr::PPOLL, watched.as_mut_ptr(), 2, time, 0, 0) };
        if got < 0 && got != EINTR {
            self.ending = true;
        }
        let mut drained = [0_u8; 128];
        // SAFETY: a signalfd_siginfo has 128 bytes; the descriptor does not block.
        while unsafe { call!(nr::READ, signals, drained.as_mut_ptr(), drained.len()) } > 0 {}
        let [control, _] = &watched;
        if control.happened != 0 {
            self.obey();
        }
        // SAFETY: no arguments. Another parent means that the host is gone, whoever may still hold its socket.
        let orphaned = unsafe { call!(nr::GETPPID) } != self.started.host;
        if orphaned || self.deadline.is_some_and(|deadline| now() >= deadline) {
            self.ending = true;
        }
    }

    /// Reaps all that ended; answers whether no child is left. When it was the program, everything is to end.
    fn reap(&mut self) -> bool {
        loop {
            let mut status = 0_u32;
            let how = WNOHANG | WUNTRACED | WCONTINUED | WALL;
            // SAFETY: the status lives until the call returns; no rusage is asked for.
            let pid = unsafe { call!(nr::WAIT4, -1_isize, &raw mut status, how, 0) };
            if pid <= 0 {
                return pid == ECHILD;
            }
            if pid != self.started.program || self.status.is_some() {
                continue;
            }
            if status == 0xffff {
                send(message::CONTINUED, 0, 0, 0);
            } else if status & 0xff == 0x7f {
                send(message::STOPPED, (status >> 8) & 0xff, 0, 0);
            } else {
                self.status = Some(status);
                if self.started.waits {
                    send(message::LEFT, 0, 0, 0);
                } else {
                    self.ending = true;
                }
            }
        }
    }

    /// Reads one command. A closed socket means that the host is gone, and that everything ends.
    fn obey(&mut self) {
        let mut words = [0_u32; 2];
        // SAFETY: a command is 8 bytes.
        let got = unsafe { call!(nr::READ, self.control, words.as_mut_ptr(), command::LENGTH) };
        if got == EAGAIN || got == EINTR {
            return;
        }
        if got != command::LENGTH as isize {
            self.control = -1;
            self.ending = true;
            return;
        }
        let [kind, value] = words;
        match kind {
            command::SIGNAL_PROGRAM => self.signal(self.started.program, value as usize),
            command::SIGNAL_FOREGROUND => self.signal(-self.foreground(), value as usize),
            command::STOP => self.stop(value),
            command::KILL => self.ending = true,
            _ => {}
        }
    }

    /// Signals the program or a group, as long as the program is there to keep its number.
    fn signal(&self, target: isize, signal: usize) {
        if self.status.is_none() {
            // SAFETY: integers only.
            unsafe { call!(nr::KILL, target, signal) };
        }
    }

    /// SIGTERM to all that we can name, and a time.
    fn stop(&mut self, grace: u32) {
        let program = self.started.program;
        for signal in [SIGTERM, SIGCONT] {
            self.signal(-program, signal);
            sweep::children(self.started.children, signal, program);
        }
        self.deadline = Some(self.deadline.unwrap_or(u64::MAX).min(now().saturating_add(grace as u64)));
    }

    /// The terminal's foreground group, or the program's own.
    fn foreground(&self) -> isize {
        let mut group = 0_i32;
        if self.started.terminal {
            // SAFETY: constant text and an int; the controlling terminal of our session.
            unsafe {
                let terminal = call!(nr::OPENAT, AT_FDCWD, c"/dev/tty".as_ptr(), TERMINAL_FLAGS);
                if terminal >= 0 {
                    call!(nr::IOCTL, terminal, TIOCGPGRP, &raw mut group);
                    call!(nr::CLOSE, terminal);
                }
            }
        }
        if group > 1 { group as isize } else { self.started.program }
    }
}

/// Milliseconds of the monotonic clock.
fn now() -> u64 {
    let mut time = [0_u64; 2];
    // SAFETY: a timespec is two words.
    unsafe { call!(nr::CLOCK_GETTIME, CLOCK_MONOTONIC, time.as_mut_ptr()) };
    let [seconds, nanoseconds] = time;
    seconds.saturating_mul(1000).saturating_add(nanoseconds / 1_000_000)
}
