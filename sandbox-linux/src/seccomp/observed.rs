//! What is asked about besides where refusals are to be explained: calls that find or reach something by a name, and calls that the
//! filter refuses.
//!
//! Nothing is decided there: the verdict stays the one of the plain filter, worked out again from the call's number and arguments
//! alone. A thread that waits for an answer cannot change those, and no other can change them for it (seccomp_unotify(2): what may
//! change is memory, which no verdict here looks at). So a call that goes on is one that the plain filter lets through unasked.

use super::bpf::{Block, Errno, Test, Verdict};
use libc::c_long;
use std::collections::BTreeMap;

/// What the plain filter says to each call.
#[derive(Clone, Debug)]
pub(crate) struct PlainVerdicts(pub(super) BTreeMap<u32, Block>);

impl PlainVerdicts {
    /// The verdict on one call. One that no table names is absent.
    pub(crate) fn of(&self, number: i64, arguments: &[u64; 6]) -> Verdict {
        let block = u32::try_from(number).ok().and_then(|number| self.0.get(&number));
        block.map_or(Verdict::Errno(super::ENOSYS), |block| block.verdict(arguments))
    }
}

/// Whether a call that the plain filter allows is looked at. No other call is ever let go on.
pub(crate) fn is_observed(number: i64) -> bool {
    OBSERVED.contains(&number) || OBSERVED_HERE.contains(&number)
}

/// Calls that name a path or an address.
const OBSERVED: &[c_long] = &[
    libc::SYS_openat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlinkat,
    libc::SYS_chdir,
    libc::SYS_statfs,
    libc::SYS_getxattr,
    libc::SYS_lgetxattr,
    libc::SYS_listxattr,
    libc::SYS_llistxattr,
    libc::SYS_inotify_add_watch,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_mkdirat,
    libc::SYS_mknodat,
    libc::SYS_unlinkat,
    libc::SYS_symlinkat,
    libc::SYS_linkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_truncate,
    libc::SYS_fchmodat,
    super::SYS_FCHMODAT2,
    libc::SYS_fchownat,
    libc::SYS_utimensat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
];

/// The forms without a directory argument.
#[cfg(target_arch = "x86_64")]
const OBSERVED_HERE: &[c_long] = &[
    libc::SYS_open,
    libc::SYS_creat,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_mkdir,
    libc::SYS_mknod,
    libc::SYS_unlink,
    libc::SYS_rmdir,
    libc::SYS_symlink,
    libc::SYS_link,
    libc::SYS_rename,
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_futimesat,
];
#[cfg(not(target_arch = "x86_64"))]
const OBSERVED_HERE: &[c_long] = &[];

/// Turns the plain verdicts into those of a filter that asks.
pub(super) fn asking(plain: &BTreeMap<u32, Block>) -> BTreeMap<u32, Block> {
    plain.iter().map(|(number, block)| (*number, asking_block(*number, block))).collect()
}

fn asking_block(number: u32, block: &Block) -> Block {
    let mut block = block.clone();
    block.change_verdicts(refusals_are_told);
    let call = c_long::from(number);
    if !is_observed(call) {
        return block;
    }
    if block.otherwise == Verdict::Allow {
        block.otherwise = Verdict::Broker;
        if call == libc::SYS_sendto {
            // Without an address there is nothing to see, and streams send often. Where the address only looks absent by its lower
            // half, a line is missing.
            block.put_last(Test::equals_to(4, 0, Verdict::Allow));
        }
        if call == libc::SYS_sendmsg {
            // On this descriptor the launcher sends what the calls are answered through, before anybody answers.
            block.put_last(Test::equals_to(0, crate::format::CONTROL_FD.cast_unsigned(), Verdict::Allow));
        }
    }
    block
}

/// A refusal that a program hears is told; "there is no such call" only makes it fall back.
fn refusals_are_told(verdict: Verdict) -> Verdict {
    const TOLD: [i32; 5] = [libc::EPERM, libc::EACCES, libc::EAFNOSUPPORT, libc::EPROTONOSUPPORT, libc::EOPNOTSUPP];
    match verdict {
        Verdict::Errno(Errno(errno)) if TOLD.contains(&i32::from(errno)) => Verdict::Broker,
        other => other,
    }
}
