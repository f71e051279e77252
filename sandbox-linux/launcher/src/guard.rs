//! The guard: stands in for pid 1 where there is no pid namespace.
//!
//! It is the parent of the launcher and the reaper of all its orphans, in a Landlock domain whose signals reach nothing else. When the
//! launcher has ended, however it did, the guard ends every process of the domain, waits until none is left, removes the run's
//! temporary directory, and ends. When the guard itself is ended from outside, the launcher hears of it and ends the others.

use crate::format::CONTROL_FD;
use crate::plan_reader::Text;
use crate::raw_call::{call, nr};
use crate::report;
use crate::signal_scope;
use crate::state::State;
use crate::step::{AT_FDCWD, ECHILD, EINTR, Errno, Failure, check, landlock, part, scratch};

const PR_SET_PDEATHSIG: usize = 1;
const PR_SET_DUMPABLE: usize = 4;
const PR_SET_CHILD_SUBREAPER: usize = 36;
const SIGHUP: usize = 1;
const SIGKILL: usize = 9;
const SIGCHLD: usize = 17;
const SIG_SETMASK: usize = 2;
const WALL: usize = 0x4000_0000;
const EPERM: Errno = 1;
const EVERY_PROCESS: isize = -1;
const ANY_CHILD: isize = -1;

/// Splits this process in two: the guard stays, and what comes back is its child, the launcher.
pub fn leave_behind(directory: Text, state: &mut State) -> Result<(), Failure> {
    let every = u64::MAX;
    if directory.length > 0 {
        // It must not be there: one that somebody else made would be theirs to change.
        // SAFETY: the text ends with NUL.
        part(unsafe { call!(nr::MKDIRAT, AT_FDCWD, directory.at, 0o700) }, 1)?;
    }
    landlock::scope_signals()?;
    if !signal_scope::holds() {
        return Err(Failure { errno: EPERM, detail: 2 });
    }
    // SAFETY: integers, and a mask of 8 bytes that lives until the call returns. A plain fork: each has its own memory.
    let child = unsafe {
        // Neither the terminal of the host nor anything else but SIGKILL ends the guard.
        part(call!(nr::RT_SIGPROCMASK, SIG_SETMASK, &raw const every, 0, 8), 3)?;
        part(call!(nr::SETSID), 4)?;
        part(call!(nr::PRCTL, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 5)?;
        part(call!(nr::PRCTL, PR_SET_DUMPABLE, 0, 0, 0, 0), 6)?;
        state.guard = call!(nr::GETPID);
        part(call!(nr::CLONE, SIGCHLD, 0, 0, 0, 0), 7)?
    };
    if child > 0 {
        // SAFETY: the descriptor is ours; the launcher has its own copy.
        unsafe { call!(nr::CLOSE, CONTROL_FD) };
        watch_over(child as isize, directory)
    }
    // SAFETY: integers only.
    unsafe {
        part(call!(nr::PRCTL, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 8)?;
        part(call!(nr::PRCTL, PR_SET_PDEATHSIG, SIGHUP, 0, 0, 0), 9)?;
        if call!(nr::GETPPID) != state.guard {
            report::end(1);
        }
    }
    Ok(())
}

fn watch_over(launcher: isize, directory: Text) -> ! {
    loop {
        // SAFETY: no status and no rusage are asked for.
        match check(unsafe { call!(nr::WAIT4, ANY_CHILD, 0, WALL, 0) }) {
            Ok(ended) if ended as isize == launcher => break,
            Ok(_) | Err(EINTR) => {}
            Err(_) => break,
        }
    }
    end_all();
    if directory.length > 0 {
        scratch::remove(directory);
    }
    report::end(0)
}

/// Ends every other process of the run, and waits until none is left.
pub fn end_all() {
    // kill(-1) reaches every process that may be signalled: without the scope that would be the user's whole session.
    while signal_scope::holds() {
        // SAFETY: integers only.
        let waited = unsafe {
            call!(nr::KILL, EVERY_PROCESS, SIGKILL);
            check(call!(nr::WAIT4, ANY_CHILD, 0, WALL, 0))
        };
        if waited == Err(ECHILD) {
            return;
        }
    }
}
