//! The reviewed list of system calls: what a sandboxed program may do, group by group, each with its reason.
//!
//! A call in no group is unknown here and answers ENOSYS, so that a libc falls back to an older one. A call in
//! `REFUSED` is known and refused on purpose. Calls whose arguments matter are in `rules`.

use libc::c_long;

/// Calls that a group of programs needs, and why they are harmless inside.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    /// Why these calls are allowed.
    pub(crate) reason: &'static str,
    /// Their numbers.
    pub(crate) calls: &'static [c_long],
}

/// What is allowed whatever the arguments.
pub(crate) const ALLOWED: &[Group] = &[
    Group {
        reason: "files: what may be opened is decided by mounts and Landlock; an open descriptor is its own permission",
        calls: &[
            libc::SYS_read, libc::SYS_write, libc::SYS_close, libc::SYS_close_range, libc::SYS_fstat, libc::SYS_lseek,
            libc::SYS_pread64, libc::SYS_pwrite64, libc::SYS_readv, libc::SYS_writev, libc::SYS_preadv, libc::SYS_pwritev,
            libc::SYS_preadv2, libc::SYS_pwritev2, libc::SYS_newfstatat, libc::SYS_statx, libc::SYS_faccessat,
            libc::SYS_faccessat2, libc::SYS_readlinkat, libc::SYS_getdents64, libc::SYS_fcntl, libc::SYS_flock,
            libc::SYS_fsync, libc::SYS_fdatasync, libc::SYS_sync, libc::SYS_syncfs, libc::SYS_sync_file_range, libc::SYS_truncate,
            libc::SYS_ftruncate, libc::SYS_fallocate, libc::SYS_fadvise64, libc::SYS_readahead, libc::SYS_dup, libc::SYS_dup3,
            libc::SYS_pipe2, libc::SYS_sendfile, libc::SYS_splice, libc::SYS_tee, libc::SYS_vmsplice, libc::SYS_copy_file_range,
            libc::SYS_getcwd, libc::SYS_chdir, libc::SYS_fchdir, libc::SYS_unlinkat, libc::SYS_symlinkat, libc::SYS_linkat,
            libc::SYS_renameat2, libc::SYS_fchownat, libc::SYS_fchown, libc::SYS_utimensat, libc::SYS_umask,
            libc::SYS_statfs, libc::SYS_fstatfs, libc::SYS_memfd_create,
            libc::SYS_getxattr, libc::SYS_lgetxattr, libc::SYS_fgetxattr, libc::SYS_listxattr, libc::SYS_llistxattr,
            libc::SYS_flistxattr, libc::SYS_setxattr, libc::SYS_lsetxattr, libc::SYS_fsetxattr, libc::SYS_removexattr,
            libc::SYS_lremovexattr, libc::SYS_fremovexattr,
        ],
    },
    Group {
        reason: "waiting: epoll, poll, event and timer descriptors, and file watches, all bounded by the descriptor limit",
        calls: &[
            libc::SYS_ppoll, libc::SYS_pselect6, libc::SYS_epoll_create1, libc::SYS_epoll_ctl, libc::SYS_epoll_pwait,
            libc::SYS_epoll_pwait2, libc::SYS_eventfd2, libc::SYS_signalfd4, libc::SYS_timerfd_create, libc::SYS_timerfd_settime,
            libc::SYS_timerfd_gettime, libc::SYS_inotify_init1, libc::SYS_inotify_add_watch, libc::SYS_inotify_rm_watch,
            libc::SYS_io_setup, libc::SYS_io_submit, libc::SYS_io_cancel, libc::SYS_io_getevents, libc::SYS_io_destroy,
        ],
    },
    Group {
        reason: "memory of the process itself",
        calls: &[
            libc::SYS_mmap, libc::SYS_munmap, libc::SYS_mprotect, libc::SYS_mremap, libc::SYS_madvise, libc::SYS_msync,
            libc::SYS_mincore, libc::SYS_brk, libc::SYS_mlock, libc::SYS_mlock2, libc::SYS_munlock, libc::SYS_mlockall,
            libc::SYS_munlockall, libc::SYS_pkey_alloc, libc::SYS_pkey_free, libc::SYS_pkey_mprotect, libc::SYS_membarrier,
            libc::SYS_mbind, libc::SYS_get_mempolicy, libc::SYS_set_mempolicy,
        ],
    },
    Group {
        reason: "processes and threads of the sandbox: the pid namespace holds every number they can name",
        calls: &[
            libc::SYS_execve, libc::SYS_execveat, libc::SYS_exit, libc::SYS_exit_group, libc::SYS_wait4, libc::SYS_waitid,
            libc::SYS_kill, libc::SYS_tkill, libc::SYS_tgkill, libc::SYS_rt_sigqueueinfo, libc::SYS_rt_tgsigqueueinfo,
            libc::SYS_pidfd_open, libc::SYS_pidfd_send_signal, libc::SYS_pidfd_getfd, libc::SYS_getpid, libc::SYS_getppid,
            libc::SYS_gettid, libc::SYS_getpgid, libc::SYS_setpgid, libc::SYS_getsid, libc::SYS_setsid, libc::SYS_set_tid_address,
            libc::SYS_set_robust_list, libc::SYS_get_robust_list, libc::SYS_rseq, libc::SYS_futex, libc::SYS_futex_waitv,
            libc::SYS_rt_sigaction, libc::SYS_rt_sigprocmask, libc::SYS_rt_sigpending, libc::SYS_rt_sigtimedwait,
            libc::SYS_rt_sigsuspend, libc::SYS_rt_sigreturn, libc::SYS_sigaltstack, libc::SYS_restart_syscall,
            libc::SYS_process_mrelease,
        ],
    },
    Group {
        reason: "identity: there is one user and one group inside, and no capability to become another",
        calls: &[
            libc::SYS_getuid, libc::SYS_geteuid, libc::SYS_getgid, libc::SYS_getegid, libc::SYS_getresuid, libc::SYS_getresgid,
            libc::SYS_getgroups, libc::SYS_setuid, libc::SYS_setgid, libc::SYS_setreuid, libc::SYS_setregid, libc::SYS_setresuid,
            libc::SYS_setresgid, libc::SYS_setfsuid, libc::SYS_setfsgid, libc::SYS_setgroups, libc::SYS_capget, libc::SYS_capset,
        ],
    },
    Group {
        reason: "time, and the limits and scheduling of the sandbox's own processes",
        calls: &[
            libc::SYS_clock_gettime, libc::SYS_clock_getres, libc::SYS_clock_nanosleep, libc::SYS_nanosleep,
            libc::SYS_gettimeofday, libc::SYS_times, libc::SYS_getitimer, libc::SYS_setitimer, libc::SYS_timer_create,
            libc::SYS_timer_settime, libc::SYS_timer_gettime, libc::SYS_timer_getoverrun, libc::SYS_timer_delete,
            libc::SYS_getrusage, libc::SYS_getrlimit, libc::SYS_setrlimit, libc::SYS_prlimit64, libc::SYS_getpriority,
            libc::SYS_setpriority, libc::SYS_sched_yield, libc::SYS_sched_getaffinity, libc::SYS_sched_setaffinity,
            libc::SYS_sched_getparam, libc::SYS_sched_getscheduler, libc::SYS_sched_get_priority_max,
            libc::SYS_sched_get_priority_min, libc::SYS_sched_rr_get_interval, libc::SYS_sched_getattr, libc::SYS_ioprio_get,
            libc::SYS_getcpu, libc::SYS_sysinfo, libc::SYS_uname, libc::SYS_getrandom,
        ],
    },
    Group {
        reason: "sockets: which families can be made is a rule; what is reached is bounded by the network namespace",
        calls: &[
            libc::SYS_socketpair, libc::SYS_bind, libc::SYS_listen, libc::SYS_accept, libc::SYS_accept4, libc::SYS_connect,
            libc::SYS_getsockname, libc::SYS_getpeername, libc::SYS_getsockopt, libc::SYS_setsockopt, libc::SYS_shutdown,
            libc::SYS_recvfrom, libc::SYS_recvmsg, libc::SYS_recvmmsg, libc::SYS_sendmsg, libc::SYS_sendmmsg,
        ],
    },
    Group {
        reason: "System V and POSIX IPC: the namespace holds only the sandbox's own",
        calls: &[
            libc::SYS_shmget, libc::SYS_shmat, libc::SYS_shmdt, libc::SYS_shmctl, libc::SYS_semget, libc::SYS_semop,
            libc::SYS_semtimedop, libc::SYS_semctl, libc::SYS_msgget, libc::SYS_msgsnd, libc::SYS_msgrcv, libc::SYS_msgctl,
            libc::SYS_mq_open, libc::SYS_mq_unlink, libc::SYS_mq_timedsend, libc::SYS_mq_timedreceive, libc::SYS_mq_notify,
            libc::SYS_mq_getsetattr,
        ],
    },
    Group {
        reason: "further confinement of oneself, which can only take away",
        calls: &[
            libc::SYS_landlock_create_ruleset, libc::SYS_landlock_add_rule, libc::SYS_landlock_restrict_self,
        ],
    },
];

