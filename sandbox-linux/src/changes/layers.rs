//! The two trees of a change set: what a run left, and the workspace that it saw.

use super::attribute;
use super::closed::{self, Modes};
use super::entry::{Facts, Kind, as_path, beneath, file, handle, split, without_links};
use super::fault;
use super::record::Record;
use super::store::UPPER;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use nix::errno::Errno;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::hash::{DefaultHasher, Hasher};
use std::io::{BufReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Set-user-id and set-group-id, which no commit sets.
const SET_ID: u32 = 0o6000;

/// Both trees, open.
#[derive(Debug)]
pub(crate) struct Layers {
    pub(crate) upper: OwnedFd,
    pub(crate) lower: OwnedFd,
    modes: Modes,
}

/// What a name in the upper layer means.
#[derive(Debug)]
pub(crate) enum Meaning {
    /// What lies beneath is gone.
    Gone,
    /// A directory whose entries come on top of those beneath.
    Merged(Facts),
    /// An entry that stands for itself.
    Whole(Facts),
}

impl Layers {
    /// Opens the trees of the change set `set`, which `place` names in errors.
    pub(crate) fn open(set: &OwnedFd, record: &Record, place: &Path) -> Result<Self, BridgeError> {
        let (upper, modes) = closed::open_all(set, UPPER, place)?;
        let exchanged = |_| {
            let message = format!(
                "the workspace `{}` is not the directory any more that the run saw; put that back, or discard the changes",
                record.workspace.display()
            );
            BridgeError::new(ErrorCode::ChangesConflict, message)
                .with("path", record.workspace.to_string_lossy().into_owned())
        };
        let lower = without_links(&record.workspace).map_err(exchanged)?;
        let facts = Facts::of(&lower).map_err(exchanged)?;
        if (facts.device, facts.inode) != (record.device, record.inode) {
            return Err(exchanged(Errno::ESTALE));
        }
        Ok(Self { upper, lower, modes })
    }

    /// The facts of an upper entry at `path`, with the mode that it is to have: the guest's, without set-id bits.
    pub(crate) fn upper_facts(&self, folder: impl AsFd, name: &CStr, path: &Path) -> Result<Facts, Errno> {
        Ok(self.as_left(Facts::at(folder, name)?, path))
    }

    /// The facts of the upper layer itself.
    pub(crate) fn upper_root(&self) -> Result<Facts, Errno> {
        Ok(self.as_left(Facts::of(&self.upper)?, Path::new("")))
    }

    fn as_left(&self, mut facts: Facts, path: &Path) -> Facts {
        facts.mode = self.modes.get(path).copied().unwrap_or(facts.mode) & !SET_ID;
        facts
    }

    /// What the upper entry `name` of `folder` means, which is at `path`.
    pub(crate) fn meaning(&self, folder: &OwnedFd, name: &CStr, path: &Path) -> Result<Meaning, BridgeError> {
        let failed = |errno| fault::io("cannot look at the change", path, errno);
        let facts = self.upper_facts(folder, name, path).map_err(failed)?;
        let own = handle(folder, name).map_err(failed)?;
        let note = |name: &CStr| attribute::get(&own, name).map_err(failed);
        match facts.kind {
            Kind::Whiteout => Ok(Meaning::Gone),
            Kind::Device => Err(fault::damaged("a device, which no run can have made", path)),
            Kind::File if facts.size == 0 && note(attribute::WHITEOUT)?.is_some() => Ok(Meaning::Gone),
            Kind::File if note(attribute::METACOPY)?.is_some() => {
                Err(fault::damaged("a file without its contents", path))
            }
            Kind::Directory if note(attribute::REDIRECT)?.is_some() => {
                Err(fault::damaged("a directory that leads elsewhere", path))
            }
            Kind::Directory if note(attribute::OPAQUE)?.as_deref() != Some(b"y") => Ok(Meaning::Merged(facts)),
            _ => Ok(Meaning::Whole(facts)),
        }
    }

    /// Whether an upper file was copied up from beneath, rather than made anew.
    pub(crate) fn is_copied_up(&self, path: &Path) -> bool {
        let found = split(path).and_then(|(parent, name)| handle(beneath(&self.upper, parent)?, &name));
        found.is_ok_and(|own| matches!(attribute::get(own, attribute::ORIGIN), Ok(Some(_))))
    }

    /// Whether two regular files hold the same bytes. What cannot be read is not the same.
    pub(crate) fn same_contents(&self, upper: &Path, lower: &Path) -> bool {
        let open = |root: &OwnedFd, path: &Path| -> Result<File, Errno> {
            let (parent, name) = split(path)?;
            file(beneath(root, parent)?, &name).map(File::from)
        };
        match (open(&self.upper, upper), open(&self.lower, lower)) {
            (Ok(one), Ok(other)) => same_bytes(one, other).unwrap_or(false),
            _ => false,
        }
    }

    /// Whether two entries have the same extended attributes, as far as they are carried over.
    pub(crate) fn same_attributes(&self, path: &Path) -> bool {
        let of = |root: &OwnedFd| -> Result<_, Errno> {
            let (parent, name) = split(path)?;
            carried(handle(beneath(root, parent)?, &name)?)
        };
        matches!((of(&self.upper), of(&self.lower)), (Ok(one), Ok(other)) if one == other)
    }
}

/// The extended attributes that a commit carries over: the user's and access lists, not overlayfs's notes.
pub(crate) fn carried(object: impl AsFd) -> Result<BTreeMap<CString, Vec<u8>>, Errno> {
    let mut found = BTreeMap::new();
    for name in attribute::list(&object)? {
        let bytes = name.to_bytes();
        // Neither overlayfs's notes nor what a guest set in their name, which overlayfs would take for its own later.
        let carried = bytes.starts_with(b"user.") || bytes.starts_with(b"system.posix_acl_");
        if !carried || bytes.starts_with(attribute::OWN) {
            continue;
        }
        if let Some(value) = attribute::get(&object, &name)? {
            found.insert(name, value);
        }
    }
    Ok(found)
}

/// A number that files with the same contents share, and others hardly ever; none of what cannot be read.
pub(crate) fn digest(root: &OwnedFd, path: &Path) -> Option<u64> {
    let (parent, name) = split(path).ok()?;
    let mut file = File::from(file(beneath(root, parent).ok()?, &name).ok()?);
    let (mut hasher, mut buffer) = (DefaultHasher::new(), vec![0_u8; 1 << 16]);
    loop {
        let got = fill(&mut file, &mut buffer).ok()?;
        if got == 0 {
            return Some(hasher.finish());
        }
        hasher.write(buffer.get(..got)?);
    }
}

fn same_bytes(one: File, other: File) -> std::io::Result<bool> {
    let (mut one, mut other) = (BufReader::with_capacity(1 << 16, one), BufReader::with_capacity(1 << 16, other));
    let (mut left, mut right) = (vec![0_u8; 1 << 16], vec![0_u8; 1 << 16]);
    loop {
        let got = fill(&mut one, &mut left)?;
        let same = fill(&mut other, &mut right)?;
        if got != same || left.get(..got) != right.get(..same) {
            return Ok(false);
        }
        if got == 0 {
            return Ok(true);
        }
    }
}

fn fill(from: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match from.read(rest) {
            Ok(0) => break,
            Ok(got) => filled += got,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The path of an entry beneath `path`.
pub(crate) fn child(path: &Path, name: &CStr) -> std::path::PathBuf {
    path.join(as_path(name))
}
