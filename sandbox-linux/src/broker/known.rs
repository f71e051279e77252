//! Where a path leads among the names that the guest may know of.
//!
//! Without mounts every name of the host is there, and a path could be sent through any of them to find out which. So a path is
//! followed only as far as the policy shows what it goes through; the rest of the host answers like what is not there.

use super::call::PathArgument;
use super::caller::Caller;
use super::guest_path::{Object, Place, Walked};
use super::open::leads_to_caller;
use super::serve::Server;
use nix::errno::Errno;
use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What a path leads to.
#[derive(Debug)]
pub(super) enum Known {
    /// Something that the guest may know of.
    Object(Object),
    /// An open descriptor of the caller.
    Descriptor(Caller, i32),
    /// Nothing, or something that the guest may not know of, by its canonical path.
    Absent { path: PathBuf, hidden: bool },
}

impl Server {
    /// Where `absolute` leads. `follow`: also when it ends with a link.
    pub(super) fn known(&self, thread: i32, absolute: &[u8], follow: bool) -> Result<Known, Errno> {
        // A path that ends with a slash means a directory, and a link there the one that it leads to (path_resolution(7)).
        let follow = follow || absolute.ends_with(b"/");
        let absent = |path: &Path| Known::Absent { path: path.to_owned(), hidden: !self.judge.shows(thread, path) };
        let dotted = absolute.split(|byte| *byte == b'/').any(|part| part == b"..");
        if !dotted && !leads_to_caller(absolute) {
            let path: PathBuf = Path::new(OsStr::from_bytes(absolute)).components().collect();
            match self.files.plain_object(absolute, follow) {
                Ok(object) if self.judge.shows(thread, &object.path) => return Ok(Known::Object(object)),
                Ok(_) | Err(Errno::ENOENT) => return Ok(absent(&path)),
                Err(Errno::ELOOP | Errno::EAGAIN) => {}
                // What lies beneath something hidden is as hidden, whatever is wrong with it.
                Err(errno) => return if self.judge.shows(thread, &path) { Err(errno) } else { Ok(absent(&path)) },
            }
        }
        let caller = Caller::of(thread)?;
        let shows = |path: &Path| self.judge.shows(thread, path);
        let path = match self.files.walk_among(&caller, absolute, follow, &shows)? {
            Walked::Descriptor(number) => return Ok(Known::Descriptor(caller, number)),
            Walked::Path(path) => path,
        };
        if !shows(Path::new(OsStr::from_bytes(&path))) {
            return Ok(absent(Path::new(OsStr::from_bytes(&path))));
        }
        let mut whole = path.clone();
        if absolute.ends_with(b"/") {
            // A directory is meant.
            whole.push(b'/');
        }
        match self.files.object(&whole, false) {
            Ok(object) if shows(&object.path) => Ok(Known::Object(object)),
            Ok(_) | Err(Errno::ENOENT) => Ok(absent(Path::new(OsStr::from_bytes(&path)))),
            Err(errno) => Err(errno),
        }
    }

    /// The name that `absolute` ends with. Its directory is one that the guest may know of.
    pub(super) fn known_place(&self, thread: i32, absolute: &[u8]) -> Result<Place, Errno> {
        if !self.judge.is_alone() {
            return self.files.place(absolute);
        }
        let end = absolute.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
        let (trimmed, slashes) = absolute.split_at(end);
        let cut = trimmed.iter().rposition(|byte| *byte == b'/').ok_or(Errno::EEXIST)?;
        let (above, name) = trimmed.split_at(cut + 1);
        match self.known(thread, above, true)? {
            Known::Object(object) => {
                let directory = object.path.as_os_str().as_bytes();
                self.files.place(&[directory, b"/", name, slashes].concat())
            }
            Known::Descriptor(..) => Err(Errno::ENOTDIR),
            Known::Absent { .. } => Err(Errno::ENOENT),
        }
    }

    /// Whether something has the name of `place` that the guest may know of. What is hidden is no more there than what is not: what the
    /// guest may not do in that place is the judge's word, and the same either way.
    pub(super) fn is_known(&self, thread: i32, place: &Place) -> bool {
        self.judge.shows(thread, &place.path)
    }

    /// The absolute form of a path argument, read once.
    pub(super) fn absolute(&self, thread: i32, path: PathArgument) -> Result<Vec<u8>, Errno> {
        let text = super::guest_memory::path(thread, path.address)?;
        self.absolute_of(thread, path, &text)
    }

    /// The absolute form of the text of a path argument.
    pub(super) fn absolute_of(&self, thread: i32, path: PathArgument, text: &CStr) -> Result<Vec<u8>, Errno> {
        Ok(self.judge.moved(self.files.absolute(thread, path, text)?))
    }
}
