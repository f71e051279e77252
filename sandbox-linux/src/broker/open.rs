//! open(2) on behalf of the guest: looked up, judged, and opened on the descriptor that was judged.

use super::call::PathArgument;
use super::caller::Caller;
use super::guest_path::{Object, Place, Walked, own_path, path_of};
use super::judge::directory_of;
use super::known::Known;
use super::raw_call::{copy_descriptor, facts, process_descriptor, terminal_number};
use super::serve::{Answer, Server};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, major, minor};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// How often a name that appears and disappears is looked at again.
const TRIES: usize = 40;

/// What a guest asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    flags: OFlag,
    mode: u32,
}

impl Wish {
    fn has(self, flag: OFlag) -> bool {
        self.flags.contains(flag)
    }

    fn writes(self) -> bool {
        let access = self.flags & OFlag::O_ACCMODE;
        !self.has(OFlag::O_PATH) && (access != OFlag::O_RDONLY || self.has(OFlag::O_TRUNC))
    }

    /// The same wish for what is held with `flags` already, if that lets its holder do as much; what appends goes on to append.
    fn within(self, flags: OFlag) -> Option<Self> {
        let access = flags & OFlag::O_ACCMODE;
        let same = access == OFlag::O_RDWR || access == (self.flags & OFlag::O_ACCMODE);
        let writes = access != OFlag::O_RDONLY || !self.has(OFlag::O_TRUNC);
        let wish = Self { flags: self.flags | (flags & OFlag::O_APPEND), ..self };
        (same && writes && !flags.contains(OFlag::O_PATH)).then_some(wish)
    }

    fn creates(self) -> bool {
        self.has(OFlag::O_CREAT) && !self.has(OFlag::O_PATH)
    }

    fn follows(self) -> bool {
        let exclusive = self.has(OFlag::O_CREAT) && self.has(OFlag::O_EXCL);
        !self.has(OFlag::O_NOFOLLOW) && !exclusive
    }

    /// What can be handed over in place of a descriptor that only names something, which seccomp(2) cannot hand over: one that reads, for
    /// directories and files. `None`: neither.
    fn that_can_be_handed_over(self, kind: SFlag) -> Option<Self> {
        let directory = kind == SFlag::S_IFDIR;
        let kept = self.flags & (OFlag::O_CLOEXEC | OFlag::O_DIRECTORY);
        match self.has(OFlag::O_PATH) {
            false => Some(self),
            true => (directory || kind == SFlag::S_IFREG).then_some(Self { flags: kept, ..self }),
        }
    }

    /// As we open it: never as our own terminal, never inherited by a program of ours.
    fn flags(self, without: OFlag) -> OFlag {
        (self.flags | OFlag::O_CLOEXEC | OFlag::O_NOCTTY) & !without
    }
}

impl Server {
    /// Answers open(2), openat(2) and creat(2).
    pub(super) fn open(&mut self, thread: i32, path: PathArgument, flags: i32, mode: u32) -> Result<Answer, Errno> {
        let wish = Wish { flags: OFlag::from_bits_retain(flags), mode };
        let absolute = self.absolute(thread, path)?;
        self.open_path(thread, absolute, wish)
    }

