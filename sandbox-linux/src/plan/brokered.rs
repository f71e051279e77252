//! Which rules mounts and Landlock cannot hold, so that the broker is asked about some calls.
//!
//! Mounts hold what exists and cannot be moved. They cannot hold names that do not exist yet, patterns, and, inside a
//! writable place, whatever lies in a directory that the guest may rename.

use crate::plan::view::{Access, Node, View};
use cofferdam_bridge::profile::{PathEffect, PathPattern, PathRule};
use std::path::Path;

/// What the broker must be asked about. A run without such rules is never interrupted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Brokered {
    /// Calls that make, move, change or remove names, and opens that write.
    pub(crate) names: bool,
    /// Every open.
    pub(crate) reads: bool,
    /// Whatever may be refused, so that it can be explained. It changes no answer.
    pub(crate) explains: bool,
    /// Directories are moved name by name, where overlayfs refuses to rename them.
    pub(crate) moves: bool,
    /// Sockets that are bound or connected: services of the host may have theirs where the guest can see them.
    pub(crate) sockets: bool,
}

/// Places that hold what was installed: no service puts its sockets there.
const INSTALLED: [&str; 8] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc", "/nix/store"];

impl Brokered {
    /// What the rules of `view` need.
    pub(crate) fn of(view: &View) -> Self {
        let mut brokered = Self::default();
        let places = |wanted: fn(&Node) -> bool| {
            let nodes = view.nodes.iter().filter(move |(_, node)| wanted(node));
            nodes.map(|(path, _)| path.as_path()).collect::<Vec<_>>()
        };
        let (writable, visible) = (places(is_writable), places(is_visible));
        let own = places(|node| matches!(node, Node::Temporary { .. }));
        for rule in view.rules.iter().filter(|rule| takes_away(rule.effect)) {
            let glob = matches!(rule.pattern, PathPattern::Glob(_));
            // Private temporary storage is empty at the start: a mount has nothing there to hold a name by.
            brokered.names |= writable.iter().chain(&own).any(|place| may_lie_in(rule, place));
            brokered.reads |=
                glob && rule.effect != PathEffect::Protect && visible.iter().any(|place| may_lie_in(rule, place));
        }
        // What is asked about is decided call by call, wherever it lies.
        brokered.reads |= view.rules.iter().any(|rule| rule.effect.asks());
        brokered.names |= brokered.reads;
        brokered.sockets = visible.iter().any(|place| !INSTALLED.iter().any(|installed| place.starts_with(installed)));
        brokered
    }

    /// The same, with all that is looked at so that it can be explained.
    pub(crate) fn explained(self) -> Self {
        Self { explains: true, ..self }
    }

    /// What must be asked about where there are no mounts: Landlock can allow a place, but not take away what lies in it.
    pub(crate) fn without_mounts(self) -> Self {
        Self { names: true, reads: true, sockets: true, ..self }
    }

    /// Whether anything is asked.
    pub(crate) fn any(self) -> bool {
        self.names || self.reads || self.sockets || self.explains
    }
}

/// An effect that this plane does not know takes away.
fn takes_away(effect: PathEffect) -> bool {
    !matches!(effect, PathEffect::Read | PathEffect::Write)
}

fn is_writable(node: &Node) -> bool {
    matches!(node, Node::Bind { access: Access::Write, .. })
}

fn is_visible(node: &Node) -> bool {
    matches!(node, Node::Bind { access: Access::Read | Access::Write, .. })
}

/// Whether something that the rule covers may lie at or beneath `place`.
fn may_lie_in(rule: &PathRule, place: &Path) -> bool {
    match &rule.pattern {
        PathPattern::Literal(path) => Path::new(path).starts_with(place),
        pattern => {
            let prefix = literal_prefix(pattern);
            let prefix = Path::new(&prefix);
            prefix.starts_with(place) || place.starts_with(prefix)
        }
    }
}

