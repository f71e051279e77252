//! Process 1: starts the program, reaps whatever ends, forwards signals, and ends with the control socket.

use crate::format::{CONTROL_FD, command, message, run as flag};
use crate::guard;
use crate::plan_reader::{Cursor, Memory, Text};
use crate::raw_call::{call, nr, start_child};
use crate::report::{self, Message, send};
use crate::state::{ProgramFilter, State};
use crate::step::account::Account;
use crate::step::hold::Held;
use crate::step::{ECHILD, EINTR, Errno, Failure, check, landlock, part, seccomp};

const CLONE_VM: usize = 0x100;
const CLONE_VFORK: usize = 0x4000;
const SIGCHLD: usize = 17;
const SIGKILL: usize = 9;
const LAST_SIGNAL: usize = 64;
const SIG_SETMASK: usize = 2;
const CLOSE_RANGE_CLOEXEC: usize = 4;
const WNOHANG: usize = 1;
const WUNTRACED: usize = 2;
const WCONTINUED: usize = 8;
const WALL: usize = 0x4000_0000;
const TIOCSCTTY: usize = 0x540e;
const TIOCGPGRP: usize = 0x540f;
const TIOCSPGRP: usize = 0x5410;
const POLLIN: i16 = 1;
const EVERY_PROCESS: isize = -1;
const EVERY_SIGNAL: u64 = u64::MAX;
const CHILD_SIGNAL: u64 = 1 << (SIGCHLD - 1);
/// The guard is gone (`guard`); nobody in the sandbox can send it.
const GUARD_SIGNAL: u64 = 1;
const GUARD_SIGNAL_NUMBER: u32 = 1;
const SFD_NONBLOCK_CLOEXEC: usize = 0o2_004_000;

/// What the child process needs; it shares our memory until it executes the program.
struct Start {
    program: *const u8,
    arguments: *const *const u8,
    variables: *const *const u8,
    terminal: i32,
    guarded: bool,
    filter: Option<ProgramFilter>,
    held: Option<Held>,
    errno: Errno,
    detail: u64,
}

/// Most texts that argv and envp hold together: what fits beside the kernel's own bound of a quarter of the stack.
const MOST_TEXTS: usize = 65_536;
static mut TEXTS: [*const u8; MOST_TEXTS] = [core::ptr::null(); MOST_TEXTS];
#[repr(align(16))]
struct Stack {
    _bytes: [u8; 16 * 1024],
}
static mut CHILD_STACK: Stack = Stack { _bytes: [0; 16 * 1024] };

/// Starts the program and stays until it has ended. Does not come back unless the start failed.
pub fn run(body: &mut Cursor, state: &mut State) -> Result<(), Failure> {
    let flags = body.u32()?;
    let program = body.text()?;
    let texts = (&raw mut TEXTS).cast::<*const u8>();
    let variables_at = texts_from(body, texts, 0)?;
    texts_from(body, texts, variables_at)?;
    let mut start = Start {
        program: program.at,
        arguments: texts.cast_const(),
        // SAFETY: `texts_from` stays within the table.
        variables: unsafe { texts.add(variables_at) }.cast_const(),
        terminal: if flags & flag::TERMINAL != 0 { state.terminal } else { -1 },
        guarded: flags & flag::NO_PID_NAMESPACE != 0,
        filter: state.program_filter,
        held: if flags & flag::HELD != 0 { Some(state.held) } else { None },
        errno: 0,
        detail: 0,
    };
    streams(state, start.terminal)?;
    state.account.begin();
    let pid = start_program(&mut start)?;
    drop_streams();
    state.held.close();
    // The program has what it needs of the plan, and a launcher that waits shall hold little.
    state.memory.take().map(Memory::free);
    send(&Message::new(message::STARTED, pid as u64), &[]);
    let waits = flags & flag::OUTPUT_WAIT != 0;
    watch(
        &mut Watched { program: pid, terminal: start.terminal, alone: !start.guarded, waits, ended: None },
        &state.account,
    )
}

/// What is watched over.
struct Watched {
    program: isize,
    terminal: i32,
    /// This process is the first of a pid namespace.
    alone: bool,
    /// What the program started may go on after its end.
    waits: bool,
    /// The program's wait status, once it has ended and something goes on. From then on its number may be another's.
    ended: Option<i32>,
}

/// Signals that the host ignores (Rust programs ignore SIGPIPE) would stay ignored across execve, for the program too. All are blocked
/// by the host meanwhile.
pub fn default_signals() {
    let default = [0_u64; 4];
    for signal in 1..=LAST_SIGNAL {
        // SAFETY: a `struct kernel_sigaction` of zeros: the default action.
        unsafe { call!(nr::RT_SIGACTION, signal, &raw const default, 0, 8) };
    }
}

