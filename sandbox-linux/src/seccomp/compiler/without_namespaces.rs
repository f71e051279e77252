//! What namespaces would hold and a filter must hold where there are none: other processes, System V and POSIX IPC, and metadata of
//! files that Landlock lets anybody change.

use super::bpf::{Block, ENOSYS, EPERM, Test, Verdict};
use super::rules::Rule;
use super::table;

/// Owners, extended attributes and watches, which Landlock does not look at.
const ATTRIBUTES: [&str; 15] = [
    "chown",
    "fchown",
    "fchownat",
    "fremovexattr",
    "fsetxattr",
    "getxattr",
    "inotify_add_watch",
    "lchown",
    "lgetxattr",
    "listxattr",
    "llistxattr",
    "lremovexattr",
    "lsetxattr",
    "removexattr",
    "setxattr",
];

/// Older ways to set times; a libc falls back to utimensat, which is brokered.
const OLDER_TIMES: &[&str] = &["utime", "utimes", "futimesat"];

/// Calls that look at a name without opening it: Landlock lets each of them tell whether a file is there.
const LOOKING: [&str; 10] =
    ["access", "faccessat", "faccessat2", "lstat", "newfstatat", "readlink", "readlinkat", "stat", "statfs", "statx"];

/// Requests that change a file through a descriptor that only reads: FS_IOC_SETFLAGS, its 32-bit form, FS_IOC_FSSETXATTR,
/// FS_IOC_ENABLE_VERITY, FS_IOC_SET_ENCRYPTION_POLICY.
const FILE_REQUESTS: [u32; 5] = [0x4008_6602, 0x4004_6602, 0x401c_5820, 0x4080_6685, 0x800c_6613];

/// Calls that name a process by their argument of that number; 0 means the caller.
const BY_PROCESS: [(&str, u8); 3] = [("prlimit64", 0), ("sched_setaffinity", 0), ("sched_setscheduler", 0)];

/// Changes `rules` to what the tier without namespaces needs.
pub(super) fn adapt(rules: &mut Vec<Rule>) {
    let refused = |calls: &[&'static str], errno| {
        calls.iter().map(|call| (*call, Block::plainly(Verdict::Errno(errno)))).collect::<Vec<_>>()
    };
    let mut added = refused(table::SHARED_OBJECTS, EPERM);
    added.extend(refused(OLDER_TIMES, ENOSYS));
    added.push(("utimensat", Block::plainly(Verdict::Broker)));
    added.extend(LOOKING.into_iter().chain(ATTRIBUTES).map(|call| (call, Block::plainly(Verdict::Broker))));
    for (call, argument) in BY_PROCESS {
        let others = Test::any_bits(argument, u32::MAX, EPERM);
        match rules.iter_mut().find(|(own, _)| *own == call) {
            Some((_, block)) => block.put_first(others),
            None => added.push((call, Block::new(vec![others], Verdict::Allow))),
        }
    }
    // Which kind of target, and which one: only oneself.
    let others = vec![Test::any_bits(0, u32::MAX, EPERM), Test::any_bits(1, u32::MAX, EPERM)];
    added.push(("setpriority", Block::new(others, Verdict::Allow)));
    if let Some((_, block)) = rules.iter_mut().find(|(own, _)| *own == "ioctl") {
        for request in FILE_REQUESTS {
            block.put_first(Test::equals(1, request, EPERM));
        }
    }
    rules.extend(added);
}
