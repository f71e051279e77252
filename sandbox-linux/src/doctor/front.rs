//! Who answered a call: the kernel's own code, or a filter in front of it.
//!
//! The call is made once more with arguments that the kernel refuses as senseless before it looks at any permission. Any other answer,
//! and above all the same refusal as before, comes from somebody in front of it.

use super::attempt::{Outcome, Step, attempt};
use super::calls::senseless;
use nix::errno::Errno;

const EVERY_FLAG: libc::c_long = 0x7fff_ffff;

/// Whether a filter answers the call of `step`; `None` where that cannot be told.
pub(super) fn filtered(step: &str) -> Option<bool> {
    if step == "clone" {
        return Some(clone_is_filtered());
    }
    let (number, arguments, answers) = senseless_form(step)?;
    let call = || senseless(number, arguments);
    // A filter may kill, so that a child asks.
    Some(match attempt(0, &[Step { name: "senseless", call: &call }]) {
        Outcome::Refused { errno, .. } => !answers.contains(&errno),
        Outcome::Worked => false,
        Outcome::Ended { .. } => true,
    })
}

/// The kernel refuses a new user namespace that shares the caller's root folder, whoever asks (clone(2)).
fn clone_is_filtered() -> bool {
    match attempt(libc::CLONE_NEWUSER | libc::CLONE_FS, &[]) {
        Outcome::Refused { errno, .. } => errno != Errno::EINVAL,
        Outcome::Worked => false,
        Outcome::Ended { .. } => true,
    }
}

type Senseless = (libc::c_long, [libc::c_long; 3], &'static [Errno]);

fn senseless_form(step: &str) -> Option<Senseless> {
    const NOT_THERE: libc::c_long = -1;
    // ENOSYS is not among the answers of calls that every supported kernel has.
    Some(match step {
        _ if step.starts_with("mount ") => (libc::SYS_mount, [0, 0, 0], &[Errno::EFAULT, Errno::EINVAL]),
        "open_tree" => (libc::SYS_open_tree, [NOT_THERE, 0, EVERY_FLAG], &[Errno::EINVAL]),
        "mount_setattr" => (libc::SYS_mount_setattr, [NOT_THERE, 0, EVERY_FLAG], &[Errno::EINVAL]),
        "memfd_create" => (libc::SYS_memfd_create, [0, EVERY_FLAG, 0], &[Errno::EINVAL, Errno::EFAULT]),
        "pidfd_open" => (libc::SYS_pidfd_open, [NOT_THERE, EVERY_FLAG, 0], &[Errno::EINVAL]),
        "pidfd_getfd" => (libc::SYS_pidfd_getfd, [NOT_THERE, NOT_THERE, EVERY_FLAG], &[Errno::EINVAL]),
        "pidfd_send_signal" => (libc::SYS_pidfd_send_signal, [NOT_THERE, 0, 0], &[Errno::EBADF, Errno::EINVAL]),
        "landlock_create_ruleset" => {
            let known: &[Errno] = &[Errno::EINVAL, Errno::EFAULT, Errno::EOPNOTSUPP];
            (libc::SYS_landlock_create_ruleset, [0, 0, EVERY_FLAG], known)
        }
        "landlock_restrict_self" => {
            let known: &[Errno] = &[Errno::EINVAL, Errno::EBADF, Errno::EPERM, Errno::EOPNOTSUPP];
            (libc::SYS_landlock_restrict_self, [NOT_THERE, EVERY_FLAG, 0], known)
        }
        "seccomp" | "seccomp NEW_LISTENER" => (libc::SYS_seccomp, [EVERY_FLAG, 0, 0], &[Errno::EINVAL, Errno::EFAULT]),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::calls::install_filter;

    /// Puts a child under a filter that answers `number` with `errno`, and answers what `ask` saw there.
    fn under_a_filter(number: libc::c_long, errno: Errno, ask: &dyn Fn() -> Option<bool>) -> Outcome {
        let instruction =
            |code: u32, jf: u8, k: u32| libc::sock_filter { code: u16::try_from(code).unwrap(), jt: 0, jf, k };
        let filter = [
            instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
            instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, u32::try_from(number).unwrap()),
            instruction(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ERRNO | errno as u32),
            instruction(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW),
        ];
        let install = || install_filter(&mut filter.clone(), 0).map(drop);
        let asked = || if ask() == Some(true) { Ok(()) } else { Err(Errno::EIO) };
        attempt(
            0,
            &[
                Step { name: "prctl", call: &nix::sys::prctl::set_no_new_privs },
                Step { name: "seccomp", call: &install },
                Step { name: "asked", call: &asked },
            ],
        )
    }

    #[test]
    fn without_a_filter_nobody_stands_in_front() {
        for step in ["clone", "mount tmpfs", "memfd_create", "pidfd_open", "pidfd_getfd", "seccomp"] {
            assert_eq!(filtered(step), Some(false), "{step}");
        }
        assert_eq!(filtered("write uid_map"), None);
    }

    #[test]
    fn a_filter_is_told_from_the_kernel() {
        let table = [(libc::SYS_mount, "mount tmpfs"), (libc::SYS_memfd_create, "memfd_create")];
        for (number, step) in table {
            assert_eq!(under_a_filter(number, Errno::EPERM, &|| filtered(step)), Outcome::Worked, "{step}");
            assert_eq!(under_a_filter(number, Errno::ENOSYS, &|| filtered(step)), Outcome::Worked, "{step}");
        }
    }
}