/// Puts a count and that many texts into the table from `at` on, with a null after them; answers the place after it.
fn texts_from(body: &mut Cursor, texts: *mut *const u8, mut at: usize) -> Result<usize, Failure> {
    const E2BIG: Errno = 7;
    let count = body.u32()? as usize;
    if at.saturating_add(count) + 1 > MOST_TEXTS {
        return Err(E2BIG.into());
    }
    for _ in 0..count {
        let Text { at: text, .. } = body.text()?;
        // SAFETY: `at` is below MOST_TEXTS, checked above.
        unsafe { *texts.add(at) = text };
        at += 1;
    }
    // SAFETY: as above.
    unsafe { *texts.add(at) = core::ptr::null() };
    Ok(at + 1)
}

/// Makes the session, its terminal, and descriptors 0 to 2.
fn streams(state: &State, terminal: i32) -> Result<(), Failure> {
    // SAFETY: integers only; a session leader without a terminal takes the slave end as its own.
    unsafe {
        part(call!(nr::SETSID), 1)?;
        for (to, from) in state.streams.iter().enumerate() {
            let from = if terminal >= 0 { terminal } else { *from };
            part(call!(nr::DUP3, from, to, 0), 2)?;
        }
        if terminal >= 0 {
            part(call!(nr::IOCTL, 0, TIOCSCTTY, 0), 3)?;
        }
        for from in state.streams {
            call!(nr::CLOSE, from);
        }
    }
    Ok(())
}

fn start_program(start: &mut Start) -> Result<isize, Failure> {
    let every = EVERY_SIGNAL;
    // SAFETY: the mask is 8 bytes; the stack is ours and used by one child at a time, since CLONE_VFORK suspends us
    // until the child has executed the program or ended.
    let pid = unsafe {
        part(call!(nr::RT_SIGPROCMASK, SIG_SETMASK, &raw const every, 0, 8), 4)?;
        let top = (&raw mut CHILD_STACK).cast::<u8>().add(size_of::<Stack>());
        start_child(CLONE_VM | CLONE_VFORK | SIGCHLD, top, child, core::ptr::from_mut(start).cast())
    };
    part(pid, 5)?;
    // SAFETY: `start` was written by the child, which is past its execve or gone.
    let (errno, detail) = unsafe {
        let start = core::ptr::from_mut(start);
        (core::ptr::read_volatile(&raw const (*start).errno), core::ptr::read_volatile(&raw const (*start).detail))
    };
    if errno != 0 { Err(Failure { errno, detail }) } else { Ok(pid) }
}

/// The child: a process group of its own, in the foreground of the terminal if there is one, then the program.
extern "C" fn child(argument: *mut u8) -> ! {
    let start = argument.cast::<Start>();
    let none = 0_u64;
    // SAFETY: `start` outlives us, as the parent waits; the mask is 8 bytes; texts end with NUL, tables with null.
    unsafe {
        if (*start).guarded
            && let Err(failure) = landlock::scope_signals()
        {
            give_up(start, failure.errno, failure.detail)
        }
        let group = call!(nr::GETPID) as i32;
        call!(nr::SETPGID, 0, 0);
        if (*start).terminal >= 0 {
            call!(nr::IOCTL, 0, TIOCSPGRP, &raw const group);
        }
        // The guest gets the three streams and nothing else, above all not the control socket.
        call!(nr::CLOSE_RANGE, CONTROL_FD, u32::MAX, CLOSE_RANGE_CLOEXEC);
        call!(nr::RT_SIGPROCMASK, SIG_SETMASK, &raw const none, 0, 8);
        let mut secret = [0; 2];
        if let Some(filter) = (*start).filter {
            // From here on only this execve(2) passes: no other knows the secret, and the program starts with empty registers.
            if let Err(failure) = seccomp::install(0, filter.instructions) {
                give_up(start, failure.errno, 8);
            }
            secret = filter.secret;
        }
        if let Some(held) = (*start).held {
            let secret = if (*start).filter.is_some() { Some(secret) } else { None };
            give_up(start, held.execute((*start).arguments, (*start).variables, secret), 6)
        }
        let [one, other] = secret;
        let failed = call!(nr::EXECVE, (*start).program, (*start).arguments, (*start).variables, one, other);
        give_up(start, -(failed as i32), 6)
    }
}

/// Ends the child and says why.
///
/// # Safety
/// `start` is that of the parent, which waits.
unsafe fn give_up(start: *mut Start, errno: Errno, detail: u64) -> ! {
    // SAFETY: as promised above.
    unsafe {
        core::ptr::write_volatile(&raw mut (*start).errno, errno);
        core::ptr::write_volatile(&raw mut (*start).detail, detail);
    }
    report::end(127)
}

/// Our own streams go, so that a pipe ends when the program's end of it does.
fn drop_streams() {
    for descriptor in 0..3 {
        // SAFETY: the descriptors are ours. With a terminal, our session keeps it as controlling terminal.
        unsafe { call!(nr::CLOSE, descriptor) };
    }
}

#[repr(C)]
struct PollFd {
    descriptor: i32,
    events: i16,
    happened: i16,
}

