//! Which directories the guest made itself during the run, and which names directories had that it did not make.
//!
//! What is protected in a folder that was there before may be made in a folder of the guest's own (a clone, an unpacked
//! archive). A folder that takes the name of one that was there before is not the guest's own: the user, or a tool, would take it
//! for the old one.

use super::raw_call::Identity;
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

/// The memory of one execution.
#[derive(Debug, Default)]
pub(crate) struct Made {
    directories: HashSet<Identity>,
    vacated: BTreeMap<PathBuf, Identity>,
}

impl Made {
    /// Whether the guest made this directory.
    pub(crate) fn is_own(&self, directory: Identity) -> bool {
        self.directories.contains(&directory)
    }

    /// Whether `path` is, or lies beneath, a name that a directory of the host's had.
    pub(crate) fn is_vacated(&self, path: &Path) -> bool {
        path.ancestors().any(|place| self.vacated.contains_key(place))
    }

    /// Whether `path` is the name that just this directory had.
    pub(crate) fn returns(&self, path: &Path, directory: Identity) -> bool {
        self.vacated.get(path) == Some(&directory)
    }

    /// The guest made a directory at `path`.
    pub(crate) fn made(&mut self, path: &Path, directory: Identity) {
        if !self.is_vacated(path) {
            self.directories.insert(directory);
        }
    }

    /// A directory left `path`: renamed to `to`, or removed.
    pub(crate) fn left(&mut self, path: &Path, directory: Identity, to: Option<&Path>) {
        if self.directories.contains(&directory) {
            if to.is_none() {
                // Its number may be used again, for a directory that is not the guest's.
                self.directories.remove(&directory);
            }
            return;
        }
        // One that has moved before is not at the name it had when the run began.
        let displaced = self.vacated.values().any(|displaced| *displaced == directory);
        if let Some(to) = to {
            self.moved(path, to);
            if self.returns(to, directory) {
                self.vacated.remove(to);
            }
        }
        if !displaced {
            self.vacated.entry(path.to_path_buf()).or_insert(directory);
        }
    }

    /// A directory is another one now, with the same contents under the same name: where one rename(2) would not do.
    pub(crate) fn became(&mut self, old: Identity, new: Identity) {
        if self.directories.remove(&old) {
            self.directories.insert(new);
        }
        self.vacated.values_mut().filter(|directory| **directory == old).for_each(|directory| *directory = new);
    }

    /// Names that were vacated beneath a directory stay so under its new name.
    fn moved(&mut self, from: &Path, to: &Path) {
        let beneath = |(place, directory): (&PathBuf, &Identity)| {
            let rest = place.strip_prefix(from).ok().filter(|rest| !rest.as_os_str().is_empty())?;
            Some((to.join(rest), *directory))
        };
        let renamed: Vec<_> = self.vacated.iter().filter_map(beneath).collect();
        self.vacated.extend(renamed);
    }

    /// The directory is not the guest's own any more: it stands where one of the host's stood.
    pub(crate) fn disown(&mut self, directory: Identity) {
        self.directories.remove(&directory);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::raw_call::facts;
    use std::os::fd::AsFd;

    fn identity(path: &str) -> Identity {
        facts(std::fs::File::open(path).unwrap().as_fd()).unwrap().identity
    }

    #[test]
    fn a_name_that_was_the_host_s_stays_so_until_its_directory_returns() {
        let (mut made, old, new) = (Made::default(), identity("/usr"), identity("/etc"));
        let (here, there) = (Path::new("/w/repo"), Path::new("/w/other"));
        made.left(here, old, Some(there));
        made.made(here, new);
        assert!(!made.is_own(new));
        assert!(made.is_vacated(Path::new("/w/repo/.git/hooks")));
        assert!(made.returns(here, old));
        made.left(there, old, Some(here));
        assert!(!made.is_vacated(here) && !made.is_vacated(there));
    }

    #[test]
    fn a_vacated_name_stays_so_when_its_parent_is_renamed_to_and_fro() {
        let (mut made, repository, parent, new) =
            (Made::default(), identity("/usr"), identity("/var"), identity("/etc"));
        made.left(Path::new("/w/a/repo"), repository, Some(Path::new("/w/x")));
        made.left(Path::new("/w/a"), parent, Some(Path::new("/w/c")));
        made.made(Path::new("/w/c/repo"), new);
        assert!(!made.is_own(new));
    }

    #[test]
    fn a_directory_that_is_moved_by_making_another_stays_the_same_to_us() {
        let (mut made, old, own, new) = (Made::default(), identity("/usr"), identity("/var"), identity("/etc"));
        made.left(Path::new("/w/a"), old, Some(Path::new("/w/b")));
        made.became(old, new);
        assert!(made.returns(Path::new("/w/a"), new) && !made.is_own(new));
        made.made(Path::new("/w/own"), own);
        made.became(own, identity("/dev"));
        assert!(made.is_own(identity("/dev")) && !made.is_own(own));
    }

    #[test]
    fn what_the_guest_made_it_may_rename_and_make_again() {
        let (mut made, own) = (Made::default(), identity("/usr"));
        made.made(Path::new("/w/new"), own);
        made.left(Path::new("/w/new"), own, Some(Path::new("/w/newer")));
        assert!(made.is_own(own) && !made.is_vacated(Path::new("/w/new")));
    }
}
