//! An overlay: what the guest changes lands in a directory of its own, and what lies beneath stays as it is.

use super::root::compare;
use super::{AT_FDCWD, Failure, O_CLOEXEC, O_DIRECTORY, O_NOFOLLOW, O_PATH, part};
use crate::plan_reader::{Cursor, Text};
use crate::raw_call::{call, nr};

/// Each directory is named by the descriptor that was compared, through the new root's own /proc: what is exchanged under its path
/// meanwhile is not mounted. The working directory of the launcher is the new root.
const NAMES: [&[u8]; 3] = [b"lowerdir=proc/self/fd/", b",upperdir=proc/self/fd/", b",workdir=proc/self/fd/"];

/// `userxattr`: without root, overlayfs may keep its notes in `user.overlay.` alone; directories then are never redirected
/// (Documentation/filesystems/overlayfs.rst). No index: it would hold file handles that a user may not open.
const OPTIONS: &[u8] = b",userxattr,index=off\0";

/// As long as all parts, and three numbers of ten digits.
const LONGEST: usize = 128;

/// The data of mount(2), put together without memory of its own.
struct Data {
    bytes: [u8; LONGEST],
    length: usize,
}

impl Data {
    fn put(&mut self, part: &[u8]) {
        for byte in part {
            if self.length < LONGEST {
                self.bytes[self.length] = *byte;
                self.length += 1;
            }
        }
    }

    fn number(&mut self, number: usize) {
        if number >= 10 {
            self.number(number / 10);
        }
        self.put(&[b'0' + (number % 10) as u8]);
    }
}

/// Mounts it, see `format::op::OVERLAY`.
pub fn mount(body: &mut Cursor) -> Result<(), Failure> {
    let flags = body.u32()?;
    let mut data = Data { bytes: [0; LONGEST], length: 0 };
    let mut descriptors = [0_usize; 3];
    for (name, descriptor) in NAMES.iter().zip(&mut descriptors) {
        let (device, inode, source) = (body.u64()?, body.u64()?, body.text()?);
        *descriptor = open(source)?;
        compare(*descriptor, device, inode)?;
        data.put(name);
        data.number(*descriptor);
    }
    data.put(OPTIONS);
    let path = body.text()?;
    let kind = c"overlay".as_ptr();
    // SAFETY: all texts end with NUL and live until the call returns.
    part(unsafe { call!(nr::MOUNT, kind, path.at, kind, flags, data.bytes.as_ptr()) }, 4)?;
    for descriptor in descriptors {
        // SAFETY: the descriptors are ours.
        unsafe { call!(nr::CLOSE, descriptor) };
    }
    Ok(())
}

fn open(path: Text) -> Result<usize, Failure> {
    // SAFETY: the text ends with NUL.
    part(unsafe { call!(nr::OPENAT, AT_FDCWD, path.at, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) }, 1)
}
