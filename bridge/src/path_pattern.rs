//! Matching paths against a rule's pattern. Pure text work on paths that are absolute and normalised already.
//!
//! Time is bounded by the product of the lengths of pattern and path: no pattern makes it explode.

mod component;

use crate::error::BridgeError;
use crate::error_code::ErrorCode;
use crate::profile::PathPattern;
use component::{component_of, extension_of, holds_two_stars};
use std::borrow::Cow;

pub use component::{Part, Token};

/// A pattern made ready for many matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompiledPattern {
    kind: Kind,
    specificity: Specificity,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// A path without wildcards, which most rules are; the root is empty.
    Literal(String),
    /// Component by component.
    Glob(Vec<Part>),
}

/// How specific a pattern is. Greater is more specific: a longer literal prefix, then more that is literal after it (a
/// pattern beneath a directory says more than the directory), then fewer wildcards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Specificity {
    literal_prefix: usize,
    literal_in_all: usize,
    fewer_wildcards: std::cmp::Reverse<usize>,
}

/// What is in every path that a pattern covers, after the directory that it spells out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mark<'a> {
    /// Nothing that is known.
    None,
    /// A component that is equal.
    Name(&'a str),
    /// A component with this after its last dot.
    Extension(String),
}

/// What a pattern may cover beneath a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    states: Vec<bool>,
    named: bool,
}

impl Reach {
    /// Whether the pattern covers beneath both directories the same, whatever lies there.
    pub fn is_same(&self, other: &Self) -> bool {
        self.states == other.states
    }

    /// Whether the directory's own name is one that the pattern spells out on its way to something deeper.
    pub fn is_named(&self) -> bool {
        self.named
    }
}

impl CompiledPattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// `path_invalid` for a pattern that is not absolute, holds a NUL byte or `..`, or leaves a bracket open.
    pub fn new(pattern: &PathPattern) -> Result<Self, BridgeError> {
        let (text, glob) = match pattern {
            PathPattern::Literal(text) => (text, false),
            PathPattern::Glob(text) => (text, true),
        };
        check_absolute(text)?;
        let components = text.split('/').filter(|component| !component.is_empty() && *component != ".");
        if !glob {
            let literal = components.fold(String::with_capacity(text.len()), |path, component| path + "/" + component);
            let specificity = Specificity {
                literal_prefix: literal.len(),
                literal_in_all: literal.len(),
                fewer_wildcards: std::cmp::Reverse(0),
            };
            return Ok(Self { kind: Kind::Literal(literal), specificity });
        }
        let mut parts = Vec::new();
        for component in components {
            parts.push(match component {
                "**" => Part::AnyDepth,
                other if holds_two_stars(other) => {
                    let message = format!(
                        "the pattern `{text}` has `**` beside other characters; it stands alone between slashes, and `*` matches within a name"
                    );
                    return Err(BridgeError::new(ErrorCode::PathInvalid, message).with("pattern", text.as_str()));
                }
                other => component_of(other).ok_or_else(|| {
                    let message =
                        format!("the pattern `{text}` has a `[` without its `]`; write `\\[` for the character itself");
                    BridgeError::new(ErrorCode::PathInvalid, message).with("pattern", text.as_str())
                })?,
            });
        }
        let specificity = specificity(&parts);
        Ok(Self { kind: Kind::Glob(parts), specificity })
    }

    /// Whether the pattern covers `path`: it matches the path itself or a directory above it.
    pub fn matches(&self, path: &str) -> bool {
        let mut parts = match &self.kind {
            Kind::Literal(literal) => {
                let rest = path.strip_prefix(literal.as_str());
                return rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            }
            Kind::Glob(parts) => parts.as_slice(),
        };
        let mut components = path.split('/').filter(|component| !component.is_empty());
        // Up to the first `**` there is one way to match, and most paths part from most patterns at once.
        while let Some((part, rest)) = parts.split_first() {
            if *part == Part::AnyDepth {
                return matches_anywhere(parts, &components.collect::<Vec<_>>());
            }
            if !components.next().is_some_and(|component| part.matches(component)) {
                return false;
            }
            parts = rest;
        }
        true
    }

    /// How far the components of `path` lead into the pattern without fulfilling it.
    ///
    /// A directory that is renamed takes what lies in it to other names: whether a pattern still covers the same of it
    /// depends on this alone.
    pub fn reach(&self, path: &str) -> Reach {
        let parts = self.parts();
        let mut states = vec![false; parts.len() + 1];
        set(&mut states, 0, true);
        let mut named = false;
        for component in path.split('/').filter(|component| !component.is_empty()) {
            let mut next = vec![false; states.len()];
            named = false;
            for (at, part) in parts.iter().enumerate() {
                if states.get(at) != Some(&true) {
                    continue;
                }
                match part {
                    Part::AnyDepth => {
                        set(&mut next, at, true);
                        // None of the components is for the `**`: the part after it is tried on this one.
                        set(&mut states, at + 1, true);
                    }
                    part if part.matches(component) => {
                        set(&mut next, at + 1, true);
                        named |= matches!(part, Part::Literal(_)) && at + 1 < parts.len();
                    }
                    _ => {}
                }
            }
            states = next;
        }
        Reach { states, named }
    }

    /// The components that the pattern begins with and spells out.
    pub(crate) fn spelt_out(&self) -> Vec<&str> {
        match &self.kind {
            Kind::Literal(literal) => literal.split('/').skip(1).collect(),
            Kind::Glob(parts) => parts.iter().map_while(Part::literal).collect(),
        }
    }

    /// What is in every path that it covers, after what it spells out.
    pub(crate) fn mark(&self) -> Mark<'_> {
        let Kind::Glob(parts) = &self.kind else { return Mark::None };
        let first = parts.iter().position(|part| part.literal().is_none()).unwrap_or(parts.len());
        let after = parts.get(first..).unwrap_or_default();
        // The last is most often what tells patterns of one directory apart.
        let name = after.iter().rev().find_map(Part::literal).map(Mark::Name);
        let extension = || after.iter().rev().find_map(extension_of).map(Mark::Extension);
        name.or_else(extension).unwrap_or(Mark::None)
    }

    /// The pattern, component by component; of the root there are none.
    pub fn parts(&self) -> Cow<'_, [Part]> {
        match &self.kind {
            Kind::Glob(parts) => Cow::Borrowed(parts),
            Kind::Literal(literal) => {
                let components = literal.split('/').filter(|component| !component.is_empty());
                components.map(|component| Part::Literal(component.to_owned())).collect()
            }
        }
    }

    /// How specific the pattern is.
    pub fn specificity(&self) -> Specificity {
        self.specificity
    }
}

