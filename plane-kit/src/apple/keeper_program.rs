//! The keeper's program: on macOS it is the host's own, since no program of another format could be made without libSystem.
//!
//! What is written here runs in a process with one thread, which has nothing but three streams and the control socket.

#![expect(
    unsafe_code,
    reason = "fork(2) with one thread, ioctl(2) for the terminal, and limits that nix does not name, have no safe form"
)]

use crate::apple::keeper_watch::{Watch, send};
use crate::apple::plan_reader::{self, KeeperPlan};
use crate::keeper_format::{CONTROL_FD, message, step};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, pthread_sigmask, sigaction};
use nix::unistd::{ForkResult, Pid, chdir, execve, fork, setsid};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};

/// The argument by which a host's program is asked to be a keeper.
pub(crate) const ASKED: &str = "cofferdam-keeper";

/// Longest plan: what the kernel takes as arguments and environment is less.
const MOST_BYTES: u32 = 8 << 20;

static OFFERED: AtomicBool = AtomicBool::new(false);

/// Call it first in `main`, before there are threads: on macOS the keeper is this same program, started with an argument of its own.
/// Then it does not return. Without this call nothing can be started.
pub fn serve_if_asked() {
    let mut arguments = std::env::args_os();
    if arguments.next().as_deref() == Some(OsStr::new(ASKED)) && arguments.next().is_none() {
        serve();
    }
    OFFERED.store(true, Ordering::SeqCst);
}

/// Whether this program would serve as keeper.
pub(crate) fn is_offered() -> bool {
    OFFERED.load(Ordering::SeqCst)
}

/// Where a start failed, and why.
struct Failure {
    step: u32,
    errno: Errno,
}

fn at(step: u32) -> impl Fn(Errno) -> Failure {
    move |errno| Failure { step, errno }
}

fn serve() -> ! {
    // SAFETY: whoever starts a keeper puts the control socket there, and nobody else in this process uses it.
    let mut control = UnixStream::from(unsafe { OwnedFd::from_raw_fd(CONTROL_FD) });
    let code = match start(&mut control) {
        Ok((program, output_wait)) => Watch::new(control, program, output_wait).map_or(1, Watch::run),
        Err(failure) => {
            send(&control, message::FAILED, 0, failure.errno as u32, failure.step);
            1
        }
    };
    // SAFETY: ends this process without running what the host's program has for its exit.
    unsafe { libc::_exit(code) }
}

fn start(control: &mut UnixStream) -> Result<(Pid, bool), Failure> {
    fcntl(&*control, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).map_err(at(step::PREPARE))?;
    // So that a signal to the host's group does not end it, and its own group holds nobody else.
    setsid().map_err(at(step::SESSION))?;
    let plan = receive(control).map_err(|_| Failure { step: step::PLAN, errno: Errno::EIO })?;
    let plan = plan_reader::read(&plan).ok_or(Failure { step: step::PLAN, errno: Errno::EINVAL })?;
    let (mut told, tells) = io::pipe().map_err(|_| Failure { step: step::PREPARE, errno: Errno::EMFILE })?;
    // SAFETY: this process has one thread, so the child may do whatever this one may.
    let program = match unsafe { fork() }.map_err(at(step::PROCESS))? {
        ForkResult::Child => {
            let failure = execute(&plan);
            let words = [failure.step.to_le_bytes(), (failure.errno as u32).to_le_bytes()].concat();
            let _ = (&tells).write_all(&words);
            // SAFETY: as above.
            unsafe { libc::_exit(127) }
        }
        ForkResult::Parent { child } => child,
    };
    drop(tells);
    let mut words = Vec::new();
    let _ = told.read_to_end(&mut words);
    if let [a, b, c, d, e, f, g, h] = words[..] {
        let _ = nix::sys::wait::waitpid(program, None);
        let errno = Errno::from_raw(i32::from_le_bytes([e, f, g, h]));
        return Err(Failure { step: u32::from_le_bytes([a, b, c, d]), errno });
    }
    drop_streams();
    send(control, message::STARTED, program.as_raw().cast_unsigned(), 0, 0);
    Ok((program, plan.output_wait))
}

/// A pipe is to end when the program's end of it does.
fn drop_streams() {
    if let Ok(null) = File::options().read(true).write(true).open("/dev/null") {
        for descriptor in 0..3 {
            // SAFETY: integers only; the streams are this process's own.
            unsafe { libc::dup2(null.as_raw_fd(), descriptor) };
        }
    }
}

fn receive(control: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    control.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length > MOST_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut plan = vec![0; usize::try_from(length).unwrap_or(0)];
    control.read_exact(&mut plan)?;
    Ok(plan)
}

/// The child: a session of its own with the terminal if there is one, its limits, then the program. Comes back only where that failed.
fn execute(plan: &KeeperPlan) -> Failure {
    match prepared(plan) {
        Err(failure) => failure,
        Ok(()) => match execve(&plan.program, &plan.arguments, &plan.variables) {
            Err(errno) => Failure { step: step::EXECUTE, errno },
        },
    }
}

fn prepared(plan: &KeeperPlan) -> Result<(), Failure> {
    setsid().map_err(at(step::SESSION))?;
    if plan.terminal {
        // SAFETY: integers only.
        let got = unsafe { libc::ioctl(0, libc::TIOCSCTTY.into(), 0) };
        Errno::result(got).map_err(at(step::SESSION))?;
    }
    chdir(plan.directory.as_c_str()).map_err(at(step::DIRECTORY))?;
    for (number, value) in &plan.limits {
        limit(*number, *value).map_err(at(step::LIMIT))?;
    }
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    for signal in Signal::iterator().filter(|signal| !matches!(signal, Signal::SIGKILL | Signal::SIGSTOP)) {
        // SAFETY: the default action is no handler. Signals that the host ignores would stay ignored across execve.
        unsafe { sigaction(signal, &default) }.map_err(at(step::PREPARE))?;
    }
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None).map_err(at(step::PREPARE))
}

/// Sets a limit, never above what holds already.
fn limit(number: u32, value: u64) -> nix::Result<()> {
    // As a plan numbers them, which is as Linux does.
    let resource = match number {
        0 => libc::RLIMIT_CPU,
        1 => libc::RLIMIT_FSIZE,
        2 => libc::RLIMIT_DATA,
        6 => libc::RLIMIT_NPROC,
        7 => libc::RLIMIT_NOFILE,
        _ => return Err(Errno::EINVAL),
    };
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure lives until the call returns.
    Errno::result(unsafe { libc::getrlimit(resource, &raw mut limit) })?;
    let value = value.min(limit.rlim_max);
    let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
    // SAFETY: as above.
    Errno::result(unsafe { libc::setrlimit(resource, &raw const limit) }).map(|_| ())
}
