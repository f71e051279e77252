//! Where the host mounts on demand: a name looked up there may be asked of another machine.
//!
//! Names come from the guest, and looking one up for it must tell nobody about it. So paths are walked here link by link, and
//! nothing beneath such a place is touched.

use crate::mountinfo;
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// As many links as path_resolution(7) lets a path follow.
const MOST_LINKS: usize = 40;

/// The mounts of this host, and which of them are autofs(5)'s.
#[derive(Debug)]
pub(super) struct Automounts(Vec<(PathBuf, bool)>);

impl Automounts {
    /// Those of now.
    pub(super) fn of_host() -> Self {
        Self::parse(&fs::read("/proc/self/mountinfo").unwrap_or_default())
    }

    fn parse(text: &[u8]) -> Self {
        let whole = mountinfo::mounts(text).filter(|mount| !mount.kind.is_empty());
        Self(whole.map(|mount| (mount.place, mount.kind == b"autofs")).collect())
    }

    /// Whether looking `path` up may mount something. Not where that has happened already: the later mount covers the place.
    fn covers(&self, path: &Path) -> bool {
        let covering = self.0.iter().filter(|(place, _)| path.starts_with(place));
        covering.max_by_key(|(place, _)| place.as_os_str().len()).is_some_and(|(_, automount)| *automount)
    }

    /// Where `path` leads. `None`: to nothing, or to where nothing is looked up.
    pub(super) fn canonical(&self, path: &Path) -> Option<PathBuf> {
        self.walk(path).map(|(canonical, _)| canonical)
    }

    /// The same, with the links on the way.
    pub(super) fn walk(&self, path: &Path) -> Option<(PathBuf, Vec<PathBuf>)> {
        let mut rest = parts(path);
        let mut at = PathBuf::from("/");
        let mut links = Vec::new();
        while let Some(part) = rest.pop() {
            if part == ".." {
                at.pop();
                continue;
            }
            let next = at.join(&part);
            if self.covers(&next) {
                return None;
            }
            // A link is looked at and not followed: what it leads to is walked like everything else.
            if !fs::symlink_metadata(&next).ok()?.is_symlink() {
                at = next;
                continue;
            }
            let target = fs::read_link(&next).ok()?;
            links.push(next);
            if links.len() > MOST_LINKS {
                return None;
            }
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            rest.extend(parts(&target));
        }
        Some((at, links))
    }
}

/// The components of a path, last first.
fn parts(path: &Path) -> Vec<OsString> {
    let telling = path.components().filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
    telling.rev().map(|part| part.as_os_str().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &[u8] = b"22 28 0:20 / /proc rw - proc proc rw\n\
        40 28 0:35 / /no\\040such/net rw,relatime shared:9 - autofs systemd-1 rw,fd=29\n\
        43 40 0:37 / /no\\040such/net/mounted rw - nfs4 server:/x rw\n\
        41 28 0:36 / /home rw shared:1 master:2 - ext4 /dev/sda1 rw\n";

    #[test]
    fn only_places_of_autofs_count() {
        let covers = |path: &str| Automounts::parse(MOUNTS).covers(Path::new(path));
        assert!(covers("/no such/net") && covers("/no such/net/other"));
        assert!(!covers("/no such") && !covers("/proc/self") && !covers("/home/u") && !covers("/no such/network"));
        assert!(!covers("/no such/net/mounted/x"), "what is mounted already may be looked at");
    }

    #[test]
    fn nothing_in_such_a_place_is_looked_up_also_not_by_a_link() {
        let folder = std::env::temp_dir().join(format!("cofferdam-automounts-{}", std::process::id()));
        fs::create_dir_all(folder.join("net/host")).unwrap();
        std::os::unix::fs::symlink("net", folder.join("link")).unwrap();
        let automounts = Automounts(vec![(folder.canonicalize().unwrap().join("net"), true)]);
        let seen = ["net/host", "link/host", "link/../net", "."].map(|path| automounts.canonical(&folder.join(path)));
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(seen.iter().filter(|path| path.is_some()).count(), 1, "{seen:?}");
    }

    #[test]
    fn elsewhere_a_path_leads_where_the_kernel_says() {
        let automounts = Automounts(Vec::new());
        for path in ["/bin/sh", "/usr/../etc/.", "/no/such", "/"] {
            assert_eq!(automounts.canonical(Path::new(path)), Path::new(path).canonicalize().ok(), "{path}");
        }
    }
}
