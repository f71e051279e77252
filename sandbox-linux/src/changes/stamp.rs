//! What a workspace was like before a run: enough to tell later whether the host has changed an entry since.
//!
//! An entry is told by its inode and by the time of its last change (ctime), which no program can set. File systems keep that time
//! in steps of up to a timer tick (some in whole seconds): two changes within one step look alike. So entries that changed within the
//! last step are looked at again once that is over, as git does with its index ("racy git"): a change that comes later then has a
//! later time. Directories are told by inode and mode alone; what is in them is told by itself.

use super::entry::{Facts, Kind, MOST_LEVELS, Time, as_path, beneath, directory, file, names, split};
use super::record::{Durable, write_bytes};
use nix::errno::Errno;
use nix::time::{ClockId, clock_gettime};
use std::collections::BTreeMap;
use std::ffi::{CStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// The name of the stamp in a change set.
const STAMP: &CStr = c"stamp";

/// First bytes of the file; they change with its format.
const MAGIC: &[u8; 8] = b"cofstmp1";

/// Longest step of a clock, with room: the slowest timer of Linux ticks a hundred times a second.
const STEP_NANOSECONDS: i64 = 20_000_000;

/// Longest step of a file system that keeps no fractions of seconds (FAT: two).
const SECONDS_STEP: i64 = 2;

/// How often entries are looked at again that keep changing meanwhile.
const LOOKS: usize = 4;

/// One entry as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    kind: u8,
    mode: u32,
    inode: u64,
    changed: Time,
}

impl Mark {
    /// The mark of an entry.
    pub(crate) fn of(facts: &Facts) -> Self {
        let kind = match facts.kind {
            Kind::File => 1,
            Kind::Directory => 2,
            Kind::Link => 3,
            Kind::Fifo => 4,
            Kind::Socket => 5,
            Kind::Whiteout => 6,
            Kind::Device => 7,
        };
        // A directory changes with each name in it.
        let changed = if facts.is_directory() { (0, 0) } else { facts.changed };
        Self { kind, mode: facts.mode, inode: facts.inode, changed }
    }

    /// Whether it was a directory.
    pub(crate) fn is_directory(&self) -> bool {
        self.kind == 2
    }
}

/// A whole workspace as it was, by relative path. The workspace itself is the empty path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stamp {
    marks: BTreeMap<PathBuf, Mark>,
}

impl Stamp {
    /// Looks at all of `workspace`, which is open for listing.
    pub(crate) fn take(workspace: &OwnedFd) -> Result<Self, Errno> {
        let (mut stamp, mut racy) = (Self::default(), Vec::new());
        stamp.marks.insert(PathBuf::new(), Mark::of(&Facts::of(workspace)?));
        stamp.walk(workspace, Path::new(""), 0, &mut racy)?;
        for _ in 0..LOOKS {
            if racy.is_empty() {
                break;
            }
            wait_past(racy.iter().map(|(_, changed)| *changed).max());
            let again = std::mem::take(&mut racy);
            for (path, _) in again {
                stamp.look_again(workspace, path, &mut racy)?;
            }
        }
        Ok(stamp)
    }

    fn walk(
        &mut self,
        folder: &OwnedFd,
        path: &Path,
        level: usize,
        racy: &mut Vec<(PathBuf, Time)>,
    ) -> Result<(), Errno> {
        if level > MOST_LEVELS {
            return Err(Errno::ENAMETOOLONG);
        }
        for name in names(folder)? {
            let facts = match Facts::if_there(folder, &name) {
                Ok(Some(facts)) => facts,
                Ok(None) => continue,
                // It may be listed, and no more; as below.
                Err(Errno::EACCES) => return Ok(()),
                Err(errno) => return Err(errno),
            };
            let path = path.join(as_path(&name));
            if facts.is_directory() {
                match directory(folder, &name) {
                    Ok(inner) => self.walk(&inner, &path, level + 1, racy)?,
                    // The guest cannot look into it either; what is in it counts as unknown, and so as changed.
                    Err(Errno::EACCES) => {}
                    Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => continue,
                    Err(errno) => return Err(errno),
                }
            } else if is_racy(facts.changed) {
                racy.push((path.clone(), facts.changed));
            }
            self.marks.insert(path, Mark::of(&facts));
        }
        Ok(())
    }

    fn look_again(&mut self, workspace: &OwnedFd, path: PathBuf, racy: &mut Vec<(PathBuf, Time)>) -> Result<(), Errno> {
        let (parent, name) = split(&path)?;
        let facts = match beneath(workspace, parent) {
            Ok(parent) => Facts::if_there(parent, &name)?,
            Err(_) => None,
        };
        match facts {
            None => drop(self.marks.remove(&path)),
            Some(facts) => {
                self.marks.insert(path.clone(), Mark::of(&facts));
                if is_racy(facts.changed) {
                    racy.push((path, facts.changed));
                }
            }
        }
        Ok(())
    }

    /// What was at `path`.
    pub(crate) fn at(&self, path: &Path) -> Option<&Mark> {
        self.marks.get(path)
    }

