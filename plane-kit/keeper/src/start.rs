//! Prepares the keeper, and starts the program.

use crate::ahead;
use crate::format::{CONTROL_FD, MARK_FD, MOST_SCRIPTS, PROGRAM_FD, SCRIPT_FD, command, flag, message, step};
use crate::plan_reader::Cursor;
use crate::raw_call::{call, nr, start_child};
use crate::report::{self, Failure, part, send};

const _: () = assert!(command::LENGTH == 8);

const CLONE_VM: usize = 0x100;
const CLONE_VFORK: usize = 0x4000;
const SIGKILL: usize = 9;
const SIGTERM: usize = 15;
const SIGCHLD: usize = 17;
const LAST_SIGNAL: usize = 64;
const SIG_SETMASK: usize = 2;
const PR_SET_PDEATHSIG: usize = 1;
const PR_SET_DUMPABLE: usize = 4;
const PR_SET_CHILD_SUBREAPER: usize = 36;
const PR_SET_NO_NEW_PRIVS: usize = 38;
const CLOSE_RANGE_CLOEXEC: usize = 4;
const TIOCSCTTY: usize = 0x540e;
const TIOCSPGRP: usize = 0x5410;
const AT_FDCWD: isize = -100;
const AT_EMPTY_PATH: usize = 0x1000;
const F_SETFD: usize = 2;
const O_CLOEXEC: usize = 0o2_000_000;
const MOST_LIMITS: usize = 16;

/// What runs.
pub struct Started {
    /// The program's process id.
    pub program: isize,
    /// The host's process id.
    pub host: isize,
    /// Whether the session has a terminal.
    pub terminal: bool,
    /// Whether what it started may go on after its end.
    pub waits: bool,
    /// The list of our children in /proc.
    pub children: i32,
}

/// What the child process needs; it shares our memory until it executes the program.
struct Child {
    /// Our process id.
    keeper: isize,
    directory: *const u8,
    program: *const u8,
    arguments: *const *const u8,
    variables: *const *const u8,
    limits: [(u32, u64); MOST_LIMITS],
    limit_count: usize,
    terminal: bool,
    /// How many scripts are held, where the program is held.
    held: Option<usize>,
    errno: i32,
    step: u32,
}

#[repr(align(16))]
struct Stack {
    _bytes: [u8; 16 * 1024],
}
static mut CHILD_STACK: Stack = Stack { _bytes: [0; 16 * 1024] };

/// Prepares, reads the plan, and starts the program.
pub fn start() -> Result<Started, Failure> {
    prepare()?;
    // SAFETY: constant text. Our only thread is this one, so its list is that of the process.
    let list = unsafe { call!(nr::OPENAT, AT_FDCWD, c"/proc/thread-self/children".as_ptr(), O_CLOEXEC) };
    let list = part(list, step::CHILDREN)? as i32;
    let children = ahead::out_of_the_way(list).map_err(|errno| Failure { step: step::CHILDREN, errno })?;
    // SAFETY: no arguments.
    part(unsafe { call!(nr::SETSID) }, step::SESSION)?;
    // All until here is the same for every program.
    let sent = ahead::wait()?;
    let mut plan = Cursor::open(sent)?;
    let flags = plan.u32()?;
    let terminal = flags & flag::TERMINAL != 0;
    let scripts = ((flags >> flag::SCRIPTS_SHIFT) as usize).min(MOST_SCRIPTS);
    let held = if flags & flag::HELD != 0 { Some(scripts) } else { None };
    let host = plan.u32()? as isize;
    let mut limits = [(0, 0); MOST_LIMITS];
    let limit_count = plan.u32()? as usize;
    for limit in limits.iter_mut().take(limit_count) {
        *limit = (plan.u32()?, plan.u64()?);
    }
    let directory = plan.text()?;
    let program = plan.text()?;
    let (arguments, variables) = (plan.texts()?, plan.texts()?);
    if terminal {
        // SAFETY: integers only. The session is ours alone.
        part(unsafe { call!(nr::IOCTL, 0, TIOCSCTTY, 0) }, step::SESSION)?;
    }
    if flags & flag::GROUP != 0 {
        join(PROGRAM_FD + held.map_or(0, |scripts| scripts as i32 + 1))?;
    }
    // SAFETY: no arguments.
    let keeper = unsafe { call!(nr::GETPID) };
    let mut child =
        Child { keeper, directory, program, arguments, variables, limits, limit_count, terminal, held, errno: 0, step: 0 };
    let program = start_program(&mut child)?;
    for descriptor in 0..3 {
        // SAFETY: the descriptors are ours; a pipe is to end when the program's end of it does.
        unsafe { call!(nr::CLOSE, descriptor) };
    }
    for descriptor in 0..held.map_or(0, |scripts| scripts as i32 + 1) {
        // SAFETY: the descriptors are ours; the program holds its own copies of what it needs.
        unsafe { call!(nr::CLOSE, PROGRAM_FD + descriptor) };
    }
    plan.close();
    send(message::STARTED, program as u32, 0, 0);
    Ok(Started { program, host, terminal, waits: flags & flag::OUTPUT_WAIT != 0, children })
}

