//! Starts the launcher in fresh namespaces without copying the host's memory.
//!
//! A host may hold gigabytes and dozens of threads, so it is never forked: clone(2) with `CLONE_VM | CLONE_VFORK`
//! lends the host's memory to the child until it executes the launcher, and suspends only the calling thread.

#![expect(unsafe_code, reason = "clone(2) with a shared memory and a stack of its own has no safe form")]

use crate::shared_network::SharedNetwork;
use cofferdam_plane_kit::process::Process;
use nix::sys::signal::{SigSet, SigmaskHow, pthread_sigmask};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Where the launcher expects its control socket; `format::CONTROL_FD` is the same number.
const CONTROL_FD: i32 = crate::format::CONTROL_FD;

/// Capabilities the launcher needs inside its own user namespace: to drop others, to configure loopback, listen on any port of it and
/// see what is sent there, to mount; and to pass by the
/// modes of the user's own files, since an overlay works with the rights of whoever mounted it, and its own working directory has none.
const LAUNCHER_CAPABILITIES: [u32; 6] = [8, 12, 10, 13, 21, 1];

const STACK_BYTES: usize = 64 * 1024;

struct Child {
    launcher: i32,
    control: i32,
    in_user_namespace: bool,
    errno: i32,
}

/// What joins a network, and starts the launcher there.
struct Joiner {
    user: i32,
    network: i32,
    flags: i32,
    /// The end of the launcher's stack.
    stack: *mut libc::c_void,
    child: *mut Child,
    pidfd: *mut i32,
    pid: i32,
    errno: i32,
}

#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: i32,
}

/// Starts `launcher` with `control` as its descriptor 3 in the namespaces of `flags` (`CLONE_NEW…`), in `network` where there is one.
pub(crate) fn spawn(
    launcher: BorrowedFd<'_>,
    control: BorrowedFd<'_>,
    flags: i32,
    network: Option<&SharedNetwork>,
) -> io::Result<Process> {
    let mut stack = Stack::new();
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
    let started = match network {
        None => {
            let argument = (&raw mut child).cast();
            // SAFETY: CLONE_VFORK keeps us here until the child has executed or ended, so stack, `child` and `pidfd` outlive it;
            // `run_launcher` calls only what is async-signal-safe.
            let pid = unsafe { libc::clone(run_launcher, stack.top(), flags, argument, &raw mut pidfd) };
            if pid < 0 { Err(io::Error::last_os_error()) } else { Ok(pid) }
        }
        Some(network) => join_and_start(network, flags, stack.top(), &raw mut child, &raw mut pidfd),
    };
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
    let pid = started?;
    // SAFETY: the kernel put a fresh descriptor there, which nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    if child.errno != 0 {
        let error = io::Error::from_raw_os_error(child.errno);
        let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), None);
        return Err(error);
    }
    Ok(Process::new(pidfd, pid))
}

/// A stack for a child that borrows our memory.
pub(crate) struct Stack(Vec<MaybeUninit<u8>>);

impl Stack {
    pub(crate) fn new() -> Self {
        Self(Vec::with_capacity(STACK_BYTES))
    }

    pub(crate) fn top(&mut self) -> *mut libc::c_void {
        // SAFETY: the stack's end is within its allocation.
        unsafe { self.0.as_mut_ptr().add(STACK_BYTES) }.cast()
    }
}

/// Lets a child of ours join `network` and start the launcher there, as a child of ours, too: no thread of the host may leave its own user
/// namespace (setns(2)), and a user namespace that is made within another is beneath it.
fn join_and_start(
    network: &SharedNetwork,
    flags: i32,
    launcher_stack: *mut libc::c_void,
    child: *mut Child,
    pidfd: *mut i32,
) -> io::Result<i32> {
    let mut stack = Stack::new();
    let mut joiner = Joiner {
        user: network.user().as_raw_fd(),
        network: network.network().as_raw_fd(),
        flags: flags | libc::CLONE_PARENT,
        stack: launcher_stack,
        child,
        pidfd,
        pid: -1,
        errno: 0,
    };
    // It shares our descriptors, so that the launcher's pidfd is ours; it opens and closes none itself.
    let own = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_FILES | libc::SIGCHLD;
    // SAFETY: as for the launcher: we wait, stack and `joiner` outlive the child, which calls only what is async-signal-safe.
    let pid = unsafe { libc::clone(join, stack.top(), own, (&raw mut joiner).cast()) };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    // It has ended already, or is about to. Where the host reaps all its children itself, it may be gone.
    while nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), None) == Err(nix::errno::Errno::EINTR) {}
    if joiner.errno == 0 { Ok(joiner.pid) } else { Err(io::Error::from_raw_os_error(joiner.errno)) }
}

/// Runs in the child that joins, on its own borrowed stack.
extern "C" fn join(argument: *mut libc::c_void) -> libc::c_int {
    // SAFETY: `join_and_start` passes its `Joiner`, which nobody else touches while the caller is suspended.
    let joiner = unsafe { &mut *argument.cast::<Joiner>() };
    // SAFETY: integers only.
    let user = unsafe { libc::setns(joiner.user, libc::CLONE_NEWUSER) };
    // The user namespace first: it gives the right to the other (setns(2)).
    // SAFETY: integers only.
    let network = if user < 0 { user } else { unsafe { libc::setns(joiner.network, libc::CLONE_NEWNET) } };
    if network < 0 {
        joiner.errno = errno();
    } else {
        // SAFETY: as in `spawn`: CLONE_VFORK keeps this child here, and with it the thread that waits for it, until the launcher runs.
        joiner.pid =
            unsafe { libc::clone(run_launcher, joiner.stack, joiner.flags, joiner.child.cast(), joiner.pidfd) };
        if joiner.pid < 0 {
            joiner.errno = errno();
        }
    }
    // SAFETY: ends the child without running exit handlers of the host.
    unsafe { libc::_exit(0) }
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
