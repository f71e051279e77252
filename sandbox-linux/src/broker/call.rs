//! From a notification's numbers to the call that was meant.

use super::notify::Notification;
use crate::seccomp::SYS_FCHMODAT2;

/// A path argument: the directory it starts from and where its text lies in the caller's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PathArgument {
    /// A descriptor's number, or `AT_FDCWD`.
    pub(crate) directory: i32,
    /// The address.
    pub(crate) address: u64,
}

/// What a call is about that has forms for paths and for descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A descriptor's number.
    Descriptor(i32),
    /// A path; `flags` are those of openat(2) and its kind (`AT_SYMLINK_NOFOLLOW`, `AT_EMPTY_PATH`).
    Path { path: PathArgument, flags: i32 },
}

/// What is to happen with an extended attribute. Names and values are addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AttributeCall {
    /// getxattr(2).
    Get { name: u64, to: u64, size: u64 },
    /// listxattr(2).
    List { to: u64, size: u64 },
    /// setxattr(2).
    Set { name: u64, from: u64, size: u64, flags: i32 },
    /// removexattr(2).
    Remove { name: u64 },
}

/// A call that the broker answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// open(2), openat(2), creat(2).
    Open { path: PathArgument, flags: i32, mode: u32 },
    /// mkdir(2).
    MakeDirectory { path: PathArgument, mode: u32 },
    /// mknod(2).
    MakeNode { path: PathArgument, mode: u32 },
    /// rename(2), renameat2(2).
    Rename { from: PathArgument, to: PathArgument, flags: u32 },
    /// link(2).
    Link { from: PathArgument, to: PathArgument, flags: i32 },
    /// symlink(2).
    SymbolicLink { target: u64, path: PathArgument },
    /// unlink(2), rmdir(2), unlinkat(2).
    Remove { path: PathArgument, directory: bool },
    /// truncate(2).
    Truncate { path: PathArgument, length: i64 },
    /// chmod(2), fchmodat(2), fchmodat2(2).
    ChangeMode { path: PathArgument, mode: u32, flags: i32 },
    /// utimensat(2). `times`: where they lie; 0 stands for the present time.
    ChangeTimes { path: PathArgument, times: u64, flags: i32 },
    /// bind(2).
    Bind { socket: i32, address: u64, length: u32 },
    /// connect(2).
    Connect { socket: i32, address: u64, length: u32 },
    /// listen(2).
    Listen { socket: i32, backlog: i32 },
    /// stat(2), lstat(2), fstatat(2). `to`: where the answer goes.
    Look { path: PathArgument, to: u64, flags: i32 },
    /// statx(2).
    LookClosely { path: PathArgument, flags: i32, mask: u32, to: u64 },
    /// access(2), faccessat(2), faccessat2(2).
    Access { path: PathArgument, mode: i32, flags: i32 },
    /// readlink(2), readlinkat(2).
    ReadLink { path: PathArgument, to: u64, room: i32 },
    /// statfs(2).
    FileSystem { path: PathArgument, to: u64 },
    /// getxattr(2) and its kind.
    Attribute { target: Target, call: AttributeCall },
    /// chown(2) and its kind.
    ChangeOwner { target: Target, user: u32, group: u32 },
    /// inotify_add_watch(2).
    Watch { watcher: i32, path: PathArgument, mask: u32 },
    /// fchmod(2).
    ChangeDescriptorMode { descriptor: i32, mode: u32 },
}

/// Its `AUDIT_ARCH_…` (linux/audit.h), which notifications carry.
#[cfg(target_arch = "x86_64")]
pub(super) const ARCHITECTURE: u32 = 0xc000_003e;
/// Its `AUDIT_ARCH_…` (linux/audit.h), which notifications carry.
#[cfg(target_arch = "aarch64")]
pub(super) const ARCHITECTURE: u32 = 0xc000_00b7;

/// Whether a notification's number means what it means on this architecture.
pub(crate) fn is_native(notification: &Notification) -> bool {
    notification.architecture == ARCHITECTURE
}