    fn open_path(&mut self, thread: i32, mut absolute: Vec<u8>, wish: Wish) -> Result<Answer, Errno> {
        // Where the sandbox has no /proc of its own, /proc/self would be ours, and no mounts hide what the guest may not know of.
        if self.judge.is_alone() {
            match self.known(thread, &absolute, wish.follows())? {
                Known::Descriptor(caller, number) => return self.reopen_descriptor(&caller, number, wish),
                Known::Object(object) => {
                    if wish.has(OFlag::O_CREAT) && wish.has(OFlag::O_EXCL) {
                        return Err(Errno::EEXIST);
                    }
                    return self.open_object(thread, &object, wish);
                }
                Known::Absent { path, hidden: true } => return self.open_hidden(thread, &path, wish),
                Known::Absent { .. } if !wish.creates() => return Err(Errno::ENOENT),
                Known::Absent { path, .. } => {
                    let slash: &[u8] = if absolute.ends_with(b"/") { b"/" } else { b"" };
                    absolute = [path.as_os_str().as_bytes(), slash].concat();
                }
            }
        }
        for _ in 0..TRIES {
            let errno = match self.files.object(&absolute, wish.follows()) {
                Ok(_) if wish.has(OFlag::O_CREAT) && wish.has(OFlag::O_EXCL) => return Err(Errno::EEXIST),
                Ok(object) => return self.open_object(thread, &object, wish),
                Err(errno @ (Errno::ENOENT | Errno::ELOOP)) => errno,
                Err(errno) => return Err(errno),
            };
            // The kernel's count of links is begun anew with each look, so a path with too many is walked and counted as a whole.
            if leads_to_caller(&absolute) || (errno == Errno::ELOOP && wish.follows()) {
                let caller = Caller::of(thread)?;
                match self.files.walk(&caller, &absolute)? {
                    Walked::Descriptor(number) => return self.reopen_descriptor(&caller, number, wish),
                    Walked::Path(path) if path != absolute => {
                        absolute = path;
                        continue;
                    }
                    Walked::Path(_) => {}
                }
            }
            let mut place = self.files.place(&absolute)?;
            match place.link_target() {
                Some(target) if wish.follows() => absolute = beneath(&place, &target),
                None if errno == Errno::ENOENT && wish.creates() => {
                    if place.as_directory {
                        return Err(Errno::EISDIR);
                    }
                    match self.create(thread, &mut place, wish) {
                        // Somebody outside made it meanwhile.
                        Err(Errno::EEXIST) if !wish.has(OFlag::O_EXCL) => {}
                        other => return other,
                    }
                }
                _ => return Err(errno),
            }
        }
        Err(Errno::ELOOP)
    }

    /// What the guest may not know of is not there for it, and cannot be made.
    fn open_hidden(&mut self, thread: i32, path: &Path, wish: Wish) -> Result<Answer, Errno> {
        if wish.creates() {
            let place = self.known_place(thread, path.as_os_str().as_bytes())?;
            self.judge.new_file(thread, &place, directory_of(&place)?)?;
        } else if path.symlink_metadata().is_ok() {
            // For the report alone: the answer is the same either way.
            let _ = self.judge.read(thread, path);
        }
        Err(Errno::ENOENT)
    }

    fn create(&mut self, thread: i32, place: &mut Place, wish: Wish) -> Result<Answer, Errno> {
        let directory = directory_of(place)?;
        self.judge.new_file(thread, place, directory)?;
        self.judge.permits.place_on_host(place)?;
        let mode = wish.mode & !Caller::of(thread)?.umask;
        let flags = wish.flags(OFlag::empty()) | OFlag::O_EXCL | OFlag::O_NOFOLLOW;
        let made = openat(&place.parent, place.name.as_c_str(), flags, Mode::from_bits_truncate(mode));
        let file = made.inspect_err(|errno| self.note_mounts(thread, *errno, &place.path))?;
        if mode & 0o111 != 0 && !self.judge.made.is_own(directory) {
            self.note_executable(&place.path);
        }
        Ok(Answer::Descriptor { file, close_on_exec: wish.has(OFlag::O_CLOEXEC) })
    }