/// Matches with all ways that `**` opens at once: time is the product of the lengths.
fn matches_anywhere(parts: &[Part], components: &[&str]) -> bool {
    // reachable[i]: the parts so far match the first i components.
    let mut reachable = vec![false; components.len() + 1];
    set(&mut reachable, 0, true);
    for part in parts {
        let mut next = vec![false; components.len() + 1];
        let mut open = false;
        for (at, here) in reachable.iter().enumerate() {
            open |= *here;
            if *part == Part::AnyDepth {
                set(&mut next, at, open);
            } else if *here && components.get(at).is_some_and(|component| part.matches(component)) {
                set(&mut next, at + 1, true);
            }
        }
        reachable = next;
    }
    reachable.contains(&true)
}

fn set(flags: &mut [bool], at: usize, value: bool) {
    if let Some(flag) = flags.get_mut(at) {
        *flag = *flag || value;
    }
}

/// Refuses what is no absolute, normalised path.
///
/// # Errors
/// `path_invalid`, with a sentence that says why.
pub fn check_path(path: &str) -> Result<(), BridgeError> {
    check_absolute(path)?;
    if path != "/" && path.split('/').skip(1).any(|component| matches!(component, "" | ".")) {
        let message = format!("the path `{path}` holds `//` or `.`, or ends with a slash; write it without");
        return Err(BridgeError::new(ErrorCode::PathInvalid, message).with("path", path));
    }
    Ok(())
}

fn check_absolute(path: &str) -> Result<(), BridgeError> {
    let fault = if !path.starts_with('/') {
        "is not absolute"
    } else if path.contains('\0') {
        "holds a NUL byte"
    } else if path.split('/').any(|component| component == "..") {
        "holds `..`"
    } else {
        return Ok(());
    };
    let shown = path.replace('\0', "\\0");
    Err(BridgeError::new(ErrorCode::PathInvalid, format!("the path `{shown}` {fault}")).with("path", shown))
}