impl Call {
    /// The call of a notification; `None` for one the broker does not know, and for calls of another architecture,
    /// whose numbers mean something else.
    pub(crate) fn of(notification: &Notification) -> Option<Self> {
        if !is_native(notification) {
            return None;
        }
        let arguments = &notification.arguments;
        let at = |directory: usize, path: usize| PathArgument {
            directory: int(arguments, directory),
            address: argument(arguments, path),
        };
        Some(match notification.number {
            libc::SYS_openat => Self::Open { path: at(0, 1), flags: int(arguments, 2), mode: unsigned(arguments, 3) },
            libc::SYS_mkdirat => Self::MakeDirectory { path: at(0, 1), mode: unsigned(arguments, 2) },
            libc::SYS_mknodat => Self::MakeNode { path: at(0, 1), mode: unsigned(arguments, 2) },
            libc::SYS_renameat => Self::Rename { from: at(0, 1), to: at(2, 3), flags: 0 },
            libc::SYS_renameat2 => Self::Rename { from: at(0, 1), to: at(2, 3), flags: unsigned(arguments, 4) },
            libc::SYS_linkat => Self::Link { from: at(0, 1), to: at(2, 3), flags: int(arguments, 4) },
            libc::SYS_symlinkat => Self::SymbolicLink { target: argument(arguments, 0), path: at(1, 2) },
            libc::SYS_unlinkat => {
                Self::Remove { path: at(0, 1), directory: int(arguments, 2) & libc::AT_REMOVEDIR != 0 }
            }
            libc::SYS_truncate => {
                Self::Truncate { path: here(arguments, 0), length: argument(arguments, 1).cast_signed() }
            }
            libc::SYS_fchmodat => Self::ChangeMode { path: at(0, 1), mode: unsigned(arguments, 2), flags: 0 },
            SYS_FCHMODAT2 => {
                Self::ChangeMode { path: at(0, 1), mode: unsigned(arguments, 2), flags: int(arguments, 3) }
            }
            libc::SYS_utimensat => {
                Self::ChangeTimes { path: at(0, 1), times: argument(arguments, 2), flags: int(arguments, 3) }
            }
            libc::SYS_newfstatat => Self::Look { path: at(0, 1), to: argument(arguments, 2), flags: int(arguments, 3) },
            libc::SYS_statx => Self::LookClosely {
                path: at(0, 1),
                flags: int(arguments, 2),
                mask: unsigned(arguments, 3),
                to: argument(arguments, 4),
            },
            libc::SYS_faccessat => Self::Access { path: at(0, 1), mode: int(arguments, 2), flags: 0 },
            libc::SYS_faccessat2 => Self::Access { path: at(0, 1), mode: int(arguments, 2), flags: int(arguments, 3) },
            libc::SYS_readlinkat => {
                Self::ReadLink { path: at(0, 1), to: argument(arguments, 2), room: int(arguments, 3) }
            }
            libc::SYS_statfs => Self::FileSystem { path: here(arguments, 0), to: argument(arguments, 1) },
            libc::SYS_bind => Self::Bind {
                socket: int(arguments, 0),
                address: argument(arguments, 1),
                length: unsigned(arguments, 2),
            },
            libc::SYS_connect => Self::Connect {
                socket: int(arguments, 0),
                address: argument(arguments, 1),
                length: unsigned(arguments, 2),
            },
            libc::SYS_listen => Self::Listen { socket: int(arguments, 0), backlog: int(arguments, 1) },
            libc::SYS_fchmod => {
                Self::ChangeDescriptorMode { descriptor: int(arguments, 0), mode: unsigned(arguments, 1) }
            }
            libc::SYS_fchownat => Self::ChangeOwner {
                target: Target::Path { path: at(0, 1), flags: int(arguments, 4) },
                user: unsigned(arguments, 2),
                group: unsigned(arguments, 3),
            },
            libc::SYS_fchown => Self::ChangeOwner {
                target: Target::Descriptor(int(arguments, 0)),
                user: unsigned(arguments, 1),
                group: unsigned(arguments, 2),
            },
            libc::SYS_inotify_add_watch => {
                Self::Watch { watcher: int(arguments, 0), path: here(arguments, 1), mask: unsigned(arguments, 2) }
            }
            other => return attribute(other, arguments).or_else(|| older(other, arguments)),
        })
    }
}

/// Calls about extended attributes, each in three forms: of a path, of a link itself, of a descriptor.
fn attribute(number: i64, arguments: &[u64; 6]) -> Option<Call> {
    let word = |at: usize| argument(arguments, at);
    let path = |flags: i32| Target::Path { path: here(arguments, 0), flags };
    let (followed, itself) = (path(0), path(libc::AT_SYMLINK_NOFOLLOW));
    let descriptor = Target::Descriptor(int(arguments, 0));
    let get = AttributeCall::Get { name: word(1), to: word(2), size: word(3) };
    let list = AttributeCall::List { to: word(1), size: word(2) };
    let set = AttributeCall::Set { name: word(1), from: word(2), size: word(3), flags: int(arguments, 4) };
    let remove = AttributeCall::Remove { name: word(1) };
    let (target, call) = match number {
        libc::SYS_getxattr => (followed, get),
        libc::SYS_lgetxattr => (itself, get),
        libc::SYS_listxattr => (followed, list),
        libc::SYS_llistxattr => (itself, list),
        libc::SYS_setxattr => (followed, set),
        libc::SYS_lsetxattr => (itself, set),
        libc::SYS_fsetxattr => (descriptor, set),
        libc::SYS_removexattr => (followed, remove),
        libc::SYS_lremovexattr => (itself, remove),
        libc::SYS_fremovexattr => (descriptor, remove),
        _ => return None,
    };
    Some(Call::Attribute { target, call })
}

