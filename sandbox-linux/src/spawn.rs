//! Starts the launcher in fresh namespaces without copying the host's memory.
//!
//! A host may hold gigabytes and dozens of threads, so it is never forked: clone(2) with `CLONE_VM | CLONE_VFORK`
//! lends the host's memory to the child until it executes the launcher, and suspends only the calling thread.

#![expect(unsafe_code, reason = "clone(2) with a shared memory and a stack of its own has no safe form")]

use cofferdam_plane_kit::process::Process;
use nix::sys::signal::{SigSet, SigmaskHow, pthread_sigmask};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Where the launcher expects its control socket; `format::CONTROL_FD` is the same number.
const CONTROL_FD: i32 = crate::format::CONTROL_FD;

/// Capabilities the launcher needs inside its own user namespace: to drop others, to configure loopback and listen on any port of it, to
/// mount; and to pass by the
/// modes of the user's own files, since an overlay works with the rights of whoever mounted it, and its own working directory has none.
const LAUNCHER_CAPABILITIES: [u32; 5] = [8, 12, 10, 21, 1];

const STACK_BYTES: usize = 64 * 1024;

struct Child {
    launcher: i32,
    control: i32,
    in_user_namespace: bool,
    errno: i32,
}

#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: i32,
}

/// Starts `launcher` with `control` as its descriptor 3 in the namespaces of `flags` (`CLONE_NEW…`).
pub(crate) fn spawn(launcher: BorrowedFd<'_>, control: BorrowedFd<'_>, flags: i32) -> io::Result<Process> {
    let mut stack = Vec::<MaybeUninit<u8>>::with_capacity(STACK_BYTES);
    let mut child = Child {
        launcher: launcher.as_raw_fd(),
        control: control.as_raw_fd(),
        in_user_namespace: flags & libc::CLONE_NEWUSER != 0,
        errno: 0,
    };
    let mut pidfd: i32 = -1;
    let flags = flags | libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
    // A handler of the host must not run in the child, which shares the host's memory.
    let mut before = SigSet::empty();
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before))?;
    // SAFETY: the stack's end is within its allocation.
    let top = unsafe { stack.as_mut_ptr().add(STACK_BYTES) };
    let argument = (&raw mut child).cast();
    // SAFETY: CLONE_VFORK keeps us here until the child has executed or ended, so stack, `child` and `pidfd` outlive it;
    // `run_launcher` calls only what is async-signal-safe.
    let pid = unsafe { libc::clone(run_launcher, top.cast(), flags, argument, &raw mut pidfd) };
    let error = io::Error::last_os_error();
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
    if pid < 0 {
        return Err(error);
    }
    // SAFETY: the kernel put a fresh descriptor there, which nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    if child.errno != 0 {
        let error = io::Error::from_raw_os_error(child.errno);
        let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), None);
        return Err(error);
    }
    Ok(Process::new(pidfd, pid))
}

/// Runs in the child, on the borrowed stack and memory.
extern "C" fn run_launcher(argument: *mut libc::c_void) -> libc::c_int {
    // SAFETY: `spawn` passes its `Child`, which nobody else touches while the caller is suspended.
    let child = unsafe { &mut *argument.cast::<Child>() };
    child.errno = execute(child);
    // SAFETY: ends the child without running exit handlers of the host.
    unsafe { libc::_exit(127) }
}

fn execute(child: &Child) -> i32 {
    if child.in_user_namespace && !keep_capabilities() {
        return errno();
    }
    // SAFETY: integers only. The launcher must not lie where the control socket goes.
    let launcher = unsafe { libc::fcntl(child.launcher, libc::F_DUPFD_CLOEXEC, CONTROL_FD + 1) };
    if launcher < 0 {
        return errno();
    }
    let placed = if child.control == CONTROL_FD {
        // SAFETY: integers only. A control socket that already has the right number only loses its close-on-exec flag.
        unsafe { libc::fcntl(CONTROL_FD, libc::F_SETFD, 0) }
    } else {
        // SAFETY: integers only.
        unsafe { libc::dup2(child.control, CONTROL_FD) }
    };
    if placed < 0 {
        return errno();
    }
    let first = CONTROL_FD + 1;
    // SAFETY: integers only. The launcher itself is closed by the execve, too.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if closed < 0 {
        return errno();
    }
    let arguments = [c"cofferdam-init".as_ptr(), std::ptr::null()];
    let variables = [std::ptr::null::<libc::c_char>()];
    // SAFETY: both tables end with null and live on this stack; the empty path means the descriptor itself.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            launcher,
            c"".as_ptr(),
            arguments.as_ptr(),
            variables.as_ptr(),
            libc::AT_EMPTY_PATH,
        );
    }
    errno()
}

/// An execve by a user other than root empties the permitted set, unless capabilities are ambient.
fn keep_capabilities() -> bool {
    let bits = LAUNCHER_CAPABILITIES.iter().fold(0_u32, |bits, capability| bits | 1 << capability);
    let header = CapabilityHeader { version: 0x2008_0522, pid: 0 };
    let sets: [u32; 6] = [bits, bits, bits, 0, 0, 0];
    // SAFETY: header and sets are the structures of capset(2), version 3.
    if unsafe { libc::syscall(libc::SYS_capset, &raw const header, sets.as_ptr()) } < 0 {
        return false;
    }
    LAUNCHER_CAPABILITIES.iter().all(|capability| {
        // SAFETY: integers only.
        unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE, *capability, 0, 0) == 0 }
    })
}

fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}
