//! Lists a directory.

use crate::{fault, place};
use cofferdam_bridge::action::{FileList, FileListed, ListedEntry, PathName};
use cofferdam_bridge::error::BridgeError;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

struct Listing {
    entries: Vec<ListedEntry>,
    most: usize,
    truncated: bool,
    unreadable: u64,
}

pub(crate) fn list(asked: &FileList) -> Result<FileListed, BridgeError> {
    if asked.depth == 0 || asked.depth > FileList::DEEPEST || asked.most == 0 || asked.most > FileList::MOST {
        let (depth, most) = (FileList::DEEPEST, FileList::MOST);
        return Err(fault::invalid(format!("`depth` is from 1 to {depth}, and `most` from 1 to {most}")));
    }
    let root = Path::new(&asked.path);
    let names = names(root).map_err(|error| fault::of("listing", &asked.path, &error))?;
    let most = usize::try_from(asked.most).unwrap_or(usize::MAX);
    let mut listing = Listing { entries: Vec::new(), most, truncated: false, unreadable: 0 };
    listing.add(root, names, asked.depth);
    Ok(FileListed::new(listing.entries, listing.truncated, listing.unreadable))
}

/// What `folder` holds, by name.
fn names(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut names = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

impl Listing {
    fn add(&mut self, root: &Path, names: Vec<PathBuf>, depth: u32) {
        for path in names {
            if self.entries.len() >= self.most {
                self.truncated = true;
                return;
            }
            // What is gone meanwhile is not there.
            let Ok(facts) = path.symlink_metadata() else { continue };
            let own = path.strip_prefix(root).unwrap_or(&path);
            let (kind, mode, modified) =
                (place::kind(facts.file_type()), place::mode(&facts), place::modified_ms(&facts));
            let mut entry = ListedEntry::new(name(own), kind, facts.len(), mode, modified);
            entry.target =
                if facts.is_symlink() { fs::read_link(&path).ok().map(|target| name(&target)) } else { None };
            self.entries.push(entry);
            if facts.is_dir() && depth > 1 {
                match names_of(&path) {
                    Some(names) => self.add(root, names, depth - 1),
                    None => self.unreadable += 1,
                }
            }
        }
    }
}

fn names_of(folder: &Path) -> Option<Vec<PathBuf>> {
    names(folder).ok()
}

pub(crate) fn name(path: &Path) -> PathName {
    PathName::new(path.as_os_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use cofferdam_bridge::filesystem::FileKind;

    #[test]
    fn entries_by_name_as_deep_and_as_many_as_asked_for() {
        let root = std::env::temp_dir().join(format!("cofferdam-list-{}", std::process::id()));
        fs::create_dir_all(root.join("a/b/c")).unwrap();
        fs::write(root.join("z"), "12").unwrap();
        std::os::unix::fs::symlink("a", root.join("link")).unwrap();
        fs::write(root.join(std::ffi::OsStr::from_bytes(b"\xff")), "").unwrap();
        let mut asked = FileList::new(root.to_str().unwrap());
        let listed = list(&asked).unwrap();
        let kinds: Vec<_> = listed.entries.iter().map(|entry| entry.kind).collect();
        assert_eq!(kinds, [FileKind::Directory, FileKind::SymbolicLink, FileKind::File, FileKind::File]);
        assert_eq!(listed.entries[1].target, Some(PathName::Path("a".to_owned())));
        assert_eq!(listed.entries[3].name, PathName::PathBase64("/w==".to_owned()));
        asked.depth = 2;
        assert_eq!(list(&asked).unwrap().entries.len(), 5, "a link is not followed");
        asked.most = 2;
        assert!(list(&asked).unwrap().truncated);
        asked.depth = 0;
        assert!(list(&asked).is_err());
        fs::remove_dir_all(&root).unwrap();
    }
}