    fn open_object(&mut self, thread: i32, object: &Object, wish: Wish) -> Result<Answer, Errno> {
        let stat = fstat(&object.descriptor)?;
        let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
        if kind == SFlag::S_IFLNK && !wish.has(OFlag::O_PATH) {
            return Err(Errno::ELOOP);
        }
        if kind == SFlag::S_IFDIR && wish.has(OFlag::O_CREAT) {
            return Err(Errno::EISDIR);
        }
        if self.judge.is_alone() && kind == SFlag::S_IFCHR && is_terminal_maker(&stat) {
            return self.make_terminal(thread, object, wish);
        }
        // First: who may change it may read it, so that one question does for both, and who may not is not asked about reading.
        if wish.writes() && self.judge.asks_to_change(thread, &object.path)? {
            self.judge_object(thread, &object.path)?;
        }
        if self.judges_reads {
            self.judge.read(thread, &object.path)?;
            self.judge.permits.is_approved(object)?;
        }
        if let Some(terminal) = self.judge.own_terminal(&object.path) {
            return self.reopen(thread, &own_path(terminal), wish);
        }
        if wish.has(OFlag::O_TMPFILE) {
            self.judge.unnamed(thread, &object.path, facts(object.descriptor.as_fd())?.identity)?;
        } else if wish.writes() {
            self.judge_object(thread, &object.path)?;
            self.judge.list_run_later(&object.path);
        }
        let wish = wish.that_can_be_handed_over(kind).ok_or(Errno::ELOOP)?;
        if kind == SFlag::S_IFCHR && is_controlling_terminal(&stat) {
            return self.open_terminal(thread, wish);
        }
        if kind == SFlag::S_IFIFO && !wish.has(OFlag::O_NONBLOCK) && !wish.has(OFlag::O_PATH) {
            let object = object.descriptor.try_clone().map_err(|_| Errno::EMFILE)?;
            return Ok(Answer::Fifo { object, flags: reopening(wish), close_on_exec: wish.has(OFlag::O_CLOEXEC) });
        }
        // Files alone: a directory of the host's own mounts would lead out of the sandbox.
        let on_host = if kind == SFlag::S_IFREG { self.judge.permits.on_host(object)? } else { None };
        let opened = self.reopen(thread, &on_host.as_ref().unwrap_or(object).reopening(), wish);
        opened.inspect_err(|errno| self.note_mounts(thread, *errno, &object.path))
    }

    /// Opens what a path of our own /proc leads to.
    fn reopen(&self, thread: i32, path: &str, wish: Wish) -> Result<Answer, Errno> {
        // Without O_CREAT the mode counts for unnamed files alone.
        let mode = if wish.has(OFlag::O_TMPFILE) { wish.mode & !Caller::of(thread)?.umask } else { 0 };
        let file = open(path, reopening(wish), Mode::from_bits_truncate(mode))?;
        Ok(Answer::Descriptor { file, close_on_exec: wish.has(OFlag::O_CLOEXEC) })
    }

    /// Opens an open descriptor of the caller once more, as a path of its /proc/self/fd means.
    fn reopen_descriptor(&mut self, caller: &Caller, number: i32, wish: Wish) -> Result<Answer, Errno> {
        let copy = self.descriptor_of(caller.process, number).map_err(|_| Errno::ENOENT)?;
        let path = path_of(&copy)?;
        // What it holds it may open again as it holds it: a file of the host's that it was given as a stream.
        let held = wish.within(OFlag::from_bits_retain(fcntl(&copy, FcntlArg::F_GETFL)?));
        let held = held.filter(|_| self.judge.is_alone());
        let wish = held.unwrap_or(wish);
        if held.is_none() && path.as_os_str().as_bytes().starts_with(b"/") {
            if self.judges_reads {
                self.judge.read(caller.thread, &path)?;
            }
            if wish.writes() {
                self.judge_object(caller.thread, &path)?;
            }
        }
        let stat = fstat(&copy)?;
        let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
        let wish = wish.that_can_be_handed_over(kind).ok_or(Errno::ELOOP)?;
        if kind == SFlag::S_IFCHR && is_controlling_terminal(&stat) {
            return self.open_terminal(caller.thread, wish);
        }
        self.reopen(caller.thread, &own_path(&copy), wish)
    }

    /// A pseudo-terminal of the run's own, among the host's: only what was made here is opened again.
    fn make_terminal(&mut self, thread: i32, object: &Object, wish: Wish) -> Result<Answer, Errno> {
        if wish.has(OFlag::O_PATH) {
            return Err(Errno::EACCES);
        }
        let master = self.reopen(thread, &object.reopening(), wish)?;
        if let Answer::Descriptor { file, .. } = &master {
            let number = terminal_number(file.as_fd())?;
            let node = self.files.object(format!("/dev/pts/{number}").as_bytes(), false)?;
            self.judge.made_terminal(number, node.descriptor)?;
        }
        Ok(master)
    }

