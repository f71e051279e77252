//! What is asked about besides where refusals are to be explained: calls that find or reach something by a name, and calls that the
//! filter refuses.
//!
//! Nothing is decided by asking: the verdict stays the one of the plain filter, which is run again on the call's number and arguments
//! alone (`seccomp::plain_verdict`). A thread that waits for an answer cannot change those, and no other can change them for it
//! (seccomp_unotify(2): what may change is memory, which no filter sees). So a call that goes on is one that the plain filter lets
//! through unasked.

use super::bpf::{Block, EAFNOSUPPORT, EOPNOTSUPP, EPERM, EPROTONOSUPPORT, Test, Verdict};
use std::collections::BTreeMap;

/// Whether a call that the plain filter allows is asked about, and so may go on. No other call is ever let go on.
pub(crate) fn is_observed(call: &str) -> bool {
    NAMING.contains(&call) || BY_VARIANT.contains(&call)
}

/// Calls that name a path or an address.
pub(super) const NAMING: &[&str] = &[
    "access",
    "bind",
    "chdir",
    "chmod",
    "chown",
    "connect",
    "creat",
    "execve",
    "execveat",
    "faccessat",
    "faccessat2",
    "fchmodat",
    "fchmodat2",
    "fchownat",
    "futimesat",
    "getxattr",
    "inotify_add_watch",
    "lchown",
    "lgetxattr",
    "link",
    "linkat",
    "listxattr",
    "llistxattr",
    "lremovexattr",
    "lsetxattr",
    "lstat",
    "mkdir",
    "mkdirat",
    "mknod",
    "mknodat",
    "newfstatat",
    "open",
    "openat",
    "readlink",
    "readlinkat",
    "removexattr",
    "rename",
    "renameat",
    "renameat2",
    "rmdir",
    "sendmmsg",
    "sendmsg",
    "sendto",
    "setxattr",
    "stat",
    "statfs",
    "statx",
    "symlink",
    "symlinkat",
    "truncate",
    "unlink",
    "unlinkat",
    "utime",
    "utimensat",
    "utimes",
];

/// Calls without names that only some variants ask about or refuse, which one filter watches for all of them.
pub(super) const BY_VARIANT: &[&str] = &["fchmod", "setsockopt", "socket", "socketpair"];

/// The launcher's `format::CONTROL_FD`: on it goes what the calls are answered through, before anybody answers.
const CONTROL_FD: u32 = 3;

/// Turns the verdicts of the strictest variant into those of a filter that asks.
pub(super) fn asking(strictest: BTreeMap<&'static str, Block>) -> BTreeMap<&'static str, Block> {
    strictest.into_iter().map(|(call, block)| (call, asking_block(call, block))).collect()
}

fn asking_block(call: &str, mut block: Block) -> Block {
    block.change_verdicts(refusals_are_told);
    if !NAMING.contains(&call) || block.otherwise != Verdict::Allow {
        return block;
    }
    block.otherwise = Verdict::Broker;
    if call == "sendto" {
        // Without an address there is nothing to see, and streams send often. Where the address only looks absent by its lower
        // half, a line is missing.
        block.put_last(Test::equals_to(4, 0, Verdict::Allow));
    }
    if call == "sendmsg" {
        block.put_last(Test::equals_to(0, CONTROL_FD, Verdict::Allow));
    }
    block
}

/// A refusal that a program hears is told; "there is no such call" only makes it fall back.
fn refusals_are_told(verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Errno(EPERM | EAFNOSUPPORT | EPROTONOSUPPORT | EOPNOTSUPP) => Verdict::Broker,
        other => other,
    }
}
