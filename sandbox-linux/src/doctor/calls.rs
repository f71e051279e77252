//! The system calls of an examination that have no safe form elsewhere.

#![expect(unsafe_code, reason = "these calls have no safe form in nix")]

use nix::errno::Errno;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

const OPEN_TREE_CLONE: u32 = 1;
const AT_RECURSIVE: u32 = 0x8000;
const MOUNT_ATTR_RDONLY: u64 = 1;
const MOVE_MOUNT_F_EMPTY_PATH: u32 = 4;
const LANDLOCK_CREATE_RULESET_VERSION: u32 = 1;
const LANDLOCK_ACCESS_FS_READ_FILE: u64 = 1 << 2;

#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

fn check(answer: libc::c_long) -> Result<libc::c_long, Errno> {
    Errno::result(answer)
}

fn descriptor(answer: libc::c_long) -> Result<OwnedFd, Errno> {
    let number = RawFd::try_from(check(answer)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel made this descriptor for us just now; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// The name of an errno, such as `EPERM`.
pub(super) fn errno_name(errno: Errno) -> &'static str {
    const NAMES: [(Errno, &str); 24] = [
        (Errno::EPERM, "EPERM"),
        (Errno::ENOENT, "ENOENT"),
        (Errno::EIO, "EIO"),
        (Errno::ENXIO, "ENXIO"),
        (Errno::EBADF, "EBADF"),
        (Errno::EAGAIN, "EAGAIN"),
        (Errno::ENOMEM, "ENOMEM"),
        (Errno::EACCES, "EACCES"),
        (Errno::EFAULT, "EFAULT"),
        (Errno::EBUSY, "EBUSY"),
        (Errno::EEXIST, "EEXIST"),
        (Errno::ENODEV, "ENODEV"),
        (Errno::ENOTDIR, "ENOTDIR"),
        (Errno::EINVAL, "EINVAL"),
        (Errno::ENFILE, "ENFILE"),
        (Errno::EMFILE, "EMFILE"),
        (Errno::ENOSPC, "ENOSPC"),
        (Errno::EROFS, "EROFS"),
        (Errno::ENOSYS, "ENOSYS"),
        (Errno::EUSERS, "EUSERS"),
        (Errno::EOPNOTSUPP, "EOPNOTSUPP"),
        (Errno::EAFNOSUPPORT, "EAFNOSUPPORT"),
        (Errno::ENETUNREACH, "ENETUNREACH"),
        (Errno::ESRCH, "ESRCH"),
    ];
    NAMES.iter().find(|(known, _)| *known == errno).map_or("another error", |(_, name)| name)
}

/// The errno of a failure of the standard library.
pub(super) fn errno_of(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// A detached copy of the mounts at `path` (open_tree(2)).
pub(super) fn open_tree(path: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OPEN_TREE_CLONE | AT_RECURSIVE | libc::O_CLOEXEC.cast_unsigned();
    // SAFETY: the path ends with NUL and outlives the call.
    descriptor(unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) })
}

/// Makes a tree of mounts read-only (mount_setattr(2)).
pub(super) fn make_read_only(tree: BorrowedFd<'_>) -> Result<(), Errno> {
    let attributes = MountAttributes { set: MOUNT_ATTR_RDONLY, clear: 0, propagation: 0, user_namespace: 0 };
    let flags = libc::AT_EMPTY_PATH.cast_unsigned() | AT_RECURSIVE;
    let (descriptor, size) = (tree.as_raw_fd(), size_of::<MountAttributes>());
    // SAFETY: path and structure outlive the call, and the size is the structure's.
    let answer =
        unsafe { libc::syscall(libc::SYS_mount_setattr, descriptor, c"".as_ptr(), flags, &raw const attributes, size) };
    check(answer).map(drop)
}

