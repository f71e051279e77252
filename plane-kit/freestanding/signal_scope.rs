//! Keeps signals within: what ends a whole run at once may reach that run alone.

use crate::raw_call::{call, nr};

const PR_SET_NO_NEW_PRIVS: usize = 38;
const EPERM: isize = -1;
const ESRCH: isize = -3;

/// Attributes of a ruleset that keeps signals within and handles nothing else: `handled_access_fs`, `handled_access_net`, `scoped`.
const SCOPE_SIGNAL: [u64; 3] = [0, 0, 2];

/// Keeps this process and its descendants from signalling anything but each other (LANDLOCK_SCOPE_SIGNAL, landlock(7), since ABI 6).
/// Answers 0, or `-errno` where the kernel does not.
pub fn enter() -> isize {
    // SAFETY: the attributes live until the call returns; integers else.
    unsafe {
        let ruleset = call!(nr::LANDLOCK_CREATE_RULESET, SCOPE_SIGNAL.as_ptr(), size_of_val(&SCOPE_SIGNAL), 0);
        if ruleset < 0 {
            return ruleset;
        }
        let privileges = call!(nr::PRCTL, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        let entered = if privileges < 0 { privileges } else { call!(nr::LANDLOCK_RESTRICT_SELF, ruleset, 0) };
        call!(nr::CLOSE, ruleset);
        entered
    }
}

/// Whether signals are kept within: neither our parent nor pid 1, whom one of our user could signal, can be.
pub fn holds() -> bool {
    // SAFETY: signal 0 only asks.
    unsafe {
        let refused = |pid: isize| matches!(call!(nr::KILL, pid, 0), EPERM | ESRCH);
        let parent = call!(nr::GETPPID);
        // A parent in another pid namespace has no number here, and kill(0) would mean our own group.
        refused(1) && (parent <= 0 || refused(parent))
    }
}
