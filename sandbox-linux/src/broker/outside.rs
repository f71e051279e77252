//! What a path is on the host, and whether a call on it would have done there what it was to do.

use super::attempts::Want;
use super::automounts::Automounts;
use nix::unistd::{AccessFlags, access};
use std::ffi::OsStr;
use std::fs::{self, FileType};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Component, Path, PathBuf};

/// A path on the host.
#[derive(Debug)]
pub(super) struct Outside {
    /// Where it leads, as far as that is there.
    pub(super) canonical: PathBuf,
    /// The links on the way there.
    pub(super) links: Vec<PathBuf>,
    /// Whether the name itself leads on to `canonical`, and is not meant as a link.
    pub(super) follows: bool,
    /// Whether something is there.
    pub(super) exists: bool,
    /// Whether this user could do outside what was wanted.
    pub(super) would_do: bool,
    kind: Option<FileType>,
}

impl Outside {
    /// Looks at the host. `None`: what was wanted makes no sense there either.
    pub(super) fn look(want: Want, named: &Path, automounts: &Automounts) -> Option<Self> {
        let entry = matches!(want, Want::Make | Want::Remove);
        let follows = !entry && want != Want::LookAtLink;
        let (canonical, links) = match automounts.walk(named).filter(|_| follows) {
            Some(found) => found,
            None => {
                let (above, links) = automounts.walk(named.parent()?)?;
                (above.join(named.file_name()?), links)
            }
        };
        // Where a link is left at the end, it leads nowhere, or is meant itself.
        let found = fs::symlink_metadata(&canonical).ok();
        if follows && found.as_ref().is_some_and(fs::Metadata::is_symlink) {
            return None;
        }
        let above = canonical.parent().unwrap_or(Path::new("/"));
        let may = |path: &Path, flags: AccessFlags| access(path, flags).is_ok();
        let in_folder = || may(above, AccessFlags::W_OK | AccessFlags::X_OK);
        let exists = found.is_some();
        let (sense, would_do) = match want {
            Want::Look | Want::LookAtLink | Want::Connect => (exists, true),
            Want::Read => (exists, may(&canonical, AccessFlags::R_OK)),
            Want::Change => (exists, may(&canonical, AccessFlags::W_OK)),
            Want::Create if exists => (true, may(&canonical, AccessFlags::W_OK)),
            Want::Create | Want::Make => (!exists, in_folder()),
            Want::Remove => (exists, in_folder()),
            Want::Execute => (exists, may(&canonical, AccessFlags::X_OK)),
        };
        let kind = found.map(|found| found.file_type());
        sense.then_some(Self { canonical, links, follows, exists, would_do, kind })
    }

    pub(super) fn is_directory(&self) -> bool {
        self.kind.is_some_and(|kind| kind.is_dir())
    }

    pub(super) fn is_file(&self) -> bool {
        self.kind.is_some_and(|kind| kind.is_file())
    }

    pub(super) fn is_socket(&self) -> bool {
        self.kind.is_some_and(|kind| kind.is_socket())
    }
}

/// `absolute` without doubled slashes and `.`; with `..` in it, as far as the host can say where it leads.
pub(super) fn tidy(absolute: &[u8], automounts: &Automounts) -> PathBuf {
    let path = Path::new(OsStr::from_bytes(absolute));
    if path.components().any(|part| part == Component::ParentDir)
        && let Some(canonical) = automounts.canonical(path)
    {
        return canonical;
    }
    path.components().fold(PathBuf::new(), |mut normal, part| {
        match part {
            Component::ParentDir => drop(normal.pop()),
            Component::CurDir => {}
            other => normal.push(other),
        }
        normal
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> Automounts {
        Automounts::of_host()
    }

    #[test]
    fn what_is_not_there_outside_either_was_not_refused() {
        assert!(Outside::look(Want::Read, Path::new("/no/such/file"), &host()).is_none());
        assert!(Outside::look(Want::Remove, Path::new("/no-such-file"), &host()).is_none());
        assert!(Outside::look(Want::Make, Path::new("/usr"), &host()).is_none());
    }

    #[test]
    fn a_link_is_followed_where_the_call_follows_it() {
        let read = Outside::look(Want::Read, Path::new("/proc/self"), &host()).unwrap();
        assert_ne!(read.canonical, Path::new("/proc/self"));
        let looked = Outside::look(Want::LookAtLink, Path::new("/proc/self"), &host()).unwrap();
        assert_eq!(looked.canonical, Path::new("/proc/self"));
    }

    #[test]
    fn a_path_is_told_without_what_says_nothing() {
        assert_eq!(tidy(b"//usr/./lib//x", &host()), Path::new("/usr/lib/x"));
        assert_eq!(tidy(b"/no-such/../etc/x", &host()), Path::new("/etc/x"));
    }
}
