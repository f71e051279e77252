//! Resolves a rule's path on the host: the object it names now, and the symbolic links on the way to it.

use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::path_pattern::CompiledPattern;
use cofferdam_bridge::profile::{PathPattern, PathRule};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// A host object under its canonical path.
#[derive(Clone, Debug)]
pub(crate) struct Resolved {
    pub(crate) path: PathBuf,
    pub(crate) links: Vec<(PathBuf, PathBuf)>,
    pub(crate) directory: bool,
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

/// What a rule's path leads to now.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    /// An object.
    Object(Resolved),
    /// Nothing yet; the canonical path it would have, if it were made, and the links on the way there.
    Absent(PathBuf, Vec<(PathBuf, PathBuf)>),
}

/// As many links as path_resolution(7) lets a path follow.
const MOST_LINKS: usize = 40;

/// Most objects that one pattern may name when it is expanded.
const MOST_MATCHES: usize = 4096;

impl Found {
    /// The object, if there is one.
    pub(crate) fn object(self) -> Option<Resolved> {
        match self {
            Self::Object(object) => Some(object),
            Self::Absent(..) => None,
        }
    }

    /// Its canonical path.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Object(object) => &object.path,
            Self::Absent(place, _) => place,
        }
    }

    /// The links on the way to it, and what each points to.
    pub(crate) fn links(&self) -> &[(PathBuf, PathBuf)] {
        match self {
            Self::Object(object) => &object.links,
            Self::Absent(_, links) => links,
        }
    }
}

/// Looks at each host directory once, however many rules lead through it.
#[derive(Debug, Default)]
pub(crate) struct Resolver {
    directories: HashMap<PathBuf, Option<Found>>,
}

impl Resolver {
    /// Where `path` leads: as `walk`, but what was found out about a directory is used for all that is in it.
    fn resolve(&mut self, path: &Path) -> Option<Found> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return walk(path) };
        let above = match self.directories.get(parent) {
            Some(known) => known.clone(),
            None => {
                let found = self.resolve(parent);
                self.directories.insert(parent.to_path_buf(), found.clone());
                found
            }
        };
        let object = match above? {
            Found::Object(object) => object,
            Found::Absent(place, links) => return Some(Found::Absent(place.join(name), links)),
        };
        let place = object.path.join(name);
        match fs::symlink_metadata(&place) {
            Err(_) => Some(Found::Absent(place, object.links)),
            Ok(metadata) if metadata.is_symlink() => walk(path),
            Ok(metadata) => Some(Found::Object(Resolved::new(place, object.links, &metadata))),
        }
    }
}

impl Resolved {
    fn new(path: PathBuf, links: Vec<(PathBuf, PathBuf)>, metadata: &Metadata) -> Self {
        Self { path, links, directory: metadata.is_dir(), device: metadata.dev(), inode: metadata.ino() }
    }
}

/// What is at `path`. The root stands for the directories in it, since the sandbox has a root of its own.
pub(crate) fn literal(path: &Path, resolver: &mut Resolver) -> Vec<Found> {
    if path == Path::new("/") {
        return children(path, |_| true).iter().filter_map(|child| resolver.resolve(child)).collect();
    }
    resolver.resolve(path).into_iter().collect()
}

/// The objects that a pattern with wildcards names now. A pattern that allows must be bounded: `**` would need a walk of
/// the whole tree at each start, so it is refused where it allows (it may deny: that is decided when a name is used).
pub(crate) fn glob(pattern: &str, rule: &PathRule, resolver: &mut Resolver) -> Result<Vec<Resolved>, BridgeError> {
    if pattern.split('/').any(|part| part == "**") {
        let message = format!(
            "`{}` ({}) allows by `**`, which would need a walk of the whole tree at each start; name the directory itself, which covers all beneath it",
            rule.rule.text,
            rule.rule.place()
        );
        return Err(BridgeError::new(ErrorCode::UnsupportedBackendFeature, message).with("pattern", pattern));
    }
    let mut places = vec![PathBuf::from("/")];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        let mut next = Vec::new();
        for place in &places {
            if part.contains(['*', '?', '[', '\\']) {
                // A pattern that is none names nothing.
                let pattern = CompiledPattern::new(&PathPattern::Glob(format!("/{part}"))).ok();
                let named = |name: &str| pattern.as_ref().is_some_and(|own| own.matches(&format!("/{name}")));
                next.extend(children(place, |name| name.to_str().is_some_and(named)));
            } else {
                next.push(place.join(part));
            }
            if next.len() > MOST_MATCHES {
                let message =
                    format!("`{}` names more than {MOST_MATCHES} objects; name their directory", rule.rule.text);
                return Err(BridgeError::new(ErrorCode::UnsupportedBackendFeature, message).with("pattern", pattern));
            }
        }
        places = next;
    }
    let found = places.iter().filter_map(|place| resolver.resolve(place));
    Ok(found.filter_map(Found::object).collect())
}

