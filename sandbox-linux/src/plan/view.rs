//! From the profile's rules to what will be seen: which host objects appear where, and how.
//!
//! Rules are resolved against the host once, here, by the kernel's own path walk; each object is remembered by device and
//! inode, and the launcher refuses to mount anything else under its name.

use crate::plan::resolve::{self, Found, Resolved, Resolver};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::profile::{ExecutionProfile, PathEffect, PathRule, Temporary};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What a path offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Nothing.
    None,
    /// Reading.
    Read,
    /// Reading and writing.
    Write,
}

/// What stands at a path of the new root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// A host object.
    Bind { access: Access, executable: bool, directory: bool, device: u64, inode: u64 },
    /// A host object hidden.
    Mask { directory: bool },
    /// A hidden directory in which something is visible again.
    Hollow,
    /// Private temporary storage.
    Temporary { executable: bool },
    /// A file of the sandbox's own, to be read.
    Planted { contents: String },
}

/// The whole view: nodes by absolute path, and symbolic links on the way to them.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    pub(crate) nodes: BTreeMap<PathBuf, Node>,
    pub(crate) links: BTreeMap<PathBuf, PathBuf>,
    /// The profile's rules about canonical paths: what a name inside is decided by.
    pub(crate) rules: Vec<PathRule>,
}

/// Where private temporary storage stands inside.
pub(crate) const TEMPORARY: &str = "/tmp";

/// Paths that the launcher makes itself; no rule puts a host directory there.
const OWN: [&str; 3] = ["/proc", "/dev", "/sys"];

type Effects = BTreeMap<PathBuf, PathEffect>;
type Executables = BTreeMap<PathBuf, bool>;

impl View {
    /// Works out the view of `profile` on this host.
    pub(crate) fn new(profile: &ExecutionProfile) -> Result<Self, BridgeError> {
        let mut view = Self::default();
        let mut objects = BTreeMap::new();
        let mut resolver = Resolver::default();
        let effects = view.effects(profile, &mut objects, &mut resolver)?;
        let executables = view.executables(profile, &mut objects, &mut resolver);
        if profile.filesystem.temporary == Temporary::Private {
            let executable = nearest(&executables, Path::new(TEMPORARY)).copied().unwrap_or(false);
            view.nodes.insert(TEMPORARY.into(), Node::Temporary { executable });
            objects.remove(Path::new(TEMPORARY));
        }
        for (path, object) in &objects {
            view.place(path, object, &effects, &executables);
        }
        view.check_programs(profile, &executables, &mut resolver)?;
        Ok(view)
    }

    /// A program named by `commands.allow` must be out of the guest's reach: what it wrote there would run under the name. The kernel
    /// refuses what rules alone show; links and which path is a file are known only here.
    fn check_programs(
        &self,
        profile: &ExecutionProfile,
        executables: &Executables,
        resolver: &mut Resolver,
    ) -> Result<(), BridgeError> {
        for rule in &profile.commands.allow {
            for object in resolve::literal(Path::new(&rule.prefix), resolver).into_iter().filter_map(Found::object) {
                let around = object.path.parent().and_then(|parent| nearest(executables, parent)).copied();
                if object.directory || around == Some(true) || self.access(&object.path) != Access::Write {
                    continue;
                }
                let message = format!(
                    "`{}` ({}) names a program that the guest may overwrite; add it to filesystem.protect, or allow its directory, and with it whatever the guest makes there",
                    rule.rule.text,
                    rule.rule.place()
                );
                return Err(
                    BridgeError::new(ErrorCode::PolicyInvalid, message).with("path", &*object.path.to_string_lossy())
                );
            }
        }
        Ok(())
    }

    /// Puts a file of the sandbox's own where `path` leads on the host, unless the policy hides what is there.
    pub(crate) fn plant(&mut self, path: &Path, contents: String) {
        let place = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let taken = match self.covering(&place) {
            Some((_, Node::Bind { access, directory, .. })) => {
                // There must be a file to mount on; where there is none, nothing says anything else.
                *access == Access::None || (*directory && !place.is_file())
            }
            Some((_, Node::Mask { .. } | Node::Hollow | Node::Temporary { .. })) => true,
            Some((_, Node::Planted { .. })) | None => false,
        };
        if !taken {
            self.nodes.insert(place, Node::Planted { contents });
        }
    }