/// The directories of a pattern before its first wildcard, as a path.
pub(crate) fn literal_prefix(pattern: &PathPattern) -> String {
    let (PathPattern::Literal(text) | PathPattern::Glob(text)) = pattern else { return "/".to_owned() };
    if matches!(pattern, PathPattern::Literal(_)) {
        return text.clone();
    }
    let plain = text.split('/').filter(|part| !part.is_empty()).take_while(|part| !has_wildcard(part));
    plain.fold(String::new(), |path, part| path + "/" + &unescaped(part))
}

fn has_wildcard(part: &str) -> bool {
    let mut characters = part.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => drop(characters.next()),
            '*' | '?' | '[' => return true,
            _ => {}
        }
    }
    false
}

fn unescaped(part: &str) -> String {
    let mut characters = part.chars();
    let mut plain = String::with_capacity(part.len());
    while let Some(character) = characters.next() {
        plain.extend(if character == '\\' { characters.next() } else { Some(character) });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use cofferdam_bridge::verdict::RuleRef;

    fn view(nodes: &[(&str, Access)], rules: &[(PathEffect, PathPattern)]) -> View {
        let mut view = View::default();
        for (path, access) in nodes {
            let node = Node::Bind { access: *access, executable: false, directory: true, device: 0, inode: 0 };
            view.nodes.insert((*path).into(), node);
        }
        for (effect, pattern) in rules {
            view.rules.push(PathRule::new(*effect, pattern.clone(), RuleRef::new("test", None, "rule")));
        }
        view
    }

    fn glob(text: &str) -> PathPattern {
        PathPattern::Glob(text.to_owned())
    }

    fn literal(text: &str) -> PathPattern {
        PathPattern::Literal(text.to_owned())
    }

    #[test]
    fn without_writable_places_nothing_is_asked() {
        let rules = [(PathEffect::Deny, literal("/etc/shadow")), (PathEffect::Protect, glob("/w/**/.git/hooks"))];
        assert_eq!(Brokered::of(&view(&[("/usr", Access::Read)], &rules)), Brokered::default());
    }

    #[test]
    fn a_name_in_a_writable_place_is_asked_about() {
        let rules = [(PathEffect::Protect, literal("/w/.envrc"))];
        let brokered = Brokered::of(&view(&[("/w", Access::Write)], &rules));
        assert_eq!(brokered, Brokered { names: true, sockets: true, ..Brokered::default() });
    }

    #[test]
    fn a_name_in_private_storage_is_asked_about_and_no_other() {
        let mut own = view(&[], &[(PathEffect::Deny, literal("/tmp/closed"))]);
        own.nodes.insert("/tmp".into(), Node::Temporary { executable: false });
        assert_eq!(Brokered::of(&own), Brokered { names: true, ..Brokered::default() });
        own.rules = view(&[], &[(PathEffect::Deny, literal("/etc/shadow"))]).rules;
        assert_eq!(Brokered::of(&own), Brokered::default());
    }

    #[test]
    fn a_pattern_that_denies_reading_makes_every_open_asked_about() {
        let rules = [(PathEffect::Deny, glob("/w/**/.env"))];
        let brokered = Brokered::of(&view(&[("/w/sub", Access::Read)], &rules));
        assert_eq!(brokered, Brokered { names: true, reads: true, sockets: true, ..Brokered::default() });
    }

    #[test]
    fn what_is_asked_about_makes_every_open_and_name_asked_about() {
        for effect in [PathEffect::PromptRead, PathEffect::PromptWrite] {
            let brokered = Brokered::of(&view(&[("/p", Access::Read)], &[(effect, literal("/p"))]));
            assert_eq!(brokered, Brokered { names: true, reads: true, sockets: true, ..Brokered::default() });
        }
    }

    #[test]
    fn a_literal_prefix_ends_at_the_first_wildcard_and_is_unescaped() {
        assert_eq!(literal_prefix(&glob("/w/a\\[1]/**/x")), "/w/a[1]");
        assert_eq!(literal_prefix(&glob("/**/x")), "");
    }
}