fn specificity(parts: &[Part]) -> Specificity {
    let literal =
        parts.iter().map_while(|part| if let Part::Literal(text) = part { Some(text.len() + 1) } else { None });
    let wildcards = parts.iter().map(|part| match part {
        Part::Literal(_) => 0,
        Part::AnyDepth => 1,
        Part::Wild(tokens) => tokens.iter().filter(|token| !matches!(token, Token::Char(_))).count(),
    });
    // The slash before each counts too: `/w/*` is beneath `/w`, and says more than it.
    let characters = |part: &Part| match part {
        Part::Literal(text) => text.len() + 1,
        Part::AnyDepth => 1,
        Part::Wild(tokens) => tokens.iter().filter(|token| matches!(token, Token::Char(_))).count() + 1,
    };
    let literal_in_all = parts.iter().map(characters).sum();
    Specificity { literal_prefix: literal.sum(), literal_in_all, fewer_wildcards: std::cmp::Reverse(wildcards.sum()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glob(pattern: &str) -> CompiledPattern {
        CompiledPattern::new(&PathPattern::Glob(pattern.to_owned())).unwrap()
    }

    fn literal(pattern: &str) -> CompiledPattern {
        CompiledPattern::new(&PathPattern::Literal(pattern.to_owned())).unwrap()
    }

    #[test]
    fn a_directory_keeps_its_reach_unless_its_name_or_place_matters() {
        let hooks = glob("/w/**/.git/hooks");
        let same = |one: &str, other: &str| hooks.reach(one).is_same(&hooks.reach(other));
        assert!(same("/w/repo", "/w/deep/er/repo2"));
        assert!(!same("/w/repo/.git", "/w/repo/git"));
        assert!(!same("/w/repo", "/elsewhere/repo"));
        assert!(same("/w/.git/hooks", "/w/a/.git/hooks"));
    }

    #[test]
    fn a_name_on_the_way_is_named_and_one_at_any_depth_is_not() {
        let hooks = glob("/w/**/.git/hooks");
        assert!(hooks.reach("/w/sub/.git").is_named());
        assert!(!hooks.reach("/w/sub").is_named());
        assert!(!hooks.reach("/w/sub/.git/hooks").is_named());
        assert!(literal("/w/.git/hooks").reach("/w/.git").is_named());
    }

    #[test]
    fn fs_24_a_literal_covers_itself_and_what_is_beneath_but_no_sibling() {
        let pattern = literal("/ws");
        for (path, covered) in [("/ws", true), ("/ws/a/b", true), ("/ws-evil", false), ("/", false), ("/w", false)] {
            assert_eq!(pattern.matches(path), covered, "{path}");
        }
    }

    #[test]
    fn fs_22_a_literal_has_no_wildcards() {
        let pattern = literal("/home/a[1]*?");
        assert!(pattern.matches("/home/a[1]*?/x"));
        assert!(!pattern.matches("/home/a1xy"));
    }

    #[test]
    fn a_star_stops_at_a_slash_and_two_cross_it() {
        assert!(glob("/ws/*.rs").matches("/ws/a.rs"));
        assert!(!glob("/ws/*.rs").matches("/ws/d/a.rs"));
        assert!(glob("/ws/**/.env").matches("/ws/.env"));
        assert!(glob("/ws/**/.env").matches("/ws/a/b/.env"));
        assert!(!glob("/ws/**/.env").matches("/ws/a/b/.envrc"));
    }

    #[test]
    fn sets_ranges_and_escapes() {
        assert!(glob("/a/[a-c]x").matches("/a/bx"));
        assert!(!glob("/a/[!a-c]x").matches("/a/bx"));
        assert!(glob(r"/a/\*").matches("/a/*"));
        assert!(!glob(r"/a/\*").matches("/a/b"));
        assert!(glob("/a/[]]").matches("/a/]"));
    }

    #[test]
    fn an_open_bracket_and_a_relative_path_are_refused() {
        for text in ["/a/[b", "a", "", "/a/../b", "/a\0"] {
            let error = CompiledPattern::new(&PathPattern::Glob(text.to_owned())).unwrap_err();
            assert_eq!(error.code, ErrorCode::PathInvalid, "{text:?}");
        }
    }

    #[test]
    fn a_longer_literal_prefix_is_more_specific_then_fewer_wildcards() {
        assert!(literal("/ws/a").specificity() > literal("/ws").specificity());
        assert!(literal("/ws/a/b").specificity() > glob("/ws/a/*").specificity());
        assert!(glob("/ws/*/x").specificity() > glob("/ws/**/*").specificity());
        assert!(glob("/ws/**/.env").specificity() > literal("/ws").specificity());
        for beneath in ["/ws/*", "/ws/?", "/ws/[a]", "/ws/**"] {
            assert!(glob(beneath).specificity() > literal("/ws").specificity(), "{beneath}");
            assert!(literal("/ws/a").specificity() > glob(beneath).specificity(), "{beneath}");
        }
    }

    #[test]
    fn a_pattern_of_many_stars_is_answered_at_once() {
        let pattern = glob(&format!("/{}b", "a*".repeat(200)));
        assert!(!pattern.matches(&format!("/{}", "a".repeat(4000))));
    }
}