    /// Takes back what was planted: where there is no mount to put it, what lies there is what the policy says of it.
    pub(crate) fn unplant(&mut self) {
        self.nodes.retain(|_, node| !matches!(node, Node::Planted { .. }));
    }

    /// The node that covers `path`: its own, or its nearest ancestor's.
    pub(crate) fn covering(&self, path: &Path) -> Option<(&Path, &Node)> {
        path.ancestors().find_map(|place| self.nodes.get_key_value(place)).map(|(place, node)| (place.as_path(), node))
    }

    /// Whether there is a place whose files may be both written and executed.
    pub(crate) fn has_own_programs(&self) -> bool {
        self.nodes.values().any(|node| match node {
            Node::Bind { access, executable, .. } => *access == Access::Write && *executable,
            Node::Temporary { executable } => *executable,
            Node::Mask { .. } | Node::Hollow | Node::Planted { .. } => false,
        })
    }

    /// What `path` offers: to the guest, as far as mounts can say.
    pub(crate) fn access(&self, path: &Path) -> Access {
        match self.covering(path) {
            Some((_, Node::Bind { access, .. })) => *access,
            Some((_, Node::Temporary { .. })) => Access::Write,
            Some((_, Node::Planted { .. })) => Access::Read,
            Some((_, Node::Mask { .. } | Node::Hollow)) | None => Access::None,
        }
    }

    /// The places on the host that can be written to, each with its device.
    pub(crate) fn writable(&self) -> impl Iterator<Item = (PathBuf, u64)> {
        self.nodes.iter().filter_map(|(path, node)| match node {
            Node::Bind { access: Access::Write, device, .. } => Some((path.clone(), *device)),
            _ => None,
        })
    }

    /// Whether every object that it shows is still the one that it was worked out for. What a package manager or an editor replaced
    /// has another inode.
    pub(crate) fn is_current(&self) -> bool {
        self.nodes.iter().all(|(path, node)| match node {
            Node::Bind { device, inode, .. } => {
                path.symlink_metadata().is_ok_and(|now| (now.dev(), now.ino()) == (*device, *inode))
            }
            Node::Mask { directory } => path.symlink_metadata().is_ok_and(|now| now.is_dir() == *directory),
            Node::Hollow | Node::Temporary { .. } | Node::Planted { .. } => true,
        })
    }

    /// Why changes cannot be kept apart by an overlay of `workspace`, in a sentence each: writable places that it does not cover.
    pub(crate) fn beyond_an_overlay(&self, workspace: Option<&str>) -> Vec<String> {
        let Some(workspace) = workspace.map(Path::new) else {
            return vec!["changes are kept apart of a workspace, and this run has none; name one".to_owned()];
        };
        let writable = |node: &Node| matches!(node, Node::Bind { access: Access::Write, .. });
        if !self.nodes.get(workspace).is_some_and(&writable) {
            let workspace = workspace.display();
            return vec![format!(
                "changes can be kept apart where the workspace itself is writable, and `{workspace}` is not, or only as a part of what is; use filesystem.changes = \"direct\""
            )];
        }
        let outside = self.nodes.iter().filter(|(path, node)| writable(node) && !path.starts_with(workspace));
        outside
            .map(|(path, _)| {
                format!(
                    "`{}` is writable and lies outside of the workspace, so what is changed there cannot be kept apart; take it out of filesystem.write, or use filesystem.changes = \"direct\"",
                    path.display()
                )
            })
            .collect()
    }

    fn effects(
        &mut self,
        profile: &ExecutionProfile,
        objects: &mut BTreeMap<PathBuf, Resolved>,
        resolver: &mut Resolver,
    ) -> Result<Effects, BridgeError> {
        let mut meant: BTreeMap<PathBuf, Vec<PathEffect>> = BTreeMap::new();
        for (effect, resolved) in self.meant(profile, resolver)? {
            let path = resolved.path.clone();
            if OWN.iter().any(|own| path == Path::new(own)) {
                continue;
            }
            self.links.extend(resolved.links.iter().cloned());
            meant.entry(path.clone()).or_default().push(effect);
            objects.insert(path, resolved);
        }
        Ok(meant.into_iter().filter_map(|(path, effects)| Some((path, together(&effects)?))).collect())
    }