    /// Everything that was beneath `path`.
    pub(crate) fn beneath<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = &'a Path> {
        let after = self.marks.range(path.to_owned()..).map(|(place, _)| place.as_path());
        after.take_while(move |place| place.starts_with(path)).filter(move |place| *place != path)
    }

    /// Notes that `path` is now as `facts` tell, by our own doing.
    pub(crate) fn renew(&mut self, path: &Path, facts: &Facts) {
        self.marks.insert(path.to_owned(), Mark::of(facts));
    }

    /// Writes it into a change set.
    pub(crate) fn write(&self, folder: impl AsFd, durable: Durable) -> Result<(), Errno> {
        let mut bytes = MAGIC.to_vec();
        for (path, mark) in &self.marks {
            let name = path.as_os_str().as_bytes();
            let length = u32::try_from(name.len()).map_err(|_| Errno::ENAMETOOLONG)?;
            bytes.push(mark.kind);
            bytes.extend_from_slice(&mark.mode.to_le_bytes());
            bytes.extend_from_slice(&mark.inode.to_le_bytes());
            bytes.extend_from_slice(&mark.changed.0.to_le_bytes());
            bytes.extend_from_slice(&mark.changed.1.to_le_bytes());
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(name);
        }
        write_bytes(folder, STAMP, &bytes, durable)
    }

    /// Reads it; none where it is not there or not whole.
    pub(crate) fn read(folder: impl AsFd) -> Result<Option<Self>, Errno> {
        let mut bytes = Vec::new();
        match file(folder, STAMP) {
            Ok(stamp) => File::from(stamp)
                .read_to_end(&mut bytes)
                .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))?,
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno) => return Err(errno),
        };
        Ok(Self::parse(&bytes))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(MAGIC)?;
        let mut stamp = Self::default();
        while !rest.is_empty() {
            let kind = *take(&mut rest, 1)?.first()?;
            let mode = u32::from_le_bytes(take(&mut rest, 4)?.try_into().ok()?);
            let inode = u64::from_le_bytes(take(&mut rest, 8)?.try_into().ok()?);
            let seconds = i64::from_le_bytes(take(&mut rest, 8)?.try_into().ok()?);
            let nanoseconds = i64::from_le_bytes(take(&mut rest, 8)?.try_into().ok()?);
            let length = u32::from_le_bytes(take(&mut rest, 4)?.try_into().ok()?);
            let name = take(&mut rest, usize::try_from(length).ok()?)?;
            let mark = Mark { kind, mode, inode, changed: (seconds, nanoseconds) };
            stamp.marks.insert(OsString::from_vec(name.to_vec()).into(), mark);
        }
        Some(stamp)
    }
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (part, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(part)
}

/// The clock that file systems take their times from: it moves on with the timer's tick.
fn now() -> Time {
    clock_gettime(ClockId::CLOCK_REALTIME_COARSE).map_or((i64::MAX, 0), |now| (now.tv_sec(), now.tv_nsec()))
}

/// Whether a change that comes now could get the time that the last one has.
fn is_racy(changed: Time) -> bool {
    let now = now();
    if changed.1 == 0 {
        return changed.0 <= now.0 && now.0 - changed.0 <= SECONDS_STEP;
    }
    let age = (now.0 - changed.0).saturating_mul(1_000_000_000).saturating_add(now.1 - changed.1);
    // What lies far ahead was stamped under another clock; now comes before it, and so tells itself from it.
    (-STEP_NANOSECONDS..=STEP_NANOSECONDS).contains(&age)
}

/// Waits until changes get a later time than `last`.
fn wait_past(last: Option<Time>) {
    let Some(last) = last else { return };
    for _ in 0..3000 {
        if !is_racy(last) {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::changes::entry::without_links;
    use crate::changes::testing::Folder;
    use std::fs;

    #[test]
    fn it_is_read_as_it_was_written() {
        let (folder, notes) = (Folder::new(), Folder::new());
        fs::create_dir_all(folder.join("a/b")).unwrap();
        fs::write(folder.join("a/b/c\n"), "x").unwrap();
        let stamp = Stamp::take(&without_links(folder.path()).unwrap()).unwrap();
        let place = without_links(notes.path()).unwrap();
        stamp.write(&place, Durable::Yes).unwrap();
        assert_eq!(Stamp::read(&place).unwrap().unwrap(), stamp);
        assert_eq!(stamp.beneath(Path::new("a")).collect::<Vec<_>>(), [Path::new("a/b"), Path::new("a/b/c\n")]);
        fs::write(notes.join("stamp"), b"cofstmp1\x01").unwrap();
        assert_eq!(Stamp::read(&place).unwrap(), None);
    }

    #[test]
    fn a_change_in_the_moment_after_the_stamp_is_told_from_one_in_the_moment_before() {
        let folder = Folder::new();
        let workspace = without_links(folder.path()).unwrap();
        for round in 0..20 {
            fs::write(folder.join("file"), format!("{round:04}")).unwrap();
            let stamp = Stamp::take(&workspace).unwrap();
            assert_eq!(stamp, Stamp::take(&workspace).unwrap(), "nothing has changed");
            fs::write(folder.join("file"), format!("{:04}", round + 1000)).unwrap();
            let facts = Facts::at(&workspace, c"file").unwrap();
            assert_ne!(stamp.at(Path::new("file")), Some(&Mark::of(&facts)), "round {round}");
        }
    }
}
