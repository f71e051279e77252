//! Names of the calls that a refusal can be told about.

use libc::c_long;

/// What the manual calls a call; `None` for one that is never told about.
pub(crate) fn call_name(number: i64) -> Option<&'static str> {
    let known = NAMES.iter().chain(NAMES_HERE).chain(FILE_ATTRIBUTES).find(|(own, _)| *own == number);
    let name = known.map(|(_, name)| name.strip_prefix("SYS_").unwrap_or(name));
    name.or((number == super::SYS_FCHMODAT2).then_some("fchmodat2"))
}

macro_rules! names {
    ($($call:ident)*) => { &[$((libc::$call, stringify!($call))),*] };
}

const FILE_ATTRIBUTES: &[(c_long, &str)] = names! {
    SYS_getxattr SYS_lgetxattr SYS_listxattr SYS_llistxattr SYS_setxattr SYS_lsetxattr SYS_fsetxattr SYS_removexattr
    SYS_lremovexattr SYS_fremovexattr
};

const NAMES: &[(c_long, &str)] = names! {
    SYS_openat SYS_newfstatat SYS_statx SYS_faccessat SYS_faccessat2 SYS_readlinkat SYS_chdir SYS_statfs
    SYS_inotify_add_watch SYS_execve SYS_execveat SYS_mkdirat SYS_mknodat SYS_unlinkat SYS_symlinkat SYS_linkat
    SYS_renameat SYS_renameat2 SYS_truncate SYS_fchmod SYS_fchmodat SYS_fchown SYS_fchownat SYS_utimensat SYS_connect
    SYS_bind SYS_sendto SYS_sendmsg SYS_sendmmsg SYS_socket SYS_socketpair SYS_clone SYS_ioctl SYS_personality SYS_prctl
    SYS_seccomp SYS_sched_setscheduler SYS_sched_setaffinity SYS_setpriority SYS_prlimit64 SYS_ptrace
    SYS_process_vm_readv SYS_process_vm_writev SYS_mount SYS_umount2 SYS_pivot_root SYS_chroot SYS_open_tree
    SYS_move_mount SYS_fsopen SYS_fsconfig SYS_fsmount SYS_fspick SYS_mount_setattr SYS_unshare SYS_setns
    SYS_open_by_handle_at SYS_name_to_handle_at SYS_bpf SYS_perf_event_open SYS_userfaultfd SYS_add_key
    SYS_request_key SYS_keyctl SYS_kcmp SYS_fanotify_init SYS_fanotify_mark SYS_memfd_secret SYS_move_pages
    SYS_migrate_pages SYS_process_madvise SYS_init_module SYS_finit_module SYS_delete_module SYS_kexec_load
    SYS_reboot SYS_swapon SYS_swapoff SYS_acct SYS_quotactl SYS_quotactl_fd SYS_settimeofday SYS_clock_settime
    SYS_adjtimex SYS_clock_adjtime SYS_syslog SYS_sethostname SYS_setdomainname SYS_vhangup SYS_ioprio_set
    SYS_sched_setattr SYS_sched_setparam SYS_shmget SYS_shmat SYS_shmdt SYS_shmctl SYS_semget SYS_semop
    SYS_semtimedop SYS_semctl SYS_msgget SYS_msgsnd SYS_msgrcv SYS_msgctl SYS_mq_open SYS_mq_unlink
    SYS_mq_timedsend SYS_mq_timedreceive SYS_mq_notify SYS_mq_getsetattr
};

#[cfg(target_arch = "x86_64")]
const NAMES_HERE: &[(c_long, &str)] = names! {
    SYS_open SYS_creat SYS_stat SYS_lstat SYS_access SYS_readlink SYS_mkdir SYS_mknod SYS_unlink SYS_rmdir SYS_symlink
    SYS_link SYS_rename SYS_chmod SYS_chown SYS_lchown SYS_utime SYS_utimes SYS_futimesat
};
#[cfg(not(target_arch = "x86_64"))]
const NAMES_HERE: &[(c_long, &str)] = &[];
