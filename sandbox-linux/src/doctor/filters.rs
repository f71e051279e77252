//! Landlock and seccomp, each put on a child and seen to refuse.

use super::Tried;
use super::attempt::{Outcome, Step, attempt};
use super::calls;
use nix::errno::Errno;
use nix::sys::prctl::set_no_new_privs;
use std::fs::File;

/// What the filter of the examination answers: an errno that the call it is for never has.
const ANSWER: Errno = Errno::EXDEV;

pub(super) fn landlock() -> Tried {
    let abi = calls::landlock_abi();
    let Ok(abi) = abi else { return Outcome::of("landlock_create_ruleset", abi).into() };
    let restrict = || {
        let ruleset = calls::landlock_ruleset()?;
        calls::landlock_restrict(std::os::fd::AsFd::as_fd(&ruleset))
    };
    // What could be read before cannot be read now.
    let refuses = || match (File::open("/proc/self/status"), File::open("/etc/passwd")) {
        (Err(_), Err(_)) => Ok(()),
        _ => Err(Errno::EIO),
    };
    let steps = [
        Step { name: "prctl PR_SET_NO_NEW_PRIVS", call: &set_no_new_privs },
        Step { name: "landlock_restrict_self", call: &restrict },
        Step { name: "a file that Landlock must refuse", call: &refuses },
    ];
    Tried { outcome: attempt(0, &steps), detail: Some(format!("ABI {abi}")) }
}

pub(super) fn seccomp() -> Outcome {
    let install = || calls::install_filter(&mut program(libc::SECCOMP_RET_ERRNO | ANSWER as u32), 0).map(drop);
    let refuses = || match calls::parent_number() {
        Err(errno) if errno == ANSWER => Ok(()),
        _ => Err(Errno::EIO),
    };
    attempt(
        0,
        &[
            Step { name: "prctl PR_SET_NO_NEW_PRIVS", call: &set_no_new_privs },
            Step { name: "seccomp", call: &install },
            Step { name: "a call that the filter must refuse", call: &refuses },
        ],
    )
}

pub(super) fn notification() -> Outcome {
    let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    let listen = || calls::install_filter(&mut program(libc::SECCOMP_RET_USER_NOTIF), flags).map(drop);
    attempt(
        0,
        &[
            Step { name: "prctl PR_SET_NO_NEW_PRIVS", call: &set_no_new_privs },
            Step { name: "seccomp NEW_LISTENER", call: &listen },
        ],
    )
}

/// A filter that answers getppid(2) with `action` and lets everything else pass.
fn program(action: u32) -> [libc::sock_filter; 4] {
    let instruction = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter {
        code: u16::try_from(code).unwrap_or_default(),
        jt,
        jf,
        k,
    };
    let number = u32::try_from(libc::SYS_getppid).unwrap_or_default();
    [
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, number),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, action),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ]
}
