//! Reading and writing a waiting thread's memory (process_vm_readv(2), proc_pid_mem(5)).
//!
//! The guest may change it at any moment, so everything is read once, and only the copy is looked at. What is written tells nothing
//! that the guest may not know, and nothing of it is read again.

use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;
use std::ffi::CString;
use std::fs::OpenOptions;
use std::io::IoSliceMut;
use std::os::unix::fs::FileExt;

/// Longest path that the kernel takes, its final NUL included.
const PATH_MAX: usize = 4096;

/// Most paths are far shorter than this; a longer one takes a second read.
const FIRST_READ: u64 = 256;

/// What is read never crosses such a boundary, behind which nothing may be mapped.
const PAGE: u64 = 4096;

/// Reads a path: `EFAULT` where there is no memory, `ENAMETOOLONG` where it does not end, `ENOENT` where it is empty.
pub(crate) fn path(thread: i32, address: u64) -> Result<CString, Errno> {
    let mut bytes = Vec::with_capacity(256);
    let mut most = FIRST_READ;
    while bytes.len() < PATH_MAX {
        let at = address.checked_add(bytes.len() as u64).ok_or(Errno::EFAULT)?;
        let to_boundary = PAGE - at % PAGE;
        let room = (PATH_MAX - bytes.len()) as u64;
        let length = usize::try_from(to_boundary.min(most).min(room)).map_err(|_| Errno::EFAULT)?;
        let from = bytes.len();
        bytes.resize(from + length, 0);
        let Some(target) = bytes.get_mut(from..) else { return Err(Errno::EFAULT) };
        read(thread, at, target)?;
        if let Some(end) = target.iter().position(|byte| *byte == 0) {
            bytes.truncate(from + end);
            return CString::new(bytes).map_err(|_| Errno::EINVAL);
        }
        most = PAGE;
    }
    Err(Errno::ENAMETOOLONG)
}

/// Reads the two times of utimensat(2): of access and of modification, both now where `address` is 0.
pub(crate) fn times(thread: i32, address: u64) -> Result<(TimeSpec, TimeSpec), Errno> {
    if address == 0 {
        return Ok((TimeSpec::UTIME_NOW, TimeSpec::UTIME_NOW));
    }
    let mut bytes = [0; 32];
    read(thread, address, &mut bytes)?;
    let word = |at: usize| {
        let mut eight = [0; 8];
        eight.copy_from_slice(bytes.get(at..at + 8).unwrap_or(&[0; 8]));
        i64::from_ne_bytes(eight)
    };
    Ok((TimeSpec::new(word(0), word(8)), TimeSpec::new(word(16), word(24))))
}

/// Writes `bytes` to `address`. `still_waits`: whether the thread's call waits still.
///
/// A number of a thread may pass to another one at any time, whose memory is nobody's to write to. So the memory is opened first, and then
/// the thread is asked for: if it waits now, what was opened was its own, and stays that (seccomp_unotify(2)).
pub(crate) fn write(thread: i32, still_waits: impl FnOnce() -> bool, address: u64, bytes: &[u8]) -> Result<(), Errno> {
    if bytes.is_empty() {
        return Ok(());
    }
    let memory = OpenOptions::new().write(true).open(format!("/proc/{thread}/mem")).map_err(|_| Errno::EFAULT)?;
    if !still_waits() {
        return Err(Errno::ESRCH);
    }
    memory.write_all_at(bytes, address).map_err(|_| Errno::EFAULT)
}

/// Fills `target` from `address`.
pub(crate) fn read(thread: i32, address: u64, target: &mut [u8]) -> Result<(), Errno> {
    let base = usize::try_from(address).map_err(|_| Errno::EFAULT)?;
    let remote = [RemoteIoVec { base, len: target.len() }];
    let wanted = target.len();
    let got = process_vm_readv(Pid::from_raw(thread), &mut [IoSliceMut::new(target)], &remote)?;
    if got == wanted { Ok(()) } else { Err(Errno::EFAULT) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(bytes: &[u8]) -> Result<CString, Errno> {
        path(nix::unistd::gettid().as_raw(), bytes.as_ptr().addr() as u64)
    }

    #[test]
    fn a_path_is_read_up_to_its_end() {
        assert_eq!(own(b"/a/b\0rest").unwrap().as_bytes(), b"/a/b");
        let long = format!("/{}\0", "x".repeat(4000));
        assert_eq!(own(long.as_bytes()).unwrap().as_bytes().len(), 4001);
    }

    #[test]
    fn sys_16_a_path_without_an_end_is_too_long() {
        assert_eq!(own(&vec![b'x'; 8192]), Err(Errno::ENAMETOOLONG));
    }

    #[test]
    fn what_is_written_stands_there_and_nowhere_but_for_a_call_that_waits() {
        let mut target = [0_u8; 16];
        let (thread, at) = (nix::unistd::gettid().as_raw(), target.as_mut_ptr().expose_provenance() as u64);
        write(thread, || true, at + 4, b"four").unwrap();
        assert_eq!(write(thread, || false, at, b"gone"), Err(Errno::ESRCH));
        assert_eq!(std::hint::black_box(target)[..9], *b"\0\0\0\0four\0");
        for address in [0, u64::MAX, 1 << 63] {
            assert_eq!(write(thread, || true, address, b"x"), Err(Errno::EFAULT));
        }
    }

    #[test]
    fn an_address_without_memory_is_a_fault() {
        for address in [0, 8, u64::MAX, u64::MAX - 3] {
            assert_eq!(path(nix::unistd::gettid().as_raw(), address), Err(Errno::EFAULT));
        }
    }
}