/// Calls that came before their `…at` forms; they exist on x86-64 only.
#[cfg(target_arch = "x86_64")]
pub(crate) const ALLOWED_HERE: &[Group] = &[Group {
    reason: "older forms of the calls above",
    calls: &[
        libc::SYS_stat, libc::SYS_lstat, libc::SYS_access, libc::SYS_readlink, libc::SYS_getdents, libc::SYS_dup2,
        libc::SYS_pipe, libc::SYS_poll, libc::SYS_select, libc::SYS_epoll_create, libc::SYS_epoll_wait, libc::SYS_eventfd,
        libc::SYS_signalfd, libc::SYS_inotify_init, libc::SYS_pause, libc::SYS_alarm, libc::SYS_getpgrp, libc::SYS_unlink,
        libc::SYS_rename, libc::SYS_renameat, libc::SYS_link, libc::SYS_symlink, libc::SYS_rmdir, libc::SYS_chown,
        libc::SYS_lchown, libc::SYS_utime, libc::SYS_utimes, libc::SYS_futimesat, libc::SYS_time, libc::SYS_fork,
        libc::SYS_vfork, libc::SYS_arch_prctl,
    ],
}];

/// Calls that came before their `…at` forms; none on this architecture.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) const ALLOWED_HERE: &[Group] = &[Group { reason: "kept by this architecture", calls: &[libc::SYS_renameat] }];