/// Waits for ends and commands until the program has ended or the supervisor is gone.
fn watch(watched: &mut Watched, account: &Account) -> ! {
    let mask = CHILD_SIGNAL | GUARD_SIGNAL;
    // SAFETY: the mask is 8 bytes; every signal is blocked, so these stay pending for the descriptor.
    let children = unsafe { call!(nr::SIGNALFD4, -1_isize, &raw const mask, 8, SFD_NONBLOCK_CLOEXEC) };
    if let Err(errno) = check(children) {
        report::fail(u32::MAX, 0, errno, 7, 0);
    }
    let children = children as i32;
    let mut waited = [
        PollFd { descriptor: CONTROL_FD, events: POLLIN, happened: 0 },
        PollFd { descriptor: children, events: POLLIN, happened: 0 },
    ];
    loop {
        reap(watched, account);
        // SAFETY: two structures of poll(2); null time-out and mask wait for ever.
        match check(unsafe { call!(nr::PPOLL, waited.as_mut_ptr(), 2, 0, 0, 0) }) {
            Ok(_) | Err(EINTR) => {}
            Err(_) => report::end(1),
        }
        let mut signal = [0_u32; 32];
        // SAFETY: a signalfd_siginfo has 128 bytes and begins with the signal's number; the descriptor does not block.
        let got = unsafe { call!(nr::READ, children, signal.as_mut_ptr(), size_of_val(&signal)) };
        if got > 0 && signal[0] == GUARD_SIGNAL_NUMBER {
            guard::end_all();
            report::end(1);
        }
        if waited[0].happened != 0 {
            obey(watched, account);
        }
    }
}

/// Reaps all that ended. When it was the program, that is the end of all, unless what it started may go on.
fn reap(watched: &mut Watched, account: &Account) {
    loop {
        let mut status = 0_i32;
        let how = WNOHANG | WUNTRACED | WCONTINUED | WALL;
        // SAFETY: the status lives until the call returns; no rusage is asked for.
        let pid = unsafe { call!(nr::WAIT4, -1_isize, &raw mut status, how, 0) };
        if pid <= 0 {
            // Whatever has lost its parent is our child, so that without children nothing goes on.
            if let (Some(status), Err(ECHILD)) = (watched.ended, check(pid)) {
                finish(watched, status, account);
            }
            return;
        }
        if pid != watched.program || watched.ended.is_some() {
            continue;
        }
        if status == 0xffff {
            send(&Message::new(message::CONTINUED, 0), &[]);
        } else if status & 0xff == 0x7f {
            send(&Message::new(message::STOPPED, ((status >> 8) & 0xff) as u64), &[]);
        } else if watched.waits {
            watched.ended = Some(status);
            send(&Message::new(message::LEFT, 0), &[]);
        } else {
            finish(watched, status, account);
        }
    }
}

/// Reports the program's end and ends, and with us the whole namespace.
fn finish(watched: &Watched, status: i32, account: &Account) -> ! {
    if watched.alone {
        end_others();
    }
    send(&Message::exited(status, account), &[]);
    report::end(0)
}

/// Ends every other process of the pid namespace, and reaps them all: what is told then, the kernel has counted to the end, and
/// the supervisor need not wait until the namespaces are cleared up.
fn end_others() {
    // SAFETY: integers only; from the first process of a pid namespace, -1 means all others in it. The kernel lets no process
    // that has a signal pending start another, so that none is missed (fork(2), copy_process).
    unsafe {
        // Whoever has no parent left has this one: without children there is nobody.
        if check(call!(nr::WAIT4, EVERY_PROCESS, 0, WALL | WNOHANG, 0)) == Err(ECHILD) {
            return;
        }
        call!(nr::KILL, EVERY_PROCESS, SIGKILL);
        while matches!(check(call!(nr::WAIT4, EVERY_PROCESS, 0, WALL, 0)), Ok(_) | Err(EINTR)) {}
    }
}

/// Reads one command. A closed socket means that the supervisor is gone, and that everything ends.
fn obey(watched: &Watched, account: &Account) {
    let mut words = [0_u32; 2];
    // SAFETY: a command is 8 bytes.
    let got = unsafe { call!(nr::READ, CONTROL_FD, words.as_mut_ptr(), command::LENGTH) };
    if got != command::LENGTH as isize {
        report::end(0);
    }
    let [kind, signal] = words;
    let signal = (signal as usize).min(64);
    let target = match (kind, watched.ended) {
        (command::FINISH, Some(status)) => finish(watched, status, account),
        // A number that may be another's by now is not signalled.
        (_, Some(_)) => 0,
        (command::SIGNAL_PROGRAM, None) => watched.program,
        (command::SIGNAL_FOREGROUND, None) => -foreground(watched.program, watched.terminal),
        _ => return,
    };
    if target != 0 {
        // SAFETY: integers only; within this pid namespace, or the Landlock scope, only a process of the sandbox is reached.
        unsafe { call!(nr::KILL, target, signal) };
    }
    if signal == SIGKILL {
        report::end(0);
    }
}

/// The terminal's foreground group, or the program's own.
fn foreground(program: isize, terminal: i32) -> isize {
    let mut group = 0_i32;
    if terminal >= 0 {
        // SAFETY: the controlling terminal of our session, and an int.
        unsafe { call!(nr::IOCTL, terminal, TIOCGPGRP, &raw mut group) };
    }
    if group > 1 { group as isize } else { program }
}
