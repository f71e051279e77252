//! Calls that make, remove or change one name, on behalf of the guest.

use super::call::PathArgument;
use super::caller::Caller;
use super::guest_path::{Object, Place, Walked, own_path, path_of};
use super::judge::directory_of;
use super::known::Known;
use super::raw_attribute::add_watch;
use super::raw_call::{facts, facts_at};
use super::serve::{Answer, Server};
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, UtimensatFlags, fchmodat, fstat, mkdirat, mknodat, utimensat};
use nix::unistd::{UnlinkatFlags, linkat, symlinkat, truncate, unlinkat};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

/// Where a path argument of a call that needs an existing object leads.
pub(super) enum Meant {
    Object(Object),
    /// An open descriptor of the caller, copied.
    Descriptor(std::os::fd::OwnedFd),
}

impl Meant {
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        match self {
            Self::Object(object) => object.descriptor.as_fd(),
            Self::Descriptor(descriptor) => descriptor.as_fd(),
        }
    }
}

impl Server {
    /// The name that a path argument ends with.
    pub(super) fn place(&self, thread: i32, path: PathArgument) -> Result<Place, Errno> {
        self.known_place(thread, &self.absolute(thread, path)?)
    }

    /// mkdir(2).
    pub(super) fn make_directory(&mut self, thread: i32, path: PathArgument, mode: u32) -> Result<(), Errno> {
        let mut place = self.place(thread, path)?;
        let directory = directory_of(&place)?;
        if self.is_known(thread, &place) && exists(&place) {
            return Err(Errno::EEXIST);
        }
        self.judge.entry(thread, &place, directory)?;
        self.judge.permits.place_on_host(&mut place)?;
        let mode = Mode::from_bits_truncate(mode & !Caller::of(thread)?.umask);
        mkdirat(&place.parent, place.name.as_c_str(), mode)
            .inspect_err(|errno| self.note_mounts(thread, *errno, &place.path))?;
        let made = facts_at(place.parent.as_fd(), &place.name)?.identity;
        self.judge.made.made(&place.path, made);
        Ok(())
    }

    /// mknod(2): regular files, FIFOs and sockets; devices need a capability that nobody here has.
    pub(super) fn make_node(&mut self, thread: i32, path: PathArgument, mode: u32) -> Result<(), Errno> {
        let kind = SFlag::from_bits_truncate(mode) & SFlag::S_IFMT;
        if kind == SFlag::S_IFCHR || kind == SFlag::S_IFBLK {
            return Err(Errno::EPERM);
        }
        let place = self.new_file(thread, path)?;
        let mode = Mode::from_bits_truncate(mode & !Caller::of(thread)?.umask);
        mknodat(&place.parent, place.name.as_c_str(), kind, mode, 0)
            .inspect_err(|errno| self.note_mounts(thread, *errno, &place.path))
    }

    /// symlink(2).
    pub(super) fn symbolic_link(&mut self, thread: i32, target: u64, path: PathArgument) -> Result<(), Errno> {
        let target = super::guest_memory::path(thread, target)?;
        let place = self.new_file(thread, path)?;
        symlinkat(target.as_c_str(), &place.parent, place.name.as_c_str())
            .inspect_err(|errno| self.note_mounts(thread, *errno, &place.path))
    }

    /// link(2): a second name for a protected file would be a way round its first.
    pub(super) fn link(&mut self, thread: i32, from: PathArgument, to: PathArgument, flags: i32) -> Result<(), Errno> {
        let flags = AtFlags::from_bits_retain(flags);
        let meant = if flags.contains(AtFlags::AT_EMPTY_PATH) {
            let copy = self.descriptor_of(Caller::of(thread)?.process, from.directory)?;
            Meant::Descriptor(copy)
        } else {
            self.meant(thread, from, flags.contains(AtFlags::AT_SYMLINK_FOLLOW))?
        };
        let source = path_of(&meant.descriptor())?;
        self.judge_object(thread, &source)?;
        let meant = self.meant_on_host(meant, &source)?;
        let place = self.new_file(thread, to)?;
        // By a name that nobody is asked about, what was said yes to once could be changed ever after. Programs copy then.
        if self.judge.permits.was_asked_about(&source) != self.judge.permits.was_asked_about(&place.path) {
            return Err(Errno::EXDEV);
        }
        let own = own_path(&meant.descriptor());
        linkat(nix::fcntl::AT_FDCWD, own.as_str(), &place.parent, place.name.as_c_str(), AtFlags::AT_SYMLINK_FOLLOW)
            .inspect_err(|errno| self.note_mounts(thread, *errno, &place.path))
    }

