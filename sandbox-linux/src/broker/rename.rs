//! rename(2) on behalf of the guest. What is protected stays so, whatever is called what: the file, its directory, or one above it.

use super::call::PathArgument;
use super::guest_path::Place;
use super::judge::{REFUSED, directory_of};
use super::overlay_rename::{self, Became};
use super::permits::host_directory;
use super::raw_call::{Facts, facts_at};
use super::serve::Server;
use nix::errno::Errno;
use nix::fcntl::{OFlag, RenameFlags, openat, renameat2};
use nix::sys::stat::Mode;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Most entries that are looked at when a directory takes the name of one that was there before.
const MOST_ENTRIES: usize = 4096;

/// Most levels of it: a guest can make them as deep as it likes, and each takes a part of the stack and descriptors of the host's.
const MOST_LEVELS: usize = 200;

impl Server {
    /// rename(2), renameat2(2). `wanted` tells whether the caller still waits for it.
    pub(super) fn rename(
        &mut self,
        thread: i32,
        from: PathArgument,
        to: PathArgument,
        flags: u32,
        wanted: &dyn Fn() -> bool,
    ) -> Result<(), Errno> {
        let flags = RenameFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
        if flags.contains(RenameFlags::RENAME_WHITEOUT) {
            return Err(Errno::EPERM);
        }
        let (mut from, mut to) = (self.place(thread, from)?, self.place(thread, to)?);
        if !self.is_known(thread, &from) {
            return Err(Errno::ENOENT);
        }
        let moved = facts_at(from.parent.as_fd(), &from.name)?;
        let replaced = facts_at(to.parent.as_fd(), &to.name).ok().filter(|_| self.is_known(thread, &to));
        if flags.contains(RenameFlags::RENAME_NOREPLACE) && replaced.is_some() {
            return Err(Errno::EEXIST);
        }
        if (from.as_directory || to.as_directory) && !moved.is_directory() {
            return Err(Errno::ENOTDIR);
        }
        self.may_move(thread, &from, &to, &moved)?;
        let exchanged = flags.contains(RenameFlags::RENAME_EXCHANGE).then_some(replaced).flatten();
        if let Some(other) = &exchanged {
            if moved.is_directory() || other.is_directory() {
                // Two directories that change places leave no name vacant and both wrong: seldom wanted, never needed.
                return Err(Errno::EINVAL);
            }
            self.may_move(thread, &to, &from, other)?;
        }
        let asked = [&mut from, &mut to].map(|place| self.judge.permits.place_on_host(place));
        // What enters a place that is asked about by any of its names is what can be changed by another without being asked about.
        // A directory may hold such files. Programs copy then.
        let keeps_names = |one: &Facts| one.is_directory() || one.names > 1;
        let entering = match asked {
            [Ok(false), Ok(true)] => Some(&moved),
            [Ok(true), Ok(false)] => exchanged.as_ref(),
            _ => None,
        };
        if entering.is_some_and(keeps_names) {
            return Err(Errno::EXDEV);
        }
        if asked.contains(&Ok(true)) {
            // Both in the host's own mounts: between two a rename cannot be.
            for (place, asked) in [&mut from, &mut to].into_iter().zip(asked) {
                if !asked? {
                    host_directory(place)?;
                }
            }
        }
        let renamed = renameat2(&from.parent, from.name.as_c_str(), &to.parent, to.name.as_c_str(), flags);
        let became = match renamed {
            Ok(()) => Ok(Became::new()),
            Err(Errno::EXDEV) if self.moves && moved.is_directory() => {
                overlay_rename::rename(&from, &to, flags, wanted)
            }
            Err(errno) => Err(errno),
        };
        let became = became.inspect_err(|errno| {
            let path = if *errno == Errno::EXDEV { &from.path } else { &to.path };
            self.note_mounts(thread, *errno, path);
        })?;
        if moved.is_directory() {
            if let Some(replaced) = replaced.filter(Facts::is_directory) {
                self.judge.made.left(&to.path, replaced.identity, None);
            }
            self.judge.made.left(&from.path, moved.identity, Some(&to.path));
            became.iter().for_each(|(old, new)| self.judge.made.became(*old, *new));
        } else if moved.mode & 0o111 != 0 && !self.judge.made.is_own(directory_of(&to)?) && replaced.is_none() {
            self.note_executable(&to.path);
        }
        Ok(())
    }

    fn may_move(&mut self, thread: i32, from: &Place, to: &Place, moved: &Facts) -> Result<(), Errno> {
        self.judge.entry(thread, from, directory_of(from)?)?;
        if !moved.is_directory() {
            return self.judge.new_file(thread, to, directory_of(to)?);
        }
        self.judge.entry(thread, to, directory_of(to)?)?;
        if !self.judge.made.is_own(moved.identity) {
            self.judge.rename_directory(thread, &from.path, &to.path)?;
        }
        if self.judge.made.is_vacated(&to.path) && !self.judge.made.returns(&to.path, moved.identity) {
            return self.may_replace(thread, from, to);
        }
        if self.judge.made.is_own(moved.identity) {
            self.judge.list_on_the_way(&to.path);
        }
        Ok(())
    }

    /// A directory takes the name of one that was there before the run. It must hold nothing that would be protected there, and is
    /// not the guest's own any more.
    fn may_replace(&mut self, thread: i32, from: &Place, to: &Place) -> Result<(), Errno> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let directory = openat(&from.parent, from.name.as_c_str(), flags, Mode::empty())?;
        let mut left = MOST_ENTRIES;
        if self.holds_nothing_protected(directory, &to.path, &mut left, MOST_LEVELS)? {
            return Ok(());
        }
        self.judge.findings.refused(thread, "filesystem.write", &to.path, None);
        Err(REFUSED)
    }

    fn holds_nothing_protected(
        &mut self,
        directory: OwnedFd,
        path: &Path,
        left: &mut usize,
        levels: usize,
    ) -> Result<bool, Errno> {
        let Some(levels) = levels.checked_sub(1) else { return Ok(false) };
        self.judge.made.disown(super::raw_call::facts(directory.as_fd())?.identity);
        let own = directory.try_clone().map_err(|_| Errno::EMFILE)?;
        let mut entries = nix::dir::Dir::from_fd(directory)?;
        for entry in entries.iter() {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let beneath = path.join(std::ffi::OsStr::new(&*name.to_string_lossy()));
            *left = left.saturating_sub(1);
            if *left == 0 || self.judge.is_taken_away(&beneath) {
                return Ok(false);
            }
            let facts = facts_at(own.as_fd(), name)?;
            if facts.is_directory() {
                let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
                let inner = openat(&own, name, flags, Mode::empty())?;
                if !self.holds_nothing_protected(inner, &beneath, left, levels)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}
