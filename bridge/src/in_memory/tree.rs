//! The nodes of a file system in memory, and the walk along a path.

use crate::clock::Timestamp;
use crate::error::BridgeError;
use crate::error_code::ErrorCode;
use std::collections::BTreeMap;

/// As many links as a path may follow (path_resolution(7)).
const MOST_LINKS: u32 = 40;

/// Longest name, in bytes.
const LONGEST_NAME: usize = 255;

/// The root's number.
pub(super) const ROOT: u64 = 1;

/// What a node is.
#[derive(Clone, Debug)]
pub(super) enum Content {
    File(Vec<u8>),
    Directory(BTreeMap<String, u64>),
    Link(String),
}

/// One object; several names may lead to it.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) content: Content,
    pub(super) mode: u32,
    pub(super) links: u64,
    pub(super) accessed: Timestamp,
    pub(super) modified: Timestamp,
}

impl Node {
    pub(super) fn new(content: Content) -> Self {
        let mode = match content {
            Content::File(_) => 0o644,
            Content::Directory(_) => 0o755,
            Content::Link(_) => 0o777,
        };
        Self { content, mode, links: 1, accessed: Timestamp::default(), modified: Timestamp::default() }
    }

    /// Bytes that it counts for.
    pub(super) fn size(&self) -> u64 {
        match &self.content {
            Content::File(bytes) => bytes.len() as u64,
            Content::Link(target) => target.len() as u64,
            Content::Directory(_) => 0,
        }
    }
}

/// All nodes, by number.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    nodes: BTreeMap<u64, Node>,
    last: u64,
}

/// A name in a directory, and what has it.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) directory: u64,
    pub(super) name: String,
    pub(super) node: Option<u64>,
    /// Absolute, without links.
    pub(super) path: String,
}

pub(super) fn error(code: ErrorCode, message: &str) -> BridgeError {
    BridgeError::new(code, message)
}

impl Tree {
    pub(super) fn new() -> Self {
        let mut nodes = BTreeMap::new();
        nodes.insert(ROOT, Node::new(Content::Directory(BTreeMap::new())));
        Self { nodes, last: ROOT }
    }

    pub(super) fn get(&self, number: u64) -> Result<&Node, BridgeError> {
        self.nodes.get(&number).ok_or_else(not_found)
    }

    pub(super) fn get_mut(&mut self, number: u64) -> Result<&mut Node, BridgeError> {
        self.nodes.get_mut(&number).ok_or_else(not_found)
    }

    pub(super) fn count(&self) -> u64 {
        self.nodes.len() as u64
    }

    pub(super) fn bytes(&self) -> u64 {
        self.nodes.values().map(Node::size).sum()
    }

    pub(super) fn entries(&self, number: u64) -> Result<&BTreeMap<String, u64>, BridgeError> {
        match &self.get(number)?.content {
            Content::Directory(entries) => Ok(entries),
            _ => Err(error(ErrorCode::NotADirectory, "a directory was needed where something else is")),
        }
    }

    fn entries_mut(&mut self, number: u64) -> Result<&mut BTreeMap<String, u64>, BridgeError> {
        match &mut self.get_mut(number)?.content {
            Content::Directory(entries) => Ok(entries),
            _ => Err(error(ErrorCode::NotADirectory, "a directory was needed where something else is")),
        }
    }

    /// Puts a new node at a place.
    pub(super) fn insert(&mut self, place: &Place, node: Node) -> Result<u64, BridgeError> {
        self.last += 1;
        let number = self.last;
        self.entries_mut(place.directory)?.insert(place.name.clone(), number);
        self.nodes.insert(number, node);
        Ok(number)
    }

    /// Gives a node another name.
    pub(super) fn attach(&mut self, place: &Place, number: u64) -> Result<(), BridgeError> {
        self.entries_mut(place.directory)?.insert(place.name.clone(), number);
        self.get_mut(number)?.links += 1;
        Ok(())
    }

