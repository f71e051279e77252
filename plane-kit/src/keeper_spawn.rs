//! Starts the keeper without copying the host's memory.
//!
//! A host may hold gigabytes and dozens of threads, so it is never forked: clone(2) with `CLONE_VM | CLONE_VFORK`
//! lends the host's memory to the child until it executes the keeper, and suspends only the calling thread.

#![expect(unsafe_code, reason = "clone(2) with a shared memory and a stack of its own has no safe form")]

use crate::keeper_format::MOST_DESCRIPTORS;
use crate::process::Process;
use nix::sys::signal::{SigSet, SigmaskHow, pthread_sigmask};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

const STACK_BYTES: usize = 64 * 1024;

/// Most descriptors that a keeper is handed: its control socket and the mark as well.
const MOST_PLACES: usize = MOST_DESCRIPTORS + 2;

struct Child {
    keeper: i32,
    /// What goes to the descriptors from 0 on.
    places: [i32; MOST_PLACES],
    count: i32,
    errno: i32,
}

/// Starts `keeper` with `streams` as descriptors 0 to 2, and its ends of what leads to it (`control` and the mark), `plan` and what is `held`
/// after them. One without a plan waits for all but its ends on its control socket, and has nothing held.
pub(crate) fn spawn(
    keeper: BorrowedFd<'_>,
    streams: [BorrowedFd<'_>; 3],
    ends: [BorrowedFd<'_>; 2],
    plan: Option<BorrowedFd<'_>>,
    held: &[BorrowedFd<'_>],
) -> io::Result<Process> {
    let handed = streams.into_iter().chain(ends).chain(plan).chain(held.iter().copied());
    let mut places = [-1; MOST_PLACES];
    let mut count = 0;
    for (place, descriptor) in places.iter_mut().zip(handed) {
        *place = descriptor.as_raw_fd();
        count += 1;
    }
    let mut stack = Vec::<MaybeUninit<u8>>::with_capacity(STACK_BYTES);
    let mut child = Child { keeper: keeper.as_raw_fd(), places, count, errno: 0 };
    let mut pidfd: i32 = -1;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
    // A handler of the host must not run in the child, which shares the host's memory.
    let mut before = SigSet::empty();
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before))?;
    // SAFETY: the stack's end is within its allocation.
    let top = unsafe { stack.as_mut_ptr().add(STACK_BYTES) };
    let argument = (&raw mut child).cast();
    // SAFETY: CLONE_VFORK keeps us here until the child has executed or ended, so stack, `child` and `pidfd` outlive it;
    // `run_keeper` calls only what is async-signal-safe.
    let pid = unsafe { libc::clone(run_keeper, top.cast(), flags, argument, &raw mut pidfd) };
    let error = io::Error::last_os_error();
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
    if pid < 0 {
        return Err(error);
    }
    // SAFETY: the kernel put a fresh descriptor there, which nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    let process = Process::new(pidfd, pid);
    if child.errno != 0 {
        let error = io::Error::from_raw_os_error(child.errno);
        let _ = process.reap();
        return Err(error);
    }
    Ok(process)
}

/// Runs in the child, on the borrowed stack and memory.
extern "C" fn run_keeper(argument: *mut libc::c_void) -> libc::c_int {
    // SAFETY: `spawn` passes its `Child`, which nobody else touches while the caller is suspended.
    let child = unsafe { &mut *argument.cast::<Child>() };
    child.errno = execute(child);
    // SAFETY: ends the child without running exit handlers of the host.
    unsafe { libc::_exit(127) }
}

fn execute(child: &Child) -> i32 {
    // A host may hold descriptors in any order: all go out of the way, above all places, first, and then each to its own.
    // SAFETY: integers only.
    let keeper = unsafe { libc::fcntl(child.keeper, libc::F_DUPFD_CLOEXEC, child.count) };
    let aside = child.places.map(|from| {
        // SAFETY: integers only. There is no descriptor -1, which fails and is not looked at.
        unsafe { libc::fcntl(from, libc::F_DUPFD_CLOEXEC, child.count) }
    });
    for (from, to) in aside.into_iter().zip(0..child.count) {
        // SAFETY: integers only. A copy that could not be made fails here.
        if unsafe { libc::dup2(from, to) } < 0 {
            return errno();
        }
    }
    // SAFETY: integers only. The keeper itself is closed by the execve, too.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, child.count, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if closed < 0 {
        return errno();
    }
    let arguments = [c"cofferdam-keeper".as_ptr(), std::ptr::null()];
    let variables = [std::ptr::null::<libc::c_char>()];
    // SAFETY: both tables end with null and live on this stack; the empty path means the descriptor itself.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            keeper,
            c"".as_ptr(),
            arguments.as_ptr(),
            variables.as_ptr(),
            libc::AT_EMPTY_PATH,
        );
    }
    errno()
}

fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}
