//! Paths as the guest means them: resolved by the kernel, in the guest's root, to descriptors that are then worked on.
//!
//! A descriptor names one object whatever is renamed meanwhile, and its canonical path is asked of the kernel. All that
//! makes or moves names comes through the broker, one call after the other, so between asking and acting a path changes only by
//! the host's own hand.

use super::call::PathArgument;
use super::caller::Caller;
use super::raw_call::facts;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2, readlinkat};
use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// As many links as path_resolution(7) lets a path follow.
const MOST_LINKS: usize = 40;

/// The files of one sandbox, as its processes see them.
#[derive(Debug)]
pub(crate) struct GuestFiles {
    root: OwnedFd,
}

/// Something that exists, held by a descriptor that only names it (`O_PATH`).
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) descriptor: OwnedFd,
    pub(crate) path: PathBuf,
}

/// A name in a directory, whether or not something has it.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) parent: OwnedFd,
    pub(crate) name: CString,
    pub(crate) path: PathBuf,
    /// The path ended with a slash: a directory is meant.
    pub(crate) as_directory: bool,
}

/// Where a path leads that goes through the caller's own part of /proc.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Walked {
    /// To a path without such links.
    Path(Vec<u8>),
    /// To an open descriptor of the caller.
    Descriptor(i32),
}

impl GuestFiles {
    /// The files beneath `root`, the guest's root directory.
    pub(crate) fn new(root: OwnedFd) -> Self {
        Self { root }
    }

    /// The root itself.
    pub(crate) fn root(&self) -> &OwnedFd {
        &self.root
    }

    /// The absolute form of a path argument. `..` and links in it are left to the kernel.
    pub(crate) fn absolute(&self, thread: i32, argument: PathArgument, text: &CStr) -> Result<Vec<u8>, Errno> {
        let text = text.to_bytes();
        match text.first() {
            None => return Err(Errno::ENOENT),
            Some(b'/') => return Ok(text.to_vec()),
            Some(_) => {}
        }
        let mut absolute = directory(thread, argument.directory)?.into_os_string().into_vec();
        absolute.push(b'/');
        absolute.extend_from_slice(text);
        Ok(absolute)
    }

    /// What is at `absolute` now.
    pub(crate) fn object(&self, absolute: &[u8], follow: bool) -> Result<Object, Errno> {
        let flags = if follow { OFlag::O_PATH } else { OFlag::O_PATH | OFlag::O_NOFOLLOW };
        let descriptor = self.resolve(absolute, flags)?;
        let path = path_of(&descriptor)?;
        Ok(Object { descriptor, path })
    }

    /// The name that `absolute` ends with, in its directory.
    pub(crate) fn place(&self, absolute: &[u8]) -> Result<Place, Errno> {
        let as_directory = absolute.ends_with(b"/");
        let end = absolute.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
        let trimmed = absolute.get(..end).unwrap_or_default();
        let cut = trimmed.iter().rposition(|byte| *byte == b'/').ok_or(Errno::EEXIST)?;
        let (above, name) = (trimmed.get(..=cut).unwrap_or_default(), trimmed.get(cut + 1..).unwrap_or_default());
        if matches!(name, b"" | b"." | b"..") {
            return Err(Errno::EEXIST);
        }
        let parent = self.resolve(above, OFlag::O_PATH | OFlag::O_DIRECTORY)?;
        let path = path_of(&parent)?.join(OsStr::from_bytes(name));
        let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
        Ok(Place { parent, name, path, as_directory })
    }

    fn resolve(&self, absolute: &[u8], flags: OFlag) -> Result<OwnedFd, Errno> {
        let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(resolve);
        loop {
            match openat2(&self.root, OsStr::from_bytes(absolute), how) {
                // A rename elsewhere crossed the walk; the kernel asks to try again (openat2(2)).
                Err(Errno::EAGAIN) => {}
                other => return other,
            }
        }
    }

    /// What is at `absolute` if no link leads there: `ELOOP` where one does, or where the name is one and `follow` says so.
    pub(crate) fn plain_object(&self, absolute: &[u8], follow: bool) -> Result<Object, Errno> {
        let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_SYMLINKS;
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let descriptor =
            openat2(&self.root, OsStr::from_bytes(absolute), OpenHow::new().flags(flags).resolve(resolve))?;
        if follow && facts(descriptor.as_fd())?.is_link() {
            return Err(Errno::ELOOP);
        }
        // Not the text itself, although no links are in it: some file systems know one name in several spellings.
        let path = path_of(&descriptor)?;
        Ok(Object { descriptor, path })
    }

    /// Follows `absolute` by hand where it leads through /proc/self or an open descriptor, which mean the caller and not us.
    pub(crate) fn walk(&self, caller: &Caller, absolute: &[u8]) -> Result<Walked, Errno> {
        self.walk_among(caller, absolute, true, &|_| true)
    }

