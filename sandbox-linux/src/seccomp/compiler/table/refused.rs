//! What is refused whatever the arguments, group by group, each with its reason.

use super::Group;

/// What is known and refused with EPERM, so that a program hears a plain no.
pub(super) const REFUSED: &[Group] = &[
    Group {
        reason: "mounts and namespaces: the view of files is the wall",
        calls: &[
            "mount",
            "umount2",
            "pivot_root",
            "chroot",
            "open_tree",
            "move_mount",
            "fsopen",
            "fsconfig",
            "fsmount",
            "fspick",
            "mount_setattr",
            "unshare",
            "setns",
            "open_by_handle_at",
            "name_to_handle_at",
        ],
    },
    Group {
        reason: "kernel interfaces with a long record of holes, which ordinary programs do without",
        calls: &[
            "bpf",
            "perf_event_open",
            "userfaultfd",
            "add_key",
            "request_key",
            "keyctl",
            "kcmp",
            "fanotify_init",
            "fanotify_mark",
            "memfd_secret",
            "move_pages",
            "migrate_pages",
            "process_madvise",
        ],
    },
    Group {
        reason: "administration of the machine",
        calls: &[
            "init_module",
            "finit_module",
            "delete_module",
            "kexec_load",
            "reboot",
            "swapon",
            "swapoff",
            "acct",
            "quotactl",
            "quotactl_fd",
            "settimeofday",
            "clock_settime",
            "adjtimex",
            "clock_adjtime",
            "syslog",
            "sethostname",
            "setdomainname",
            "vhangup",
            "ioprio_set",
            "sched_setattr",
            "sched_setparam",
        ],
    },
];

/// What is answered with ENOSYS although the kernel has it: programs ask for these and fall back.
pub(super) const ABSENT: &[Group] = &[
    Group {
        reason: "a queue through which calls pass that no filter sees; runtimes try it at start and do without",
        calls: &["io_uring_setup", "io_uring_enter", "io_uring_register"],
    },
    Group {
        reason: "its flags lie in memory where no filter can read them; libc falls back to clone and openat",
        calls: &["clone3"],
    },
];