    /// Takes a name away, and the node with its last one.
    pub(super) fn detach(&mut self, place: &Place) -> Result<(), BridgeError> {
        let number = self.entries_mut(place.directory)?.remove(&place.name).ok_or_else(not_found)?;
        let node = self.get_mut(number)?;
        node.links = node.links.saturating_sub(1);
        if node.links == 0 {
            self.nodes.remove(&number);
        }
        Ok(())
    }

    /// Whether `inner` is `outer` or beneath it.
    pub(super) fn is_within(&self, inner: u64, outer: u64) -> bool {
        if inner == outer {
            return true;
        }
        let Ok(entries) = self.entries(outer) else { return false };
        entries.values().any(|child| self.is_within(inner, *child))
    }

    /// Walks along a path; with `follow`, through a link in the last place, too. A missing last name is no error.
    pub(super) fn place(&self, path: &str, follow: bool) -> Result<Place, BridgeError> {
        self.walk(path, follow)?.map_err(|_| not_found())
    }

    /// As `place`; when a directory on the way is missing, the path so far and the rest of it.
    pub(super) fn walk(&self, path: &str, follow: bool) -> Result<Result<Place, String>, BridgeError> {
        let mut rest = names(path)?;
        let mut links = 0;
        // The way down: each directory with the name that led to it.
        let mut way: Vec<(String, u64)> = Vec::new();
        let here = |way: &[(String, u64)]| way.last().map_or(ROOT, |(_, number)| *number);
        let text = |way: &[(String, u64)]| way.iter().fold(String::new(), |path, (name, _)| path + "/" + name);
        while let Some(name) = rest.pop() {
            if name == ".." {
                way.pop();
                continue;
            }
            let directory = here(&way);
            let node = self.entries(directory)?.get(&name).copied();
            let content = node.map(|node| self.get(node)).transpose()?.map(|node| &node.content);
            match (node, content) {
                (_, Some(Content::Link(target))) if follow || !rest.is_empty() => {
                    links += 1;
                    if links > MOST_LINKS {
                        let message = "the path follows too many symbolic links; they may lead in a circle";
                        return Err(error(ErrorCode::TooManySymbolicLinks, message));
                    }
                    if target.starts_with('/') {
                        way.clear();
                    }
                    rest.extend(names(target)?);
                }
                (Some(node), Some(Content::Directory(_))) if !rest.is_empty() => way.push((name, node)),
                (None, _) if !rest.is_empty() => {
                    rest.push(name);
                    rest.reverse();
                    return Ok(Err(format!("{}/{}", text(&way), rest.join("/"))));
                }
                (node, _) if rest.is_empty() => {
                    let path = format!("{}/{name}", text(&way));
                    return Ok(Ok(Place { directory, name, node, path }));
                }
                _ => return Err(error(ErrorCode::NotADirectory, "something on the way is no directory")),
            }
        }
        // The path ended at a directory by `.` or `..`, or is the root.
        let path = if way.is_empty() { "/".to_owned() } else { text(&way) };
        let (name, node) = way.pop().unwrap_or((String::new(), ROOT));
        Ok(Ok(Place { directory: here(&way), name, node: Some(node), path }))
    }
}

/// The names of a path, last first. Empty ones and `.` lead nowhere.
fn names(path: &str) -> Result<Vec<String>, BridgeError> {
    if path.is_empty() || path.contains('\0') {
        return Err(error(ErrorCode::PathInvalid, "a path is empty or holds a NUL byte"));
    }
    let names: Vec<String> =
        path.split('/').filter(|name| !matches!(*name, "" | ".")).map(str::to_owned).rev().collect();
    if names.iter().any(|name| name.len() > LONGEST_NAME) {
        return Err(error(ErrorCode::PathInvalid, "a name in the path is longer than 255 bytes"));
    }
    Ok(names)
}

pub(super) fn not_found() -> BridgeError {
    error(ErrorCode::NotFound, "there is nothing at that path")
}
