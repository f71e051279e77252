//! Calls that look at names without opening them, where no mounts hide what the guest may not know of: stat(2) and its kind.
//!
//! What is looked at is held by a descriptor of ours. The answer goes into the caller's memory last, see `serve`.

use super::call::PathArgument;
use super::caller::Caller;
use super::guest_path::{own_path, path_of};
use super::known::Known;
use super::raw_call::{look, look_at_file_system, look_closely};
use super::serve::{Answer, Server};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, open, readlinkat};
use nix::sys::stat::{Mode, lstat};
use nix::unistd::{AccessFlags, faccessat};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Longest text of a link.
const PATH_MAX: usize = 4096;

/// A path of our own that leads to one object, whatever is renamed meanwhile.
struct Held {
    path: String,
    /// Keeps the path leading there.
    _object: Option<OwnedFd>,
}

impl Held {
    fn object(object: OwnedFd) -> Self {
        Self { path: own_path(&object), _object: Some(object) }
    }

    /// An entry of /proc, of a thread that waits for its answer.
    fn entry(path: String) -> Self {
        Self { path, _object: None }
    }
}

impl Server {
    /// stat(2), lstat(2), fstatat(2).
    pub(super) fn look(&self, thread: i32, path: PathArgument, to: u64, flags: i32) -> Result<Answer, Errno> {
        let object = self.looked_at(thread, path, flags)?;
        Ok(Answer::Memory { to, bytes: look(&object.path)?, value: 0 })
    }

    /// statx(2).
    pub(super) fn look_closely(
        &self,
        thread: i32,
        path: PathArgument,
        flags: i32,
        mask: u32,
        to: u64,
    ) -> Result<Answer, Errno> {
        let object = self.looked_at(thread, path, flags)?;
        let synchronised = flags & libc::AT_STATX_SYNC_TYPE;
        Ok(Answer::Memory { to, bytes: look_closely(&object.path, synchronised, mask)?, value: 0 })
    }

    /// statfs(2).
    pub(super) fn look_at_file_system(&self, thread: i32, path: PathArgument, to: u64) -> Result<Answer, Errno> {
        let object = self.looked_at(thread, path, 0)?;
        Ok(Answer::Memory { to, bytes: look_at_file_system(&object.path)?, value: 0 })
    }

    /// access(2). To write where no rule lets the guest write is refused, as a mount would.
    pub(super) fn access(&self, thread: i32, path: PathArgument, mode: i32, flags: i32) -> Result<(), Errno> {
        let mode = AccessFlags::from_bits(mode).ok_or(Errno::EINVAL)?;
        let object = self.looked_at(thread, path, flags)?;
        let effective = AtFlags::from_bits_retain(flags & libc::AT_EACCESS);
        faccessat(AT_FDCWD, object.path.as_str(), mode, effective)?;
        if mode.contains(AccessFlags::W_OK) {
            let canonical = nix::fcntl::readlink(object.path.as_str()).map(PathBuf::from)?;
            if canonical.has_root() && !self.judge.lets_write(thread, &canonical) {
                return Err(Errno::EACCES);
            }
        }
        Ok(())
    }

    /// readlink(2).
    pub(super) fn read_link(&self, thread: i32, path: PathArgument, to: u64, room: i32) -> Result<Answer, Errno> {
        let room = usize::try_from(room).ok().filter(|room| *room > 0).ok_or(Errno::EINVAL)?;
        let answer = |text: &[u8]| {
            let bytes = text.get(..room.min(text.len()).min(PATH_MAX)).unwrap_or_default().to_vec();
            let value = i64::try_from(bytes.len()).unwrap_or(0);
            Ok(Answer::Memory { to, bytes, value })
        };
        if self.is_empty(thread, path)? {
            // A descriptor that names a link; any other is none.
            let copy = self.descriptor_of(Caller::of(thread)?.process, path.directory)?;
            return answer(readlinkat(&copy, c"")?.as_bytes());
        }
        match self.known(thread, &self.absolute(thread, path)?, false)? {
            Known::Object(object) => {
                let caller = |name: &str| object.path == Path::new(name);
                if caller("/proc/self") || caller("/proc/thread-self") {
                    // Of ours it would tell our own number.
                    let own = Caller::of(thread)?;
                    let text = match caller("/proc/self") {
                        true => own.inside.to_string(),
                        false => format!("{}/task/{}", own.inside, own.thread),
                    };
                    return answer(text.as_bytes());
                }
                // With no path the kernel calls what is no link absent.
                let text = readlinkat(&object.descriptor, c"");
                answer(text.map_err(|errno| if errno == Errno::ENOENT { Errno::EINVAL } else { errno })?.as_bytes())
            }
            Known::Descriptor(..) => Err(Errno::EINVAL),
            Known::Absent { .. } => Err(Errno::ENOENT),
        }
    }

    /// What the guest means, held.
    fn looked_at(&self, thread: i32, path: PathArgument, flags: i32) -> Result<Held, Errno> {
        if flags & libc::AT_EMPTY_PATH != 0 && self.is_empty(thread, path)? {
            if path.directory != libc::AT_FDCWD {
                if path.directory < 0 {
                    return Err(Errno::EBADF);
                }
                // What it holds it was given; its entry in /proc leads to that very object.
                let entry = format!("/proc/{thread}/fd/{}", path.directory);
                return if lstat(entry.as_str()).is_ok() { Ok(Held::entry(entry)) } else { Err(Errno::EBADF) };
            }
            // Held first: another of its threads may change to another folder meanwhile.
            let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
            let object = open(format!("/proc/{thread}/cwd").as_str(), flags, Mode::empty())?;
            let shown = self.judge.shows(thread, &path_of(&object)?);
            return if shown { Ok(Held::object(object)) } else { Err(Errno::ENOENT) };
        }
        let follow = flags & libc::AT_SYMLINK_NOFOLLOW == 0;
        match self.known(thread, &self.absolute(thread, path)?, follow)? {
            Known::Object(object) => Ok(Held::object(object.descriptor)),
            Known::Descriptor(caller, number) => Ok(Held::entry(format!("/proc/{}/fd/{number}", caller.process))),
            Known::Absent { .. } => Err(Errno::ENOENT),
        }
    }
}
