//! Removes the run's temporary directory, whatever the guest made of it.
//!
//! Nobody changes it meanwhile: every process of the run has ended. It needs no memory: it walks down by changing the working
//! directory, and up by `..`, which leads back the way it came since nothing is moved.

use super::{AT_FDCWD, Errno, O_CLOEXEC, O_DIRECTORY, O_NOFOLLOW, check};
use crate::plan_reader::Text;
use crate::raw_call::{call, nr};

const AT_REMOVEDIR: usize = 0x200;
const DT_DIR: u8 = 4;
/// Where type and name stand in `struct linux_dirent64`.
const TYPE_AT: usize = 18;
const NAME_AT: usize = 19;

#[repr(align(8))]
struct Entries([u8; 32 * 1024]);
static mut ENTRIES: Entries = Entries([0; 32 * 1024]);

/// What a pass over one directory came to.
enum Pass {
    /// Nothing is left in it.
    Empty,
    /// It has a subdirectory that is not empty, which is the working directory now.
    Down,
    /// Something was removed: look again.
    Again,
    /// Something in it cannot be removed.
    Stuck,
}

/// Removes `directory` and all in it. What cannot be removed is left.
pub fn remove(directory: Text) {
    // SAFETY: the text ends with NUL. A link in its place is not followed.
    unsafe {
        let flags = O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
        let Ok(top) = check(call!(nr::OPENAT, AT_FDCWD, directory.at, flags)) else { return };
        if check(call!(nr::FCHDIR, top)).is_ok() {
            empty();
        }
        call!(nr::UNLINKAT, AT_FDCWD, directory.at, AT_REMOVEDIR);
    }
}

/// Removes the empty directories in `directory`, and nothing else.
pub fn remove_directories_in(directory: Text) {
    // SAFETY: the text ends with NUL. A link in its place is not followed.
    unsafe {
        let flags = O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
        let Ok(top) = check(call!(nr::OPENAT, AT_FDCWD, directory.at, flags)) else { return };
        let _ = each_in(top, |name, kind| {
            if kind == DT_DIR {
                call!(nr::UNLINKAT, top, name, AT_REMOVEDIR);
            }
            true
        });
        call!(nr::CLOSE, top);
    }
}

/// Empties the working directory.
fn empty() {
    let mut depth = 0_u64;
    loop {
        match pass() {
            Pass::Again => {}
            Pass::Down => depth += 1,
            Pass::Empty if depth > 0 => {
                // SAFETY: constant text.
                if check(unsafe { call!(nr::CHDIR, c"..".as_ptr()) }).is_err() {
                    return;
                }
                depth -= 1;
            }
            Pass::Empty | Pass::Stuck => return,
        }
    }
}

/// Removes what can be removed at once, and goes down where that is needed.
fn pass() -> Pass {
    let (mut seen, mut removed, mut down) = (false, false, false);
    // SAFETY: constant text; names end with NUL and live while they are looked at.
    let read = unsafe {
        let Ok(own) = check(call!(nr::OPENAT, AT_FDCWD, c".".as_ptr(), O_DIRECTORY | O_CLOEXEC)) else {
            return Pass::Stuck;
        };
        let read = each_in(own, |name, kind| {
            seen = true;
            if check(call!(nr::UNLINKAT, AT_FDCWD, name, if kind == DT_DIR { AT_REMOVEDIR } else { 0 })).is_ok() {
                removed = true;
            } else if kind == DT_DIR && go_down(name) {
                down = true;
            }
            !down
        });
        call!(nr::CLOSE, own);
        read
    };
    match (read, down, seen, removed) {
        (Err(_), ..) => Pass::Stuck,
        (_, true, ..) => Pass::Down,
        (_, _, false, _) => Pass::Empty,
        (_, _, true, true) => Pass::Again,
        (_, _, true, false) => Pass::Stuck,
    }
}

/// Calls `take` with name and type of each entry that one reading of the open `directory` gives, until it answers false.
unsafe fn each_in(directory: usize, mut take: impl FnMut(*const u8, u8) -> bool) -> Result<(), Errno> {
    let entries = (&raw mut ENTRIES).cast::<u8>();
    // SAFETY: the buffer is ours alone and as long as told; entries lie within what the kernel wrote, each with a name that ends
    // with NUL (getdents64(2)).
    unsafe {
        let length = check(call!(nr::GETDENTS64, directory, entries, size_of::<Entries>()))?;
        let mut at = 0;
        while at + NAME_AT < length {
            let size = u16::from_le_bytes([*entries.add(at + 16), *entries.add(at + 17)]) as usize;
            let (kind, name) = (*entries.add(at + TYPE_AT), entries.add(at + NAME_AT).cast_const());
            at += size.max(NAME_AT + 1);
            if !is_dot(name) && !take(name, kind) {
                break;
            }
        }
    }
    Ok(())
}

/// Makes the directory `name` the working directory, although the guest may have taken its own rights away.
unsafe fn go_down(name: *const u8) -> bool {
    // SAFETY: the caller's name ends with NUL.
    unsafe {
        call!(nr::FCHMODAT, AT_FDCWD, name, 0o700);
        let Ok(inner) = check(call!(nr::OPENAT, AT_FDCWD, name, O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) else {
            return false;
        };
        let gone = check(call!(nr::FCHDIR, inner)).is_ok();
        call!(nr::CLOSE, inner);
        gone
    }
}

/// `.` or `..`.
unsafe fn is_dot(name: *const u8) -> bool {
    // SAFETY: the caller's name ends with NUL, so no byte after it is read.
    unsafe { *name == b'.' && (*name.add(1) == 0 || (*name.add(1) == b'.' && *name.add(2) == 0)) }
}