    /// unlink(2), rmdir(2).
    pub(super) fn remove(&mut self, thread: i32, path: PathArgument, directory: bool) -> Result<(), Errno> {
        let mut place = self.place(thread, path)?;
        if !self.is_known(thread, &place) {
            return Err(Errno::ENOENT);
        }
        let facts = facts_at(place.parent.as_fd(), &place.name)?;
        self.judge.entry(thread, &place, directory_of(&place)?)?;
        self.judge.permits.place_on_host(&mut place)?;
        let how = if directory { UnlinkatFlags::RemoveDir } else { UnlinkatFlags::NoRemoveDir };
        if place.as_directory && !directory && !facts.is_directory() {
            return Err(Errno::ENOTDIR);
        }
        unlinkat(&place.parent, place.name.as_c_str(), how)
            .inspect_err(|errno| self.note_mounts(thread, *errno, &place.path))?;
        if directory {
            self.judge.made.left(&place.path, facts.identity, None);
        } else if facts.is_socket() {
            self.sockets.unbound(facts.identity);
        }
        Ok(())
    }

    /// truncate(2).
    pub(super) fn truncate(&mut self, thread: i32, path: PathArgument, length: i64) -> Result<(), Errno> {
        let meant = self.meant(thread, path, true)?;
        let path = path_of(&meant.descriptor())?;
        self.judge_object(thread, &path)?;
        let meant = self.meant_on_host(meant, &path)?;
        truncate(own_path(&meant.descriptor()).as_str(), length)
            .inspect_err(|errno| self.note_mounts(thread, *errno, &path))
    }

    /// chmod(2): an execute bit can turn a file into one that is run later.
    pub(super) fn change_mode(&mut self, thread: i32, path: PathArgument, mode: u32, flags: i32) -> Result<(), Errno> {
        let flags = AtFlags::from_bits_retain(flags);
        let follow = !flags.contains(AtFlags::AT_SYMLINK_NOFOLLOW);
        let meant = if flags.contains(AtFlags::AT_EMPTY_PATH) && self.is_empty(thread, path)? {
            Meant::Descriptor(self.descriptor_of(Caller::of(thread)?.process, path.directory)?)
        } else {
            self.meant(thread, path, follow)?
        };
        self.change_mode_of(thread, &meant, mode)
    }

    /// utimensat(2), and futimens(3) where the path is none.
    pub(super) fn change_times(
        &mut self,
        thread: i32,
        path: PathArgument,
        times: u64,
        flags: i32,
    ) -> Result<(), Errno> {
        let (accessed, modified) = super::guest_memory::times(thread, times)?;
        let flags = AtFlags::from_bits_retain(flags);
        let of_descriptor =
            path.address == 0 || (flags.contains(AtFlags::AT_EMPTY_PATH) && self.is_empty(thread, path)?);
        let meant = if of_descriptor {
            Meant::Descriptor(self.descriptor_of(Caller::of(thread)?.process, path.directory)?)
        } else {
            self.meant(thread, path, !flags.contains(AtFlags::AT_SYMLINK_NOFOLLOW))?
        };
        let path = path_of(&meant.descriptor())?;
        if path.as_os_str().as_bytes().starts_with(b"/") {
            self.judge_object(thread, &path)?;
        }
        let own = own_path(&meant.descriptor());
        utimensat(nix::fcntl::AT_FDCWD, own.as_str(), &accessed, &modified, UtimensatFlags::FollowSymlink)
            .inspect_err(|errno| self.note_mounts(thread, *errno, &path))
    }

    /// inotify_add_watch(2): what may be read may be watched. The watch is in the guest's own queue, of which we hold a copy.
    pub(super) fn watch(&mut self, thread: i32, watcher: i32, path: PathArgument, mask: u32) -> Result<Answer, Errno> {
        let watcher = self.descriptor_of(Caller::of(thread)?.process, watcher)?;
        let meant = self.meant(thread, path, mask & libc::IN_DONT_FOLLOW == 0)?;
        self.judge.read(thread, &path_of(&meant.descriptor())?)?;
        let value = add_watch(watcher.as_fd(), &own_path(&meant.descriptor()), mask & !libc::IN_DONT_FOLLOW)?;
        Ok(Answer::Memory { to: 0, bytes: Vec::new(), value: i64::from(value) })
    }

