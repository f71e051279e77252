//! Error numbers by name, where starting a program meets them.

/// The name of an error number as errno(3) has it, as far as execve(2), clone(2), pipe(2), memfd_create(2) and chdir(2) answer it; else the number.
///
/// The numbers are those of asm-generic/errno-base.h and errno.h, which x86-64 and AArch64 share.
pub(super) fn name(errno: i32) -> String {
    let known = match errno {
        1 => "EPERM",
        2 => "ENOENT",
        4 => "EINTR",
        5 => "EIO",
        7 => "E2BIG",
        8 => "ENOEXEC",
        9 => "EBADF",
        10 => "ECHILD",
        11 => "EAGAIN",
        12 => "ENOMEM",
        13 => "EACCES",
        14 => "EFAULT",
        16 => "EBUSY",
        20 => "ENOTDIR",
        21 => "EISDIR",
        22 => "EINVAL",
        23 => "ENFILE",
        24 => "EMFILE",
        26 => "ETXTBSY",
        27 => "EFBIG",
        28 => "ENOSPC",
        32 => "EPIPE",
        36 => "ENAMETOOLONG",
        38 => "ENOSYS",
        40 => "ELOOP",
        80 => "ELIBBAD",
        87 => "EUSERS",
        109 => "ETOOMANYREFS",
        110 => "ETIMEDOUT",
        116 => "ESTALE",
        other => return format!("error number {other}"),
    };
    known.to_owned()
}
