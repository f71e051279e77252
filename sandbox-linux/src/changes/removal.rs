//! Removes a tree that a guest may have filled: of any depth, with modes of any kind, with few descriptors.
//!
//! Nobody else works in it. It walks down by descriptors and up by `..`, which leads back the way it came since nothing is moved.

use super::entry::{Facts, directory, handle, names, own_path};
use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};

/// Removes the entry `name` of `parent` and all beneath it. What is not there is removed already.
pub(crate) fn remove(parent: impl AsFd, name: &CStr) -> Result<(), Errno> {
    match Facts::if_there(&parent, name)? {
        None => return Ok(()),
        Some(facts) if !facts.is_directory() => return unlinkat(&parent, name, UnlinkatFlags::NoRemoveDir),
        Some(_) => {}
    }
    let mut at = enter(&parent, name)?;
    // The names of the directories above the current one, beneath `name`.
    let mut above: Vec<CString> = Vec::new();
    loop {
        match empty(&at)? {
            Some(inner) => {
                at = enter(&at, &inner)?;
                above.push(inner);
            }
            None => match above.pop() {
                Some(done) => {
                    at = directory(&at, c"..")?;
                    unlinkat(&at, done.as_c_str(), UnlinkatFlags::RemoveDir)?;
                }
                None => return unlinkat(&parent, name, UnlinkatFlags::RemoveDir),
            },
        }
    }
}

/// Removes what can be removed at once; answers a directory that is not empty.
fn empty(at: &OwnedFd) -> Result<Option<CString>, Errno> {
    for name in names(at)? {
        match unlinkat(at, name.as_c_str(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => continue,
            // A directory: Linux answers EISDIR, POSIX EPERM.
            Err(Errno::EISDIR | Errno::EPERM) => {}
            Err(errno) => return Err(errno),
        }
        match unlinkat(at, name.as_c_str(), UnlinkatFlags::RemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(Errno::ENOTEMPTY | Errno::EEXIST) => return Ok(Some(name)),
            Err(errno) => return Err(errno),
        }
    }
    Ok(None)
}

/// Opens a directory although its owner's own rights may have been taken away.
fn enter(parent: impl AsFd, name: &CStr) -> Result<OwnedFd, Errno> {
    let own = handle(&parent, name)?;
    let facts = Facts::of(&own)?;
    if facts.is_directory() && facts.mode & 0o700 != 0o700 {
        let path = own_path(own.as_fd());
        fchmodat(AT_FDCWD, path.as_str(), Mode::S_IRWXU, FchmodatFlags::FollowSymlink)?;
    }
    directory(parent, name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::changes::testing::Folder;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn depth_modes_and_links_are_no_hindrance_and_links_are_not_followed() {
        let (folder, kept) = (Folder::new(), Folder::new());
        fs::write(kept.join("kept"), "x").unwrap();
        let mut at = directory(AT_FDCWD, &CString::new(folder.path().as_os_str().as_encoded_bytes()).unwrap()).unwrap();
        let parent = at.try_clone().unwrap();
        for name in std::iter::once("tree").chain(std::iter::repeat_n("d", 1500)) {
            let name = CString::new(name).unwrap();
            nix::sys::stat::mkdirat(&at, name.as_c_str(), Mode::S_IRWXU).unwrap();
            at = directory(&at, &name).unwrap();
        }
        drop(at);
        std::os::unix::fs::symlink(kept.path(), folder.join("tree/link")).unwrap();
        fs::create_dir(folder.join("tree/closed")).unwrap();
        fs::write(folder.join("tree/closed/file"), "x").unwrap();
        fs::set_permissions(folder.join("tree/closed"), fs::Permissions::from_mode(0o000)).unwrap();
        remove(&parent, c"tree").unwrap();
        remove(&parent, c"tree").unwrap();
        assert!(!folder.join("tree").exists() && kept.join("kept").exists());
    }
}
