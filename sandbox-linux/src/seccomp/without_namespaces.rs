//! What namespaces would hold and a filter must hold where there are none: other processes, System V and POSIX IPC, and metadata of
//! files that Landlock lets anybody change.

use super::bpf::{Block, Errno, Test, Verdict};
use super::table;
use libc::c_long;

const EPERM: Errno = Errno(libc::EPERM as u16);
const EACCES: Errno = Errno(libc::EACCES as u16);
const ENOSYS: Errno = Errno(libc::ENOSYS as u16);
const EOPNOTSUPP: Errno = Errno(libc::EOPNOTSUPP as u16);

/// Changes of owners: a process without capabilities could only give files to groups of the user's.
const OWNERS: &[c_long] = &[
    libc::SYS_fchown,
    libc::SYS_fchownat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lchown,
];

/// Changes of extended attributes; programs take this answer for a file system without them.
const ATTRIBUTES: [c_long; 6] = [
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
];

/// Older ways to set times; a libc falls back to utimensat, which is brokered.
#[cfg(target_arch = "x86_64")]
const OLDER_TIMES: &[c_long] = &[libc::SYS_utime, libc::SYS_utimes, libc::SYS_futimesat];
#[cfg(not(target_arch = "x86_64"))]
const OLDER_TIMES: &[c_long] = &[];

/// Requests that change a file through a descriptor that only reads: FS_IOC_SETFLAGS, its 32-bit form, FS_IOC_FSSETXATTR,
/// FS_IOC_ENABLE_VERITY, FS_IOC_SET_ENCRYPTION_POLICY.
const FILE_REQUESTS: [u32; 5] = [0x4008_6602, 0x4004_6602, 0x401c_5820, 0x4080_6685, 0x800c_6613];

/// Calls that name a process by their argument of that number; 0 means the caller.
const BY_PROCESS: [(c_long, u8); 3] =
    [(libc::SYS_prlimit64, 0), (libc::SYS_sched_setaffinity, 0), (libc::SYS_sched_setscheduler, 0)];

/// Changes `rules` to what the tier without namespaces needs.
pub(super) fn adapt(rules: &mut Vec<(c_long, Block)>) {
    let refused = |calls: &[c_long], errno| {
        calls.iter().map(|call| (*call, Block::new(vec![], Verdict::Errno(errno)))).collect::<Vec<_>>()
    };
    let mut added = refused(table::SHARED_OBJECTS, EPERM);
    added.extend(refused(OWNERS, EPERM));
    added.extend(refused(&ATTRIBUTES, EOPNOTSUPP));
    added.extend(refused(OLDER_TIMES, ENOSYS));
    // A watch on a directory tells the names of what happens in it, and Landlock does not look.
    added.extend(refused(&[libc::SYS_inotify_add_watch], EACCES));
    added.push((libc::SYS_utimensat, Block::new(vec![], Verdict::Broker)));
    for (call, argument) in BY_PROCESS {
        let others = Test::any_bits(argument, u32::MAX, EPERM);
        match rules.iter_mut().find(|(own, _)| *own == call) {
            Some((_, block)) => block.put_first(others),
            None => added.push((call, Block::new(vec![others], Verdict::Allow))),
        }
    }
    // Which kind of target, and which one: only oneself.
    let others = vec![Test::any_bits(0, u32::MAX, EPERM), Test::any_bits(1, u32::MAX, EPERM)];
    added.push((libc::SYS_setpriority, Block::new(others, Verdict::Allow)));
    if let Some((_, block)) = rules.iter_mut().find(|(own, _)| *own == libc::SYS_ioctl) {
        for request in FILE_REQUESTS {
            block.put_first(Test::equals(1, request, EPERM));
        }
    }
    rules.extend(added);
}