    /// /dev/tty means the caller's terminal, and for us would mean our own.
    fn open_terminal(&self, thread: i32, wish: Wish) -> Result<Answer, Errno> {
        let caller = Caller::of(thread)?;
        let number = caller.terminal().ok_or(Errno::ENXIO)?;
        let terminal = self.files.object(format!("/dev/pts/{number}").as_bytes(), false).map_err(|_| Errno::ENXIO)?;
        self.reopen(thread, &terminal.reopening(), wish)
    }

    /// A copy of a descriptor of a guest's process.
    pub(super) fn descriptor_of(&self, process: i32, number: i32) -> Result<OwnedFd, Errno> {
        copy_descriptor(process_descriptor(process)?.as_fd(), number)
    }

    /// May an existing object be changed? Judged by its canonical path and the directory that is in.
    pub(super) fn judge_object(&mut self, thread: i32, path: &Path) -> Result<(), Errno> {
        let above = path.parent().unwrap_or(Path::new("/"));
        // What was removed has no directory any more, and no name that anybody could find it by.
        let Ok(directory) = self.files.object(above.as_os_str().as_bytes(), false) else { return Ok(()) };
        let directory = facts(directory.descriptor.as_fd())?.identity;
        self.judge.name(thread, path, directory).map(drop)
    }

    /// Notes that mounts refused, which the rules explain.
    pub(super) fn note_mounts(&mut self, thread: i32, errno: Errno, path: &Path) {
        if matches!(errno, Errno::EROFS | Errno::EACCES | Errno::EPERM) {
            self.judge.refused_by_mounts(thread, path);
        }
    }

    /// Notes a file that got an execute bit in a folder that is not the guest's own.
    pub(super) fn note_executable(&mut self, path: &Path) {
        self.judge.list_if_kept(path);
    }
}

fn reopening(wish: Wish) -> OFlag {
    // The object is held already: it is neither made nor looked up again. O_TMPFILE contains O_DIRECTORY.
    wish.flags(OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW)
        | if wish.has(OFlag::O_TMPFILE) { wish.flags & OFlag::O_EXCL } else { OFlag::empty() }
}

fn is_controlling_terminal(stat: &FileStat) -> bool {
    major(stat.st_rdev) == 5 && minor(stat.st_rdev) == 0
}

/// /dev/ptmx.
fn is_terminal_maker(stat: &FileStat) -> bool {
    major(stat.st_rdev) == 5 && minor(stat.st_rdev) == 2
}

/// Whether a path may lead through what means the caller: /proc/self, or one of the links to it in /dev.
pub(super) fn leads_to_caller(absolute: &[u8]) -> bool {
    let starts = |with: &[u8]| absolute.starts_with(with);
    starts(b"/proc/") || starts(b"/dev/") || absolute.windows(6).any(|part| part == b"/proc/")
}

/// A link's target, seen from where the link is.
fn beneath(place: &Place, target: &[u8]) -> Vec<u8> {
    if target.starts_with(b"/") {
        return target.to_vec();
    }
    [place.directory().as_os_str().as_bytes(), b"/", target].concat()
}

/// Opens a FIFO, waiting for its other end as long as that takes.
pub(super) fn open_fifo(object: &OwnedFd, flags: OFlag) -> Result<OwnedFd, Errno> {
    open(own_path(object).as_str(), flags, Mode::empty())
}

/// Lets everybody go who waits for the other end of a FIFO.
pub(super) fn release_fifo(object: &OwnedFd) {
    let flags = OFlag::O_RDWR | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    if let Ok(both) = open(own_path(object).as_str(), flags, Mode::empty()) {
        let _ = fcntl(&both, FcntlArg::F_GETFL);
    }
}
