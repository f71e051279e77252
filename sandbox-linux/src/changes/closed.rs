//! Entries of the upper layer that a guest has closed to its own user: noted, then opened, so that they can be read without root.
//!
//! The note comes first and stays: whoever looks at modes asks it, so an end at any moment loses none.

use super::entry::{Facts, Kind, MOST_LEVELS, as_path, directory, handle, names, own_path};
use super::fault;
use super::record::{self, Durable};
use super::stored_path::StoredPath;
use cofferdam_bridge::error::BridgeError;
use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat};
use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

const MODES: &CStr = c"modes.json";

/// Modes as the guest left them, by relative path, where the layer has others now.
pub(crate) type Modes = BTreeMap<PathBuf, u32>;

/// Opens all of the layer `layer` of the change set `set` for its user, and answers it with the modes that the guest had set.
pub(crate) fn open_all(set: &OwnedFd, layer: &CStr, place: &Path) -> Result<(OwnedFd, Modes), BridgeError> {
    let stored: Option<Vec<(StoredPath, u32)>> = record::read(set, MODES, place)?;
    let mut modes: Modes = stored.into_iter().flatten().map(|(path, mode)| (path.0, mode)).collect();
    loop {
        let mut found = Vec::new();
        let failed = |errno| fault::io("cannot look at changes in", place, errno);
        closed_root(set, layer, &mut found).map_err(failed)?;
        if found.is_empty() {
            let upper = directory(set, layer).map_err(failed)?;
            closed(&upper, Path::new(""), 0, &mut found).map_err(failed)?;
            if found.is_empty() {
                return Ok((upper, modes));
            }
        }
        for Closed { path, facts, .. } in &found {
            modes.entry(path.clone()).or_insert(facts.mode);
        }
        let stored: Vec<_> = modes.iter().map(|(path, mode)| (StoredPath::from(path.as_path()), *mode)).collect();
        record::write(set, MODES, &stored, Durable::Yes)
            .and_then(|()| found.iter().try_for_each(Closed::open))
            .map_err(|errno| fault::io("cannot open what the program closed in", place, errno))?;
    }
}

/// An entry that cannot be read.
struct Closed {
    path: PathBuf,
    parent: OwnedFd,
    name: CString,
    facts: Facts,
}

impl Closed {
    fn open(&self) -> Result<(), Errno> {
        let own = handle(&self.parent, &self.name)?;
        let more = if self.facts.is_directory() { 0o700 } else { 0o600 };
        let mode = Mode::from_bits_truncate(self.facts.mode | more);
        fchmodat(AT_FDCWD, own_path(own.as_fd()).as_str(), mode, FchmodatFlags::FollowSymlink)
    }
}

fn closed_root(set: &OwnedFd, layer: &CStr, found: &mut Vec<Closed>) -> Result<(), Errno> {
    let facts = Facts::at(set, layer)?;
    if facts.mode & 0o700 != 0o700 {
        let parent = set.try_clone().map_err(|_| Errno::EMFILE)?;
        found.push(Closed { path: PathBuf::new(), parent, name: layer.to_owned(), facts });
    }
    Ok(())
}

fn closed(folder: &OwnedFd, path: &Path, level: usize, found: &mut Vec<Closed>) -> Result<(), Errno> {
    if level > MOST_LEVELS {
        return Err(Errno::ENAMETOOLONG);
    }
    for name in names(folder)? {
        let facts = Facts::at(folder, &name)?;
        let path = path.join(as_path(&name));
        let needed = match facts.kind {
            Kind::Directory => 0o700,
            Kind::File => 0o400,
            _ => continue,
        };
        if facts.mode & needed != needed {
            found.push(Closed { path, parent: folder.try_clone().map_err(|_| Errno::EMFILE)?, name, facts });
        } else if facts.is_directory() {
            closed(&directory(folder, &name)?, &path, level + 1, found)?;
        }
        if found.len() >= 256 {
            // Each holds a descriptor; the rest is found in the next round.
            return Ok(());
        }
    }
    Ok(())
}