/// Attaches a tree of mounts at `path` (move_mount(2)).
pub(super) fn attach(tree: BorrowedFd<'_>, path: &CStr) -> Result<(), Errno> {
    let (from, empty, to) = (tree.as_raw_fd(), c"".as_ptr(), path.as_ptr());
    // SAFETY: both paths end with NUL and outlive the call.
    let answer =
        unsafe { libc::syscall(libc::SYS_move_mount, from, empty, libc::AT_FDCWD, to, MOVE_MOUNT_F_EMPTY_PATH) };
    check(answer).map(drop)
}

/// Switches the loopback device of this network namespace on (netdevice(7)).
pub(super) fn loopback_up() -> Result<(), Errno> {
    let socket = nix::sys::socket::socket(
        nix::sys::socket::AddressFamily::Inet,
        nix::sys::socket::SockType::Datagram,
        nix::sys::socket::SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    // SAFETY: all-zero bytes are a valid value of this structure of integers.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip([b'l', b'o']) {
        // Its sign differs between architectures; these letters are the same in both.
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = i16::try_from(libc::IFF_UP).unwrap_or(1);
    // SAFETY: the request is the structure that this ioctl reads, and outlives the call.
    let answer = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    Errno::result(answer).map(drop)
}

/// Names the host of this UTS namespace (sethostname(2)).
pub(super) fn name_host(name: &str) -> Result<(), Errno> {
    // SAFETY: the text outlives the call, and the length is the text's.
    Errno::result(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) }).map(drop)
}

/// The version of Landlock.
pub(super) fn landlock_abi() -> Result<i64, Errno> {
    let null = std::ptr::null::<libc::c_void>();
    // SAFETY: with this flag the call reads no memory.
    check(unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, null, 0, LANDLOCK_CREATE_RULESET_VERSION) })
}

/// A ruleset under which no file may be read (landlock_create_ruleset(2)).
pub(super) fn landlock_ruleset() -> Result<OwnedFd, Errno> {
    let handled = LANDLOCK_ACCESS_FS_READ_FILE;
    let at = &raw const handled;
    // SAFETY: the first field of the structure is all that this size covers.
    descriptor(unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, at, size_of::<u64>(), 0) })
}

/// Puts this thread under a ruleset.
pub(super) fn landlock_restrict(ruleset: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: integers only.
    check(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) }).map(drop)
}

/// Puts this thread under a filter (seccomp(2)); answers the listener's descriptor if `flags` ask for one, else 0.
pub(super) fn install_filter(instructions: &mut [libc::sock_filter], flags: libc::c_ulong) -> Result<i64, Errno> {
    let length = u16::try_from(instructions.len()).map_err(|_| Errno::E2BIG)?;
    let filter = libc::sock_fprog { len: length, filter: instructions.as_mut_ptr() };
    let operation = libc::SECCOMP_SET_MODE_FILTER;
    // SAFETY: the program and its instructions outlive the call.
    check(unsafe { libc::syscall(libc::SYS_seccomp, operation, flags, &raw const filter) })
}

/// A call without an effect, for a filter to refuse. Never answered from a cache.
pub(super) fn parent_number() -> Result<i64, Errno> {
    // SAFETY: takes no arguments.
    check(unsafe { libc::syscall(libc::SYS_getppid) })
}

/// A descriptor of our own for `number` of the process behind `pidfd` (pidfd_getfd(2)).
pub(super) fn take_descriptor(pidfd: BorrowedFd<'_>, number: RawFd) -> Result<OwnedFd, Errno> {
    // SAFETY: integers only.
    descriptor(unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), number, 0) })
}

/// A descriptor for the process `pid` (pidfd_open(2)).
pub(super) fn open_pidfd(pid: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: integers only.
    descriptor(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })
}

/// A call with arguments that the kernel refuses before it looks at any permission.
pub(super) fn senseless(number: libc::c_long, arguments: [libc::c_long; 3]) -> Result<(), Errno> {
    let [first, second, third] = arguments;
    // SAFETY: the caller passes only numbers, and null where an address belongs, which the kernel answers with an error.
    check(unsafe { libc::syscall(number, first, second, third, 0, 0, 0) }).map(drop)
}
