//! From the profile's rules to what will be seen: which host objects appear where, and how.
//!
//! Rules are resolved against the host once, here, by the kernel's own path walk; each object is remembered by device and
//! inode, and the launcher refuses to mount anything else under its name.

use crate::plan::brokered::literal_prefix;
use crate::plan::resolve::{self, Found, Resolved, Resolver};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::profile::{ExecutionProfile, PathEffect, PathPattern, PathRule, Temporary};
use std::collections::BTreeMap;
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
        Ok(view)
    }

    /// The node that covers `path`: its own, or its nearest ancestor's.
    pub(crate) fn covering(&self, path: &Path) -> Option<(&Path, &Node)> {
        path.ancestors().find_map(|place| self.nodes.get_key_value(place)).map(|(place, node)| (place.as_path(), node))
    }

    /// What `path` offers: to the guest, as far as mounts can say.
    pub(crate) fn access(&self, path: &Path) -> Access {
        match self.covering(path) {
            Some((_, Node::Bind { access, .. })) => *access,
            Some((_, Node::Temporary { .. })) => Access::Write,
            Some((_, Node::Mask { .. } | Node::Hollow)) | None => Access::None,
        }
    }

    fn effects(
        &mut self,
        profile: &ExecutionProfile,
        objects: &mut BTreeMap<PathBuf, Resolved>,
        resolver: &mut Resolver,
    ) -> Result<Effects, BridgeError> {
        let mut effects = Effects::new();
        let writable = written_places(profile, resolver);
        for rule in &profile.filesystem.rules {
            let places = match (&rule.pattern, rule.effect) {
                (PathPattern::Literal(path), _) => self.literal(path, rule, resolver, &writable)?,
                (PathPattern::Glob(pattern), PathEffect::Read | PathEffect::Write) => {
                    let mut objects = resolve::glob(pattern, rule, resolver)?;
                    // A pattern means what is there: what a run put there is not meant.
                    objects.retain(|object| changeable_link(&object.links, &writable).is_none());
                    for object in &objects {
                        self.rule_about(&object.path, rule);
                    }
                    objects
                }
                // A pattern that takes away is held by the broker, name by name.
                (PathPattern::Glob(pattern), _) => {
                    let pattern = PathPattern::Glob(resolve::canonical_pattern(pattern, resolver));
                    self.rules.push(PathRule::new(rule.effect, pattern, rule.rule.clone()));
                    Vec::new()
                }
                (_, _) => {
                    let message = format!(
                        "`{}` ({}) is of a kind that this plane does not know",
                        rule.rule.text,
                        rule.rule.place()
                    );
                    return Err(BridgeError::new(ErrorCode::UnsupportedBackendFeature, message));
                }
            };
            for resolved in places {
                let path = resolved.path.clone();
                if OWN.iter().any(|own| path == Path::new(own)) {
                    continue;
                }
                self.links.extend(resolved.links.iter().cloned());
                let effect = effects.entry(path.clone()).or_insert(rule.effect);
                if strength(rule.effect) > strength(*effect) {
                    *effect = rule.effect;
                }
                objects.insert(path, resolved);
            }
        }
        Ok(effects)
    }

    fn literal(
        &mut self,
        path: &str,
        rule: &PathRule,
        resolver: &mut Resolver,
        writable: &[PathBuf],
    ) -> Result<Vec<Resolved>, BridgeError> {
        let mut objects = Vec::new();
        for one in resolve::literal(Path::new(path), resolver) {
            if matches!(rule.effect, PathEffect::Read | PathEffect::Write)
                && let Some(link) = changeable_link(one.links(), writable)
            {
                if rule.rule.source.starts_with("built-in") {
                    continue;
                }
                return Err(leads_astray(rule, link, one.path()));
            }
            self.rule_about(one.path(), rule);
            objects.extend(one.object());
        }
        Ok(objects)
    }

    /// A path that is no text can be named by no rule but one above it.
    fn rule_about(&mut self, path: &Path, rule: &PathRule) {
        if let Some(path) = path.to_str() {
            let pattern = PathPattern::Literal(path.to_owned());
            self.rules.push(PathRule::new(rule.effect, pattern, rule.rule.clone()));
        }
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
        let executable = nearest(executables, path).copied().unwrap_or(false);
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

/// Where runs may write, by canonical paths.
fn written_places(profile: &ExecutionProfile, resolver: &mut Resolver) -> Vec<PathBuf> {
    let written = profile.filesystem.rules.iter().filter(|rule| rule.effect == PathEffect::Write);
    let literal = written.flat_map(|rule| match &rule.pattern {
        PathPattern::Literal(path) => resolve::literal(Path::new(path), resolver),
        pattern => vec![Found::Absent(literal_prefix(pattern).into(), Vec::new())],
    });
    literal.map(|found| found.path().to_path_buf()).filter(|place| place != Path::new(TEMPORARY)).collect()
}

/// A link on the way that runs may change: the next one would be shown whatever it leads to by then.
fn changeable_link<'a>(links: &'a [(PathBuf, PathBuf)], writable: &[PathBuf]) -> Option<&'a Path> {
    links
        .iter()
        .map(|(link, _)| link.as_path())
        .find(|link| writable.iter().any(|place| link.starts_with(place) && link != place))
}

fn leads_astray(rule: &PathRule, link: &Path, to: &Path) -> BridgeError {
    let message = format!(
        "`{}` ({}) leads through the link `{}`, which a run may change to lead anywhere; name where it is to lead, now `{}`",
        rule.rule.text,
        rule.rule.place(),
        link.display(),
        to.display()
    );
    BridgeError::new(ErrorCode::UnsupportedBackendFeature, message).with("link", link.to_string_lossy().into_owned())
}

/// The effect of the most specific rule. `protect` gives reading only where something above it gives it.
fn effective(path: &Path, effects: &Effects) -> Access {
    for place in path.ancestors() {
        match effects.get(place) {
            Some(PathEffect::Read) => return Access::Read,
            Some(PathEffect::Write) => return Access::Write,
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

fn nearest<'a, T>(map: &'a BTreeMap<PathBuf, T>, path: &Path) -> Option<&'a T> {
    path.ancestors().find_map(|place| map.get(place))
}

/// Which of two rules for one path wins.
fn strength(effect: PathEffect) -> u8 {
    match effect {
        PathEffect::Read => 0,
        PathEffect::Write => 1,
        PathEffect::Protect => 2,
        // A kind of rule that this plane does not know takes away.
        _ => 3,
    }
}
