//! The few other system calls of the broker that have no safe form.

#![expect(
    unsafe_code,
    reason = "stat and its kind as bytes, pidfd_getfd, capset, what a socket is, and connect and bind with an address of any kind have no safe form"
)]

use nix::errno::Errno;
use std::ffi::CString;
use std::mem::zeroed;
use std::net::SocketAddrV4;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Which object something is, for as long as its file system is mounted: number reuse is told apart by the time of birth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    device: (u32, u32),
    inode: u64,
    born: Option<(i64, u32)>,
}

/// What statx(2) says of an object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    /// Which object it is.
    pub(crate) identity: Identity,
    /// Type and permissions.
    pub(crate) mode: u32,
    /// How many names it has.
    pub(crate) names: u32,
}

impl Facts {
    /// Whether it is a socket.
    pub(crate) fn is_socket(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFSOCK
    }

    /// Whether it is a symbolic link.
    pub(crate) fn is_link(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFLNK
    }

    /// Whether it is a regular file.
    pub(crate) fn is_file(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFREG
    }

    /// Whether it is a directory.
    pub(crate) fn is_directory(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFDIR
    }
}

/// The object behind a descriptor (`O_PATH` will do).
pub(crate) fn facts(object: BorrowedFd<'_>) -> Result<Facts, Errno> {
    facts_at(object, c"")
}

/// The object of a name, symbolic links not followed.
pub(crate) fn facts_at(parent: BorrowedFd<'_>, name: &std::ffi::CStr) -> Result<Facts, Errno> {
    // SAFETY: integers only, for which all-zero bytes are valid.
    let mut buffer: libc::statx = unsafe { zeroed() };
    let flags = libc::AT_EMPTY_PATH | libc::AT_SYMLINK_NOFOLLOW | libc::AT_NO_AUTOMOUNT;
    let wanted = libc::STATX_TYPE | libc::STATX_MODE | libc::STATX_NLINK | libc::STATX_INO | libc::STATX_BTIME;
    // SAFETY: the name ends with NUL; the buffer is the structure of statx(2) and lives until the call returns.
    let result =
        unsafe { libc::statx(parent.as_raw_fd(), name.as_ptr(), flags, wanted, std::ptr::from_mut(&mut buffer)) };
    Errno::result(result)?;
    let known = buffer.stx_mask & libc::STATX_BTIME != 0;
    let identity = Identity {
        device: (buffer.stx_dev_major, buffer.stx_dev_minor),
        inode: buffer.stx_ino,
        born: known.then_some((buffer.stx_btime.tv_sec, buffer.stx_btime.tv_nsec)),
    };
    Ok(Facts { identity, mode: u32::from(buffer.stx_mode), names: buffer.stx_nlink })
}

/// `struct stat` of what `path` leads to, as bytes for another process of the same architecture.
pub(crate) fn look(path: &str) -> Result<Vec<u8>, Errno> {
    let path = CString::new(path).map_err(|_| Errno::EINVAL)?;
    let mut words = [0_u64; size_of::<libc::stat>() / 8];
    // SAFETY: the path ends with NUL; the words are as long and as aligned as the structure, and live until the call returns.
    let result = unsafe { libc::syscall(libc::SYS_newfstatat, libc::AT_FDCWD, path.as_ptr(), words.as_mut_ptr(), 0) };
    Errno::result(result)?;
    Ok(bytes_of(&words))
}

/// `struct statx` of what `path` leads to. `flags`: how fresh it must be.
pub(crate) fn look_closely(path: &str, flags: i32, mask: u32) -> Result<Vec<u8>, Errno> {
    let path = CString::new(path).map_err(|_| Errno::EINVAL)?;
    let mut words = [0_u64; size_of::<libc::statx>() / 8];
    // SAFETY: as above.
    let result =
        unsafe { libc::syscall(libc::SYS_statx, libc::AT_FDCWD, path.as_ptr(), flags, mask, words.as_mut_ptr()) };
    Errno::result(result)?;
    Ok(bytes_of(&words))
}

/// `struct statfs` of the file system that `path` leads to.
pub(crate) fn look_at_file_system(path: &str) -> Result<Vec<u8>, Errno> {
    let path = CString::new(path).map_err(|_| Errno::EINVAL)?;
    let mut words = [0_u64; size_of::<libc::statfs>() / 8];
    // SAFETY: as above.
    let result = unsafe { libc::syscall(libc::SYS_statfs, path.as_ptr(), words.as_mut_ptr()) };
    Errno::result(result)?;
    Ok(bytes_of(&words))
}

fn bytes_of(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// The number of the terminal whose master this is (ioctl_tty(2)).
pub(crate) fn terminal_number(master: BorrowedFd<'_>) -> Result<u32, Errno> {
    let mut number = 0_u32;
    // SAFETY: the kernel writes four bytes, which live until the call returns.
    let result = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTN, std::ptr::from_mut(&mut number)) };
    Errno::result(result).map(|_| number)
}

/// A descriptor that names a process.
pub(crate) fn process_descriptor(process: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: integers only.
    let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_open, process, 0) };
    adopt(descriptor)
}