/// What is known and refused with EPERM, so that a program hears a plain no.
pub(crate) const REFUSED: &[Group] = &[
    Group {
        reason: "mounts and namespaces: the view of files is the wall",
        calls: &[
            libc::SYS_mount, libc::SYS_umount2, libc::SYS_pivot_root, libc::SYS_chroot, libc::SYS_open_tree,
            libc::SYS_move_mount, libc::SYS_fsopen, libc::SYS_fsconfig, libc::SYS_fsmount, libc::SYS_fspick,
            libc::SYS_mount_setattr, libc::SYS_unshare, libc::SYS_setns, libc::SYS_open_by_handle_at,
            libc::SYS_name_to_handle_at,
        ],
    },
    Group {
        reason: "kernel interfaces with a long record of holes, which ordinary programs do without",
        calls: &[
            libc::SYS_bpf, libc::SYS_perf_event_open, libc::SYS_userfaultfd, libc::SYS_add_key, libc::SYS_request_key,
            libc::SYS_keyctl, libc::SYS_kcmp, libc::SYS_fanotify_init, libc::SYS_fanotify_mark, libc::SYS_memfd_secret,
            libc::SYS_move_pages, libc::SYS_migrate_pages, libc::SYS_process_madvise,
        ],
    },
    Group {
        reason: "administration of the machine",
        calls: &[
            libc::SYS_init_module, libc::SYS_finit_module, libc::SYS_delete_module, libc::SYS_kexec_load, libc::SYS_reboot,
            libc::SYS_swapon, libc::SYS_swapoff, libc::SYS_acct, libc::SYS_quotactl, libc::SYS_quotactl_fd,
            libc::SYS_settimeofday, libc::SYS_clock_settime, libc::SYS_adjtimex, libc::SYS_clock_adjtime, libc::SYS_syslog,
            libc::SYS_sethostname, libc::SYS_setdomainname, libc::SYS_vhangup, libc::SYS_ioprio_set, libc::SYS_sched_setattr,
            libc::SYS_sched_setparam,
        ],
    },
];

/// What is answered with ENOSYS although the kernel has it: programs ask for these and fall back.
pub(crate) const ABSENT: &[Group] = &[
    Group {
        reason: "a queue through which calls pass that no filter sees; runtimes try it at start and do without",
        calls: &[libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register],
    },
    Group {
        reason: "its flags lie in memory where no filter can read them; libc falls back to clone and openat",
        calls: &[libc::SYS_clone3],
    },
];

/// Tracing and reading other processes: harmless where a pid namespace bounds who can be named, refused elsewhere.
pub(crate) const TRACING: &[c_long] = &[libc::SYS_ptrace, libc::SYS_process_vm_readv, libc::SYS_process_vm_writev];
