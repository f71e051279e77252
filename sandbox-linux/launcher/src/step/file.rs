//! Files and directories of the new root, and files of /proc that configure namespaces.

use super::{AT_FDCWD, EEXIST, Failure, O_CLOEXEC, O_NOFOLLOW, check, part};
use crate::plan_reader::Text;
use crate::raw_call::{call, nr};

const O_WRONLY: usize = 1;
const O_CREAT: usize = 0o100;
const O_EXCL: usize = 0o200;
const AT_REMOVEDIR: usize = 0x200;
const EISDIR: i32 = 21;
const ENOSPC: i32 = 28;

/// Writes `contents` to a file that exists, in one call, as /proc/self/uid_map demands.
pub fn write(path: Text, contents: Text) -> Result<(), Failure> {
    // SAFETY: texts of the plan end with NUL and live as long as the process.
    unsafe {
        let file = part(call!(nr::OPENAT, AT_FDCWD, path.at, O_WRONLY | O_CLOEXEC), 1)?;
        part(call!(nr::WRITE, file, contents.at, contents.length), 2)?;
        call!(nr::CLOSE, file);
    }
    Ok(())
}

/// Makes a directory; one that is there already will do.
pub fn directory(path: Text, mode: u32) -> Result<(), Failure> {
    // SAFETY: as above.
    match check(unsafe { call!(nr::MKDIRAT, AT_FDCWD, path.at, mode) }) {
        Ok(_) | Err(EEXIST) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Makes an empty file; one that is there already will do.
pub fn empty(path: Text) -> Result<(), Failure> {
    let flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
    // SAFETY: as above.
    match check(unsafe { call!(nr::OPENAT, AT_FDCWD, path.at, flags, 0) }) {
        Ok(file) => {
            // SAFETY: the descriptor is ours.
            unsafe { call!(nr::CLOSE, file) };
            Ok(())
        }
        Err(EEXIST) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Makes a file with `contents`, which everybody may read. One that is there already is a fault: its contents are others.
pub fn contents(path: Text, contents: Text) -> Result<(), Failure> {
    let flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
    // SAFETY: as above.
    unsafe {
        let file = part(call!(nr::OPENAT, AT_FDCWD, path.at, flags, 0o444), 1)?;
        // tmpfs writes what there is room for, and the rest of a list that programs rely on would be missing unseen.
        if part(call!(nr::WRITE, file, contents.at, contents.length), 2)? != contents.length {
            return Err(Failure { errno: ENOSPC, detail: 2 });
        }
        call!(nr::CLOSE, file);
    }
    Ok(())
}

/// Makes a symbolic link.
pub fn symlink(target: Text, path: Text) -> Result<(), Failure> {
    // SAFETY: as above.
    match check(unsafe { call!(nr::SYMLINKAT, target.at, AT_FDCWD, path.at) }) {
        Ok(_) | Err(EEXIST) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Removes a file or an empty directory.
pub fn remove(path: Text) -> Result<(), Failure> {
    // SAFETY: as above.
    match check(unsafe { call!(nr::UNLINKAT, AT_FDCWD, path.at, 0) }) {
        Ok(_) => Ok(()),
        Err(EISDIR) => {
            // SAFETY: as above.
            check(unsafe { call!(nr::UNLINKAT, AT_FDCWD, path.at, AT_REMOVEDIR) })?;
            Ok(())
        }
        Err(errno) => Err(errno.into()),
    }
}

/// Changes the working directory.
pub fn change_directory(path: Text) -> Result<(), Failure> {
    // SAFETY: as above.
    check(unsafe { call!(nr::CHDIR, path.at) })?;
    Ok(())
}