    /// The same among names that are `known` to the guest: a path through others leads nowhere, and one to another is not followed
    /// further. `follow`: whether a link that the path ends with is followed.
    pub(crate) fn walk_among(
        &self,
        caller: &Caller,
        absolute: &[u8],
        follow: bool,
        known: &dyn Fn(&Path) -> bool,
    ) -> Result<Walked, Errno> {
        let mut rest: Vec<Vec<u8>> = components(absolute);
        let mut at = PathBuf::from("/");
        let mut links = 0;
        while let Some(part) = rest.pop() {
            let own = PathBuf::from(format!("/proc/{}", caller.inside));
            match part.as_slice() {
                b"." => continue,
                b".." => {
                    at.pop();
                    continue;
                }
                b"self" | b"thread-self" if at == Path::new("/proc") && (follow || !rest.is_empty()) => {
                    at = own;
                    continue;
                }
                number if at == own.join("fd") && (follow || !rest.is_empty()) => {
                    let number = std::str::from_utf8(number).ok().and_then(|text| text.parse().ok());
                    return if rest.is_empty() {
                        number.map(Walked::Descriptor).ok_or(Errno::ENOENT)
                    } else {
                        Err(Errno::ENOTDIR)
                    };
                }
                b"exe" if at == own && follow && rest.is_empty() => {
                    at = nix::fcntl::readlink(own.join("exe").as_path()).map(PathBuf::from)?;
                    continue;
                }
                b"root" if at == own && (follow || !rest.is_empty()) => {
                    at = PathBuf::from("/");
                    continue;
                }
                b"cwd" if at == own && (follow || !rest.is_empty()) => {
                    at = directory(caller.thread, libc::AT_FDCWD)?;
                    continue;
                }
                _ => {}
            }
            let next = at.join(OsStr::from_bytes(&part));
            if !known(&next) {
                return if rest.is_empty() {
                    Ok(Walked::Path(next.into_os_string().into_vec()))
                } else {
                    Err(Errno::ENOENT)
                };
            }
            if rest.is_empty() && !follow {
                at = next;
                continue;
            }
            let target = match self.resolve(next.as_os_str().as_bytes(), OFlag::O_PATH | OFlag::O_NOFOLLOW) {
                Ok(link) => readlinkat(&link, c"").ok(),
                Err(Errno::ENOENT) if rest.is_empty() => None,
                Err(errno) => return Err(errno),
            };
            let Some(target) = target else {
                at = next;
                continue;
            };
            links += 1;
            if links > MOST_LINKS {
                return Err(Errno::ELOOP);
            }
            if target.as_bytes().starts_with(b"/") {
                at = PathBuf::from("/");
            }
            rest.extend(components(target.as_bytes()));
        }
        Ok(Walked::Path(at.into_os_string().into_vec()))
    }
}

impl Place {
    /// What a symbolic link of that name points to.
    pub(crate) fn link_target(&self) -> Option<Vec<u8>> {
        readlinkat(&self.parent, self.name.as_c_str()).ok().map(OsStringExt::into_vec)
    }

    /// The directory's canonical path.
    pub(crate) fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }
}

impl Object {
    /// A path of our own /proc that leads to just this object.
    pub(crate) fn reopening(&self) -> String {
        own_path(&self.descriptor)
    }
}

/// A path of our own /proc that leads to the object behind a descriptor of ours.
pub(crate) fn own_path(descriptor: &impl AsFd) -> String {
    format!("/proc/self/fd/{}", descriptor.as_fd().as_raw_fd())
}

/// The canonical path of what a descriptor of ours names, in the mount namespace it is from.
pub(crate) fn path_of(descriptor: &impl AsFd) -> Result<PathBuf, Errno> {
    nix::fcntl::readlink(own_path(descriptor).as_str()).map(PathBuf::from)
}

/// The canonical path of a caller's directory: its working directory, or the one behind a descriptor.
fn directory(thread: i32, number: i32) -> Result<PathBuf, Errno> {
    let link = if number == libc::AT_FDCWD {
        format!("/proc/{thread}/cwd")
    } else if number >= 0 {
        format!("/proc/{thread}/fd/{number}")
    } else {
        return Err(Errno::EBADF);
    };
    let path = nix::fcntl::readlink(link.as_str()).map_err(|errno| if number >= 0 { Errno::EBADF } else { errno })?;
    // A pipe or a socket has no path.
    if path.as_bytes().starts_with(b"/") { Ok(path.into()) } else { Err(Errno::ENOTDIR) }
}

/// The components of a path, last first.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    let mut parts: Vec<Vec<u8>> =
        path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).map(<[u8]>::to_vec).collect();
    parts.reverse();
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own_files() -> GuestFiles {
        GuestFiles::new(std::fs::File::open("/").unwrap().into())
    }

    fn own() -> Caller {
        Caller::of(nix::unistd::gettid().as_raw()).unwrap()
    }

    #[test]
    fn a_place_is_a_directory_and_a_name() {
        let place = own_files().place(b"/usr/../etc//new-name/").unwrap();
        assert_eq!((place.path.to_str(), place.as_directory), (Some("/etc/new-name"), true));
        assert_eq!(own_files().place(b"/usr/..").unwrap_err(), Errno::EEXIST);
        assert_eq!(own_files().place(b"/").unwrap_err(), Errno::EEXIST);
    }

    #[test]
    fn a_link_into_the_caller_s_descriptors_is_that_descriptor() {
        assert_eq!(own_files().walk(&own(), b"/dev/stderr"), Ok(Walked::Descriptor(2)));
        assert_eq!(own_files().walk(&own(), b"/proc/self/fd/7"), Ok(Walked::Descriptor(7)));
        assert_eq!(own_files().walk(&own(), b"/proc/self/root/etc/."), Ok(Walked::Path(b"/etc".to_vec())));
    }

    #[test]
    fn fs_02_magic_links_are_not_followed_for_the_guest() {
        assert_eq!(own_files().object(b"/proc/self/fd/0", true).unwrap_err(), Errno::ELOOP);
    }

    #[test]
    fn a_relative_path_starts_at_the_caller_s_directory() {
        let argument = PathArgument { directory: libc::AT_FDCWD, address: 0 };
        let absolute = own_files().absolute(nix::unistd::gettid().as_raw(), argument, c"x/../y").unwrap();
        let expected = std::env::current_dir().unwrap().join("x/../y");
        assert_eq!(absolute, expected.as_os_str().as_bytes());
    }
}