/// `pattern` with the directories before its first wildcard made canonical.
pub(crate) fn canonical_pattern(pattern: &str, resolver: &mut Resolver) -> String {
    let wild = |part: &str| part.contains(['*', '?', '[', '\\']);
    let parts: Vec<&str> = pattern.split('/').filter(|part| !part.is_empty()).collect();
    let first = parts.iter().position(|part| wild(part)).unwrap_or(parts.len());
    let (before, after) = parts.split_at(first);
    let literal = PathBuf::from(format!("/{}", before.join("/")));
    let found = if before.is_empty() { None } else { resolver.resolve(&literal) };
    let canonical = found.and_then(|found| found.path().to_str().map(escaped)).unwrap_or_else(|| escaped_join(before));
    format!("{}/{}", canonical.trim_end_matches('/'), after.join("/"))
}

/// `path` as a pattern that matches just it.
fn escaped(path: &str) -> String {
    path.chars().fold(String::with_capacity(path.len()), |mut text, character| {
        if matches!(character, '*' | '?' | '[' | '\\') {
            text.push('\\');
        }
        text.push(character);
        text
    })
}

fn escaped_join(parts: &[&str]) -> String {
    if parts.is_empty() { String::new() } else { escaped(&format!("/{}", parts.join("/"))) }
}

/// The entries of `directory` that `wanted` takes by their names, in the order of these.
fn children(directory: &Path, wanted: impl Fn(&OsStr) -> bool) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten().filter(|entry| wanted(&entry.file_name()));
    let mut found: Vec<_> = entries.map(|entry| entry.path()).collect();
    found.sort();
    found
}

/// Walks `path` component by component, as the kernel would, and notes each link. `None`: it leads nowhere that could be
/// made, by too many links or by `..` behind a name that is not there.
fn walk(path: &Path) -> Option<Found> {
    let mut links = Vec::new();
    let mut rest: Vec<PathBuf> = parts(path);
    let mut at = PathBuf::from("/");
    let mut last: Option<Metadata> = None;
    while let Some(part) = rest.pop() {
        if part == Path::new("..") {
            at.pop();
            last = None;
            continue;
        }
        let place = at.join(&part);
        let Ok(metadata) = fs::symlink_metadata(&place) else {
            rest.reverse();
            let possible = !rest.iter().any(|part| part == Path::new(".."));
            return possible.then(|| Found::Absent(rest.iter().fold(place, |place, part| place.join(part)), links));
        };
        if metadata.is_symlink() {
            let target = fs::read_link(&place).ok()?;
            links.push((place, target.clone()));
            if links.len() > MOST_LINKS {
                return None;
            }
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            rest.extend(parts(&target));
        } else {
            at = place;
            last = Some(metadata);
        }
    }
    let metadata = match last {
        Some(metadata) => metadata,
        None => fs::symlink_metadata(&at).ok()?,
    };
    Some(Found::Object(Resolved::new(at, links, &metadata)))
}

/// The components of a path, last first.
fn parts(path: &Path) -> Vec<PathBuf> {
    let normal = path.components().filter_map(|component| match component {
        Component::Normal(part) => Some(PathBuf::from(part)),
        Component::ParentDir => Some(PathBuf::from("..")),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    });
    let mut parts: Vec<_> = normal.collect();
    parts.reverse();
    parts
}
