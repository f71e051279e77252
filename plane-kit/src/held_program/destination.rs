//! Where a path would lead if all of it were there, so that a policy can be asked about it without a word on whether it is.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// Links that a path may follow, as in the kernel (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// The place that `path` (absolute) names: links are followed as far as there are any, the rest is taken as it is written.
pub(super) fn of(path: &Path) -> PathBuf {
    let mut rest = parts(path);
    let mut at = PathBuf::from("/");
    let mut links = 0;
    while let Some(part) = rest.pop_front() {
        if part == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&part);
        match std::fs::read_link(&next) {
            Ok(target) if links < MOST_LINKS => {
                links += 1;
                if target.is_absolute() {
                    at = PathBuf::from("/");
                }
                for part in parts(&target).into_iter().rev() {
                    rest.push_front(part);
                }
            }
            // A file, a directory, nothing, or something that may not be looked at.
            _ => at = next,
        }
    }
    at
}

fn parts(path: &Path) -> VecDeque<OsString> {
    let part = |component: Component<'_>| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    };
    path.components().filter_map(part).collect()
}