/// The forms without a directory argument, which newer architectures do not have.
#[cfg(target_arch = "x86_64")]
fn older(number: i64, arguments: &[u64; 6]) -> Option<Call> {
    const CREATE: i32 = libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC;
    let (one, two) = (here(arguments, 0), here(arguments, 1));
    Some(match number {
        libc::SYS_open => Call::Open { path: one, flags: int(arguments, 1), mode: unsigned(arguments, 2) },
        libc::SYS_creat => Call::Open { path: one, flags: CREATE, mode: unsigned(arguments, 1) },
        libc::SYS_mkdir => Call::MakeDirectory { path: one, mode: unsigned(arguments, 1) },
        libc::SYS_mknod => Call::MakeNode { path: one, mode: unsigned(arguments, 1) },
        libc::SYS_rename => Call::Rename { from: one, to: two, flags: 0 },
        libc::SYS_link => Call::Link { from: one, to: two, flags: 0 },
        libc::SYS_symlink => Call::SymbolicLink { target: argument(arguments, 0), path: two },
        libc::SYS_rmdir => Call::Remove { path: one, directory: true },
        libc::SYS_unlink => Call::Remove { path: one, directory: false },
        libc::SYS_stat => Call::Look { path: one, to: argument(arguments, 1), flags: 0 },
        libc::SYS_lstat => Call::Look { path: one, to: argument(arguments, 1), flags: libc::AT_SYMLINK_NOFOLLOW },
        libc::SYS_access => Call::Access { path: one, mode: int(arguments, 1), flags: 0 },
        libc::SYS_readlink => Call::ReadLink { path: one, to: argument(arguments, 1), room: int(arguments, 2) },
        libc::SYS_chown | libc::SYS_lchown => {
            let flags = if number == libc::SYS_lchown { libc::AT_SYMLINK_NOFOLLOW } else { 0 };
            let target = Target::Path { path: one, flags };
            Call::ChangeOwner { target, user: unsigned(arguments, 1), group: unsigned(arguments, 2) }
        }
        libc::SYS_chmod => Call::ChangeMode { path: one, mode: unsigned(arguments, 1), flags: 0 },
        _ => return None,
    })
}

#[cfg(not(target_arch = "x86_64"))]
fn older(_: i64, _: &[u64; 6]) -> Option<Call> {
    None
}

pub(super) fn here(arguments: &[u64; 6], at: usize) -> PathArgument {
    PathArgument { directory: libc::AT_FDCWD, address: argument(arguments, at) }
}

pub(super) fn argument(arguments: &[u64; 6], at: usize) -> u64 {
    arguments.get(at).copied().unwrap_or(0)
}

/// The kernel looks at the low half of an argument that is an `int`.
pub(super) fn unsigned(arguments: &[u64; 6], at: usize) -> u32 {
    (argument(arguments, at) & 0xffff_ffff) as u32
}

pub(super) fn int(arguments: &[u64; 6], at: usize) -> i32 {
    unsigned(arguments, at).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notification(number: i64, arguments: [u64; 6]) -> Notification {
        Notification { id: 1, thread: 1, architecture: ARCHITECTURE, number, arguments }
    }

    #[test]
    fn sys_02_a_call_of_another_architecture_is_none() {
        let mut foreign = notification(libc::SYS_openat, [0; 6]);
        foreign.architecture = 0x4000_0003;
        assert_eq!(Call::of(&foreign), None);
    }

    #[test]
    fn the_high_half_of_an_int_is_ignored() {
        let call = Call::of(&notification(libc::SYS_mkdirat, [0xffff_ffff_ffff_ff9c, 7, 0xdead_0000_01ed, 0, 0, 0]));
        let path = PathArgument { directory: libc::AT_FDCWD, address: 7 };
        assert_eq!(call, Some(Call::MakeDirectory { path, mode: 0x1ed }));
    }
}
