//! Tries steps in a child that ends at once, in namespaces of its own.
//!
//! The child shares our memory and suspends the thread that made it (`CLONE_VM | CLONE_VFORK`), so that a host with gigabytes is not
//! copied, and the child can leave its answer behind. Its descriptors, credentials, mounts and filters are its own and end with it.

#![expect(unsafe_code, reason = "clone(2) with a shared memory and a stack of its own has no safe form")]

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, pthread_sigmask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::mem::MaybeUninit;

const STACK_BYTES: usize = 64 * 1024;

/// One call of an attempt.
///
/// It runs in the child and must not start threads, unwind, or wait for another thread of ours.
pub(super) struct Step<'a> {
    pub(super) name: &'static str,
    pub(super) call: &'a dyn Fn() -> Result<(), Errno>,
}

/// How far an attempt came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Worked,
    Refused {
        step: &'static str,
        errno: Errno,
    },
    /// The step ended the process, as filters do that kill.
    Ended {
        step: &'static str,
    },
}

impl Outcome {
    /// The step that did not work, and the kernel's answer if there was one.
    pub(super) fn refused(self) -> Option<(&'static str, Option<Errno>)> {
        match self {
            Self::Worked => None,
            Self::Refused { step, errno } => Some((step, Some(errno))),
            Self::Ended { step } => Some((step, None)),
        }
    }

    /// The outcome of one call made by this process itself.
    pub(super) fn of<T>(step: &'static str, result: Result<T, Errno>) -> Self {
        result.map_or_else(|errno| Self::Refused { step, errno }, |_| Self::Worked)
    }
}

struct Child<'a> {
    steps: &'a [Step<'a>],
    /// The step that is being tried, and then the one that failed.
    at: usize,
    errno: Option<Errno>,
    done: bool,
}

/// Tries `steps` in order in a child in new namespaces (`CLONE_NEW…`), up to the first that fails.
pub(super) fn attempt(flags: i32, steps: &[Step<'_>]) -> Outcome {
    let mut stack = Vec::<MaybeUninit<u8>>::with_capacity(STACK_BYTES);
    let mut child = Child { steps, at: 0, errno: None, done: false };
    let mut before = SigSet::empty();
    // A handler of the host must not run in the child, which shares the host's memory.
    if let Err(errno) = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before)) {
        return Outcome::Refused { step: "rt_sigprocmask", errno };
    }
    let argument = (&raw mut child).cast();
    let flags = flags | libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the stack's end is within its allocation.
    let top = unsafe { stack.as_mut_ptr().add(STACK_BYTES) };
    // SAFETY: CLONE_VFORK keeps us here until the child has ended, so stack and `child` outlive it.
    let pid = unsafe { libc::clone(run, top.cast(), flags, argument) };
    let errno = Errno::last();
    let _ = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None);
    if pid < 0 {
        return Outcome::Refused { step: "clone", errno };
    }
    let status = wait(pid);
    let step = child.steps.get(child.at).map_or("clone", |step| step.name);
    match (child.errno, child.done) {
        (Some(errno), _) => Outcome::Refused { step, errno },
        (None, true) if matches!(status, Ok(WaitStatus::Exited(..)) | Err(Errno::ECHILD)) => Outcome::Worked,
        _ => Outcome::Ended { step },
    }
}

fn wait(pid: i32) -> Result<WaitStatus, Errno> {
    loop {
        match waitpid(Pid::from_raw(pid), Some(WaitPidFlag::__WALL)) {
            Err(Errno::EINTR) => {}
            status => return status,
        }
    }
}

/// Runs in the child, on the borrowed stack and memory.
extern "C" fn run(argument: *mut libc::c_void) -> libc::c_int {
    // SAFETY: `attempt` passes its `Child`, which nobody else touches while the caller is suspended.
    let child = unsafe { &mut *argument.cast::<Child<'_>>() };
    for (at, step) in child.steps.iter().enumerate() {
        child.at = at;
        if let Err(errno) = (step.call)() {
            child.errno = Some(errno);
            break;
        }
    }
    child.done = true;
    // SAFETY: ends the child without running exit handlers of the host.
    unsafe { libc::_exit(0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_step_that_fails_is_named_and_the_rest_is_not_tried() {
        let steps = [
            Step { name: "first", call: &|| Ok(()) },
            Step { name: "second", call: &|| Err(Errno::EROFS) },
            Step { name: "third", call: &|| Err(Errno::EIO) },
        ];
        assert_eq!(attempt(0, &steps), Outcome::Refused { step: "second", errno: Errno::EROFS });
        assert_eq!(attempt(0, &steps[..1]), Outcome::Worked);
    }

    #[test]
    fn a_step_that_kills_is_named() {
        let kill = || nix::sys::signal::kill(nix::unistd::getpid(), nix::sys::signal::Signal::SIGKILL);
        let steps = [Step { name: "fine", call: &|| Ok(()) }, Step { name: "deadly", call: &kill }];
        assert_eq!(attempt(0, &steps), Outcome::Ended { step: "deadly" });
    }

    #[test]
    fn what_a_child_opens_and_takes_on_ends_with_it() {
        let umask = nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
        nix::sys::stat::umask(umask);
        let change = || {
            nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o777));
            nix::unistd::close(0)
        };
        let _ = attempt(0, &[Step { name: "close", call: &change }]);
        let now = nix::sys::stat::umask(umask);
        assert_eq!(now, umask);
        assert!(nix::fcntl::fcntl(std::io::stdin(), nix::fcntl::FcntlArg::F_GETFD).is_ok());
    }
}