    fn executables(
        &mut self,
        profile: &ExecutionProfile,
        objects: &mut BTreeMap<PathBuf, Resolved>,
        resolver: &mut Resolver,
    ) -> Executables {
        let mut executables = Executables::new();
        let rules = profile.commands.allow.iter().map(|rule| (rule, true));
        for (rule, allowed) in rules.chain(profile.commands.deny.iter().map(|rule| (rule, false))) {
            for resolved in resolve::literal(Path::new(&rule.prefix), resolver).into_iter().filter_map(Found::object) {
                let verdict = executables.entry(resolved.path.clone()).or_insert(allowed);
                *verdict = *verdict && allowed;
                objects.entry(resolved.path.clone()).or_insert(resolved);
            }
            if Path::new(&rule.prefix) == Path::new(TEMPORARY) {
                executables.insert(TEMPORARY.into(), allowed);
            }
        }
        executables
    }

    fn place(&mut self, path: &Path, object: &Resolved, effects: &Effects, executables: &Executables) {
        // What is executed is read, and executing is not asked about.
        let executable = nearest(executables, path).copied().unwrap_or(false) && !asks_before_reading(path, effects);
        let above = path.parent().and_then(|parent| self.covering(parent));
        let access = effective(path, effects);
        let now = match above {
            Some((_, Node::Bind { access, executable, .. })) => (*access, *executable),
            _ => (Access::None, false),
        };
        if access == Access::None {
            if now.0 != Access::None {
                self.nodes.insert(path.into(), Node::Mask { directory: object.directory });
            }
            return;
        }
        if now == (access, executable) {
            return;
        }
        if let Some((place, Node::Mask { .. })) = above {
            let place = place.to_path_buf();
            self.nodes.insert(place, Node::Hollow);
        }
        let Resolved { directory, device, inode, .. } = *object;
        self.nodes.insert(path.into(), Node::Bind { access, executable, directory, device, inode });
    }
}

/// The effect of the most specific rule. `protect` gives reading only where something above it gives it.
fn effective(path: &Path, effects: &Effects) -> Access {
    for place in path.ancestors() {
        match effects.get(place) {
            Some(PathEffect::Read) => return Access::Read,
            Some(PathEffect::Write) => return Access::Write,
            // It can be looked at; opens are brokered, and what may be changed the broker changes outside.
            Some(PathEffect::PromptRead | PathEffect::PromptWrite) => return Access::Read,
            Some(PathEffect::Protect) => {
                let above = place.parent().map_or(Access::None, |parent| effective(parent, effects));
                return if above == Access::None { Access::None } else { Access::Read };
            }
            Some(_) => return Access::None,
            None => {}
        }
    }
    Access::None
}

/// Whether the host is asked before `path` is read.
fn asks_before_reading(path: &Path, effects: &Effects) -> bool {
    let mut asks = false;
    for place in path.ancestors() {
        match effects.get(place) {
            Some(PathEffect::PromptRead) => return true,
            Some(PathEffect::PromptWrite) => asks = true,
            Some(PathEffect::Read | PathEffect::Write) => return false,
            Some(PathEffect::Protect) | None => {}
            Some(_) => return asks,
        }
    }
    asks
}

fn nearest<'a, T>(map: &'a BTreeMap<PathBuf, T>, path: &Path) -> Option<&'a T> {
    path.ancestors().find_map(|place| map.get(place))
}

/// What the rules for one path come to: the strongest, but what is given and protected is still read.
fn together(effects: &[PathEffect]) -> Option<PathEffect> {
    let strongest = *effects.iter().max_by_key(|effect| strength(**effect))?;
    let given = effects.iter().any(|effect| matches!(effect, PathEffect::Read | PathEffect::Write));
    Some(if strongest == PathEffect::Protect && given { PathEffect::Read } else { strongest })
}

/// Which of two rules for one path wins.
fn strength(effect: PathEffect) -> u8 {
    match effect {
        PathEffect::Read => 0,
        PathEffect::Write => 1,
        PathEffect::Protect => 2,
        PathEffect::PromptRead => 3,
        PathEffect::PromptWrite => 4,
        // A kind of rule that this plane does not know takes away.
        _ => 5,
    }
}