fn prepare() -> Result<(), Failure> {
    let (every, default) = (u64::MAX, [0_u64; 4]);
    // SAFETY: mask and action have the sizes that the kernel expects; the rest are integers.
    unsafe {
        part(call!(nr::RT_SIGPROCMASK, SIG_SETMASK, &raw const every, 0, 8), step::PREPARE)?;
        // What the host ignores would stay so for us and, across execve, for the program: Rust programs ignore SIGPIPE, and where SIGCHLD
        // is ignored the kernel reaps our children behind our back. Nothing arrives here meanwhile. Two signals have no such setting.
        for signal in 1..=LAST_SIGNAL {
            let set = call!(nr::RT_SIGACTION, signal, &raw const default, 0, 8);
            if signal == SIGCHLD {
                part(set, step::PREPARE)?;
            }
        }
        part(call!(nr::PRCTL, PR_SET_CHILD_SUBREAPER, 1), step::PREPARE)?;
        // The kernel sends it when the host's thread that started us ends; `watch` looks whether it was the host.
        part(call!(nr::PRCTL, PR_SET_PDEATHSIG, SIGTERM), step::PREPARE)?;
        // What runs as somebody else we could not end.
        part(call!(nr::PRCTL, PR_SET_NO_NEW_PRIVS, 1), step::PREPARE)?;
        // So that everything can be ended at once. A kernel without it leaves us to do so one by one.
        crate::signal_scope::enter();
        // The program is not to trace us.
        part(call!(nr::PRCTL, PR_SET_DUMPABLE, 0), step::PREPARE)?;
    }
    Ok(())
}

/// Joins the cgroup whose entrance this is: from here on, all that is started counts there, this keeper too.
fn join(entrance: i32) -> Result<(), Failure> {
    // SAFETY: one byte of constant text; the descriptor is ours and not used again.
    unsafe {
        part(call!(nr::WRITE, entrance, c"0".as_ptr(), 1), step::GROUP)?;
        call!(nr::CLOSE, entrance);
    }
    Ok(())
}

fn start_program(child: &mut Child) -> Result<isize, Failure> {
    let child = core::ptr::from_mut(child);
    // SAFETY: the stack is ours and used once; CLONE_VFORK suspends us until the child has executed the program or ended.
    let pid = unsafe {
        let top = (&raw mut CHILD_STACK).cast::<u8>().add(size_of::<Stack>());
        start_child(CLONE_VM | CLONE_VFORK | SIGCHLD, top, run_child, child.cast())
    };
    part(pid, step::PROCESS)?;
    // SAFETY: written by the child, which is past its execve or gone.
    let (errno, step) = unsafe {
        (core::ptr::read_volatile(&raw const (*child).errno), core::ptr::read_volatile(&raw const (*child).step))
    };
    if errno != 0 { Err(Failure { step, errno }) } else { Ok(pid) }
}

/// The child: a process group of its own, in the foreground of the terminal if there is one, then the program.
extern "C" fn run_child(argument: *mut u8) -> ! {
    let child = argument.cast::<Child>();
    // SAFETY: `child` outlives us, as the parent waits.
    let failure = match unsafe { execute(&*child) } {
        Err(failure) => failure,
        Ok(()) => Failure { step: step::EXECUTE, errno: 0 },
    };
    // SAFETY: as above; nobody else looks before we have ended.
    unsafe {
        core::ptr::write_volatile(&raw mut (*child).step, failure.step);
        core::ptr::write_volatile(&raw mut (*child).errno, failure.errno);
    }
    report::end(127)
}

fn execute(child: &Child) -> Result<(), Failure> {
    let none = 0_u64;
    // SAFETY: masks and actions have the sizes that the kernel expects; texts end with NUL, tables with null.
    unsafe {
        let group = call!(nr::GETPID) as i32;
        part(call!(nr::SETPGID, 0, 0), step::SESSION)?;
        if child.terminal {
            part(call!(nr::IOCTL, 0, TIOCSPGRP, &raw const group), step::SESSION)?;
        }
        // Should somebody kill the keeper, the program at least does not stay.
        part(call!(nr::PRCTL, PR_SET_PDEATHSIG, SIGKILL), step::PREPARE)?;
        if call!(nr::GETPPID) != child.keeper {
            // It was killed before that, and its host may start the program anew.
            report::end(127);
        }
        part(call!(nr::CHDIR, child.directory), step::DIRECTORY)?;
        for (resource, value) in child.limits.iter().take(child.limit_count) {
            limit(*resource, *value)?;
        }
        let mark = group as u64;
        call!(nr::WRITE, MARK_FD, &raw const mark, 8);
        // The program gets the three streams and nothing else, above all not the control socket.
        call!(nr::CLOSE_RANGE, CONTROL_FD, u32::MAX, CLOSE_RANGE_CLOEXEC);
        call!(nr::RT_SIGPROCMASK, SIG_SETMASK, &raw const none, 0, 8);
        let (arguments, variables) = (child.arguments, child.variables);
        let Some(scripts) = child.held else {
            part(call!(nr::EXECVE, child.program, arguments, variables), step::EXECUTE)?;
            return Ok(());
        };
        for script in 0..scripts as i32 {
            // The interpreter opens it by this number.
            part(call!(nr::FCNTL, SCRIPT_FD + script, F_SETFD, 0), step::EXECUTE)?;
        }
        let itself = c"".as_ptr();
        part(call!(nr::EXECVEAT, PROGRAM_FD, itself, arguments, variables, AT_EMPTY_PATH), step::EXECUTE)?;
    }
    Ok(())
}

/// Sets a limit, never above what holds already.
fn limit(resource: u32, value: u64) -> Result<(), Failure> {
    let mut limit = [0_u64; 2];
    // SAFETY: a limit is two u64.
    part(unsafe { call!(nr::PRLIMIT64, 0, resource, 0, limit.as_mut_ptr()) }, step::LIMIT)?;
    let [_, most] = limit;
    let value = value.min(most);
    let limit = [value, value];
    // SAFETY: a limit is two u64.
    part(unsafe { call!(nr::PRLIMIT64, 0, resource, limit.as_ptr(), 0) }, step::LIMIT)?;
    Ok(())
}