    /// fchmod(2).
    pub(super) fn change_descriptor_mode(&mut self, thread: i32, number: i32, mode: u32) -> Result<(), Errno> {
        let copy = self.descriptor_of(Caller::of(thread)?.process, number)?;
        self.change_mode_of(thread, &Meant::Descriptor(copy), mode)
    }

    fn change_mode_of(&mut self, thread: i32, meant: &Meant, mode: u32) -> Result<(), Errno> {
        let path = path_of(&meant.descriptor())?;
        let stat = fstat(meant.descriptor())?;
        let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
        if kind == SFlag::S_IFLNK {
            return Err(Errno::EOPNOTSUPP);
        }
        let named = path.as_os_str().as_bytes().starts_with(b"/");
        if named {
            self.judge_object(thread, &path)?;
        }
        let wanted = Mode::from_bits_truncate(mode);
        let on_host = match meant {
            Meant::Object(object) => self.judge.permits.on_host(object)?.map(Meant::Object),
            Meant::Descriptor(_) => None,
        };
        let meant = on_host.as_ref().unwrap_or(meant);
        fchmodat(nix::fcntl::AT_FDCWD, own_path(&meant.descriptor()).as_str(), wanted, FchmodatFlags::FollowSymlink)
            .inspect_err(|errno| self.note_mounts(thread, *errno, &path))?;
        let newly = mode & 0o111 != 0 && stat.st_mode & 0o111 == 0;
        if newly && named && kind == SFlag::S_IFREG && !self.is_own_place(&path) {
            self.note_executable(&path);
        }
        Ok(())
    }

    /// Whether what is at `path` stands in a directory that the guest made.
    fn is_own_place(&self, path: &std::path::Path) -> bool {
        let above = path.parent().unwrap_or(path);
        let directory = self.files.object(above.as_os_str().as_bytes(), false);
        directory
            .and_then(|directory| facts(directory.descriptor.as_fd()))
            .is_ok_and(|facts| self.judge.made.is_own(facts.identity))
    }

    pub(super) fn is_empty(&self, thread: i32, path: PathArgument) -> Result<bool, Errno> {
        if path.address == 0 {
            return Ok(true);
        }
        match super::guest_memory::path(thread, path.address) {
            Err(Errno::ENOENT) => Ok(true),
            other => other.map(|text| text.is_empty()),
        }
    }

    fn new_file(&mut self, thread: i32, path: PathArgument) -> Result<Place, Errno> {
        let mut place = self.place(thread, path)?;
        if self.is_known(thread, &place) && exists(&place) {
            return Err(Errno::EEXIST);
        }
        if place.as_directory {
            return Err(Errno::ENOENT);
        }
        self.judge.new_file(thread, &place, directory_of(&place)?)?;
        self.judge.permits.place_on_host(&mut place)?;
        Ok(place)
    }

    /// The host's own object in place of the guest's, where the host said that it may be changed.
    fn meant_on_host(&self, meant: Meant, path: &std::path::Path) -> Result<Meant, Errno> {
        let Meant::Object(object) = meant else { return Ok(meant) };
        let object = Object { path: path.to_owned(), ..object };
        Ok(Meant::Object(self.judge.permits.on_host(&object)?.unwrap_or(object)))
    }

    pub(super) fn meant(&self, thread: i32, path: PathArgument, follow: bool) -> Result<Meant, Errno> {
        let absolute = self.absolute(thread, path)?;
        if self.judge.is_alone() {
            return match self.known(thread, &absolute, follow)? {
                Known::Object(object) => Ok(Meant::Object(object)),
                Known::Descriptor(caller, number) => {
                    Ok(Meant::Descriptor(self.descriptor_of(caller.process, number).map_err(|_| Errno::ENOENT)?))
                }
                Known::Absent { .. } => Err(Errno::ENOENT),
            };
        }
        match self.files.object(&absolute, follow) {
            Ok(object) => Ok(Meant::Object(object)),
            Err(errno @ (Errno::ENOENT | Errno::ELOOP)) if follow => {
                let caller = Caller::of(thread)?;
                match self.files.walk(&caller, &absolute)? {
                    Walked::Descriptor(number) => {
                        Ok(Meant::Descriptor(self.descriptor_of(caller.process, number).map_err(|_| Errno::ENOENT)?))
                    }
                    Walked::Path(path) if path != absolute => self.files.object(&path, true).map(Meant::Object),
                    Walked::Path(_) => Err(errno),
                }
            }
            Err(errno) => Err(errno),
        }
    }
}

fn exists(place: &Place) -> bool {
    facts_at(place.parent.as_fd(), &place.name).is_ok()
}