/// A copy of descriptor `number` of a process; both share one open file.
pub(crate) fn copy_descriptor(process: BorrowedFd<'_>, number: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: integers only.
    let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), number, 0) };
    adopt(descriptor)
}

/// Gives the calling thread a file mode mask of its own, which clears nothing.
pub(crate) fn own_file_mode_mask() -> Result<(), Errno> {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_FS)?;
    nix::sys::stat::umask(nix::sys::stat::Mode::empty());
    Ok(())
}

/// Gives up every capability of the calling thread, and of no other.
pub(crate) fn drop_capabilities() -> Result<(), Errno> {
    const VERSION_3: u32 = 0x2008_0522;
    let header: [u32; 2] = [VERSION_3, 0];
    let sets = [0_u32; 6];
    // SAFETY: header and sets are the structures of capset(2), version 3, and live until the call returns.
    let result = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) };
    Errno::result(result).map(drop)
}

/// The longest address that the kernel takes: `struct sockaddr_storage`.
pub(crate) const LONGEST_ADDRESS: usize = 128;

/// An address of a socket as bytes, which the kernel checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SocketAddress(pub(crate) Vec<u8>);

impl SocketAddress {
    /// `at` as a socket of `domain` is told of it: `AF_INET` (ip(7)), or `AF_INET6` by its mapped form (ipv6(7)).
    pub(crate) fn of_network(at: SocketAddrV4, domain: i32) -> Self {
        let family = u16::try_from(domain).unwrap_or_default().to_ne_bytes();
        let port = at.port().to_be_bytes();
        let mapped = at.ip().to_ipv6_mapped().octets();
        Self(match domain {
            libc::AF_INET6 => [&family[..], &port, &[0; 4], &mapped, &[0; 4]].concat(),
            _ => [&family[..], &port, &at.ip().octets(), &[0; 8]].concat(),
        })
    }

    /// The family that it names.
    pub(crate) fn family(&self) -> Option<i32> {
        self.0.first_chunk().map(|two| i32::from(u16::from_ne_bytes(*two)))
    }

    fn parts(&self) -> (*const libc::sockaddr, libc::socklen_t) {
        let length = self.0.len().min(LONGEST_ADDRESS);
        (self.0.as_ptr().cast(), length as libc::socklen_t)
    }
}

/// connect(2).
pub(crate) fn connect(socket: &OwnedFd, address: &SocketAddress) -> Result<(), Errno> {
    let (at, length) = address.parts();
    // SAFETY: the address has at least the length told and lives until the call returns; the kernel copies it first.
    Errno::result(unsafe { libc::connect(socket.as_raw_fd(), at, length) }).map(drop)
}

/// bind(2).
pub(crate) fn bind(socket: &OwnedFd, address: &SocketAddress) -> Result<(), Errno> {
    let (at, length) = address.parts();
    // SAFETY: as above.
    Errno::result(unsafe { libc::bind(socket.as_raw_fd(), at, length) }).map(drop)
}

/// A number that a socket tells of itself, by an option of `SOL_SOCKET` (socket(7)) whose value has four or eight bytes.
pub(crate) fn socket_number(socket: &OwnedFd, option: i32) -> Result<u64, Errno> {
    let mut bytes = [0_u8; 8];
    let mut length: libc::socklen_t = 8;
    // SAFETY: the kernel writes as many bytes as `length` says at most; both live until the call returns.
    let result = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, option, bytes.as_mut_ptr().cast(), &raw mut length)
    };
    Errno::result(result)?;
    let [a, b, c, d, ..] = bytes;
    match length {
        8 => Ok(u64::from_ne_bytes(bytes)),
        4 => Ok(u32::from_ne_bytes([a, b, c, d]).into()),
        _ => Err(Errno::EINVAL),
    }
}

/// Whether it tells `expected`.
pub(crate) fn socket_is(socket: &OwnedFd, option: i32, expected: i32) -> Result<bool, Errno> {
    Ok(socket_number(socket, option)? == u64::from(expected.cast_unsigned()))
}

fn adopt(descriptor: libc::c_long) -> Result<OwnedFd, Errno> {
    let descriptor = Errno::result(descriptor)?;
    let descriptor = i32::try_from(descriptor).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn two_descriptors_of_one_directory_have_one_identity_and_another_directory_another() {
        let open = |path| std::fs::File::open(path).unwrap();
        let (one, same, other) = (open("/"), open("/."), open("/proc"));
        let identity = |file: &std::fs::File| facts(file.as_fd()).unwrap().identity;
        assert_eq!(identity(&one), identity(&same));
        assert_ne!(identity(&one), identity(&other));
    }

    #[test]
    fn a_thread_without_capabilities_leaves_the_others_theirs() {
        let capabilities = || std::fs::read_to_string("/proc/self/task/self/status").unwrap_or_default();
        let before = capabilities();
        std::thread::spawn(|| drop_capabilities().unwrap()).join().unwrap();
        assert_eq!(before, capabilities());
    }
}
