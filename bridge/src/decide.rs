//! Deciding by a profile's rules: the one meaning that kernel and planes share.

mod command_rules;
mod file_index;
mod name_hash;
mod prefix_tree;

use crate::error::BridgeError;
use crate::path_pattern::{CompiledPattern, check_path};
use crate::profile::{CommandProfile, CommandRule, FilesystemProfile, PathEffect, PathRule};
use crate::verdict::RuleRef;
use file_index::FileIndex;

pub use command_rules::CommandRules;

/// What is asked of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileAccess {
    /// Reading, listing, looking at metadata.
    Read,
    /// Anything that changes it or its metadata, or makes or removes it.
    Write,
}

/// The answer about a path or program.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RuleDecision {
    /// Whether it may be.
    pub allowed: bool,
    /// The effect of the path rule that decided, where one did.
    pub effect: Option<PathEffect>,
    /// The rule that decided; none where no rule matched, which refuses.
    pub rule: Option<RuleRef>,
}

impl RuleDecision {
    /// Whether the host is to be asked. Until it has said yes, it may not be.
    pub fn asks(&self) -> bool {
        !self.allowed && self.effect.is_some_and(PathEffect::asks)
    }

    fn nothing_matches() -> Self {
        Self { allowed: false, effect: None, rule: None }
    }
}

/// A file-system profile made ready for many decisions. What one costs hardly grows with the number of rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilesystemRules {
    /// Most telling first.
    rules: Vec<(CompiledPattern, PathEffect, RuleRef)>,
    index: FileIndex,
}

impl FilesystemRules {
    /// Compiles the rules of `profile`.
    ///
    /// # Errors
    /// `path_invalid` for a rule whose pattern is none.
    pub fn new(profile: &FilesystemProfile) -> Result<Self, BridgeError> {
        let compile = |rule: &PathRule| Ok((CompiledPattern::new(&rule.pattern)?, rule.effect, rule.rule.clone()));
        let mut rules = profile.rules.iter().map(compile).collect::<Result<Vec<_>, BridgeError>>()?;
        // Most telling first, so that the first match decides.
        rules.sort_by_key(|(pattern, effect, _)| std::cmp::Reverse((pattern.specificity(), strength(*effect))));
        let index = FileIndex::new(rules.iter().map(|(pattern, ..)| pattern));
        Ok(Self { rules, index })
    }

    /// Decides about an absolute, normalised path.
    ///
    /// # Errors
    /// `path_invalid` for any other path.
    pub fn decide(&self, path: &str, access: FileAccess) -> Result<RuleDecision, BridgeError> {
        check_path(path)?;
        Ok(self.decided(path, access))
    }

    /// The rules, most telling first: the first that matches a path decides about it.
    pub fn in_order(&self) -> impl DoubleEndedIterator<Item = (&CompiledPattern, PathEffect, &RuleRef)> {
        self.rules.iter().map(|(pattern, effect, rule)| (pattern, *effect, rule))
    }

    /// The rule that takes something away beneath a directory and would take something else away if the directory were
    /// `to` instead of `from`; none where renaming it changes nothing.
    pub fn changed_by_rename(&self, from: &str, to: &str) -> Option<&RuleRef> {
        let mut taking = self.taking_away();
        taking.find(|(pattern, _)| !pattern.reach(from).is_same(&pattern.reach(to))).map(|(_, rule)| rule)
    }

    /// A rule that takes something away beneath `path` and spells out its last name: something else than a directory
    /// there (a link, a file that points elsewhere) would stand for what the rule means.
    pub fn on_the_way_to(&self, path: &str) -> Option<&RuleRef> {
        self.taking_away().find(|(pattern, _)| pattern.reach(path).is_named()).map(|(_, rule)| rule)
    }

    fn taking_away(&self) -> impl Iterator<Item = (&CompiledPattern, &RuleRef)> {
        let taking = self.rules.iter().filter(|(_, effect, _)| !matches!(effect, PathEffect::Read | PathEffect::Write));
        taking.map(|(pattern, _, rule)| (pattern, rule))
    }

    fn first(&self, path: &str, from: usize) -> Option<usize> {
        let covers = |rank: usize| self.rules.get(rank).is_some_and(|(pattern, ..)| pattern.matches(path));
        self.index.first(path, from, covers)
    }

    fn decided(&self, path: &str, access: FileAccess) -> RuleDecision {
        let (mut from, mut asks) = (0, None);
        while let Some((rank, (_, effect, rule))) =
            self.first(path, from).and_then(|rank| Some((rank, self.rules.get(rank)?)))
        {
            let decision = |allowed, effect| RuleDecision { allowed, effect: Some(effect), rule: Some(rule.clone()) };
            match (effect, access) {
                (PathEffect::Read, FileAccess::Read) | (PathEffect::Write, _) => return decision(true, *effect),
                // Protection takes writing away and leaves reading as it would be without it.
                (PathEffect::Protect, FileAccess::Read) => from = rank + 1,
                // So does asking before writing, but for what could not be read without it: who may write may read.
                (PathEffect::PromptWrite, FileAccess::Read) => {
                    asks = asks.or_else(|| Some(decision(false, *effect)));
                    from = rank + 1;
                }
                // Asking before reading lets nothing be changed.
                (PathEffect::PromptRead, FileAccess::Write) => return decision(false, PathEffect::Read),
                (PathEffect::PromptRead, FileAccess::Read) => return decision(false, *effect),
                // A new kind of effect or access never means allow.
                _ => return asks.unwrap_or_else(|| decision(false, *effect)),
            }
        }
        asks.unwrap_or_else(RuleDecision::nothing_matches)
    }
}

/// Which of two equally specific rules wins: deny, prompt, protect, write, read.
fn strength(effect: PathEffect) -> u8 {
    match effect {
        PathEffect::Read => 0,
        PathEffect::Write => 1,
        PathEffect::Protect => 2,
        PathEffect::PromptRead => 3,
        PathEffect::PromptWrite => 4,
        PathEffect::Deny => 5,
    }
}

impl CommandProfile {
    /// Decides about a program by its canonical path: the longest prefix wins, at a tie deny does.
    pub fn decide(&self, canonical: &str) -> RuleDecision {
        if check_path(canonical).is_err() {
            return RuleDecision::nothing_matches();
        }
        let longest = |rules: &[CommandRule]| {
            let matching = rules.iter().filter(|rule| covers(&rule.prefix, canonical));
            matching.max_by_key(|rule| rule.prefix.trim_end_matches('/').len()).cloned()
        };
        let (allow, deny) = (longest(&self.allow), longest(&self.deny));
        let length = |rule: &CommandRule| rule.prefix.trim_end_matches('/').len();
        let (allowed, rule) = match (allow, deny) {
            (Some(allow), Some(deny)) if length(&allow) > length(&deny) => (true, allow),
            (_, Some(deny)) => (false, deny),
            (Some(allow), None) => (true, allow),
            (None, None) => return RuleDecision::nothing_matches(),
        };
        RuleDecision { allowed, effect: None, rule: Some(rule.rule) }
    }
}

/// Whether `path` is `prefix` or lies beneath it, by components: `/usr/binx` is not beneath `/usr/bin`.
fn covers(prefix: &str, path: &str) -> bool {
    let prefix = prefix.trim_end_matches('/');
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::PathPattern;

    fn rules(entries: &[(PathEffect, &str)]) -> FilesystemRules {
        let mut profile = FilesystemProfile::default();
        for (effect, text) in entries {
            let pattern = if text.contains('*') {
                PathPattern::Glob((*text).into())
            } else {
                PathPattern::Literal((*text).into())
            };
            profile.rules.push(PathRule::new(*effect, pattern, RuleRef::new("test", None, *text)));
        }
        FilesystemRules::new(&profile).unwrap()
    }

    fn allowed(rules: &FilesystemRules, path: &str, access: FileAccess) -> bool {
        rules.decide(path, access).unwrap().allowed
    }

    #[test]
    fn nothing_named_is_refused() {
        let decision = rules(&[]).decide("/etc", FileAccess::Read).unwrap();
        assert_eq!((decision.allowed, decision.rule), (false, None));
    }

    #[test]
    fn the_most_specific_rule_wins_in_either_direction() {
        let rules = rules(&[(PathEffect::Write, "/ws"), (PathEffect::Deny, "/ws/s"), (PathEffect::Read, "/ws/s/open")]);
        assert!(allowed(&rules, "/ws/a", FileAccess::Write));
        assert!(!allowed(&rules, "/ws/s/x", FileAccess::Read));
        assert!(allowed(&rules, "/ws/s/open/x", FileAccess::Read));
        assert!(!allowed(&rules, "/ws/s/open/x", FileAccess::Write));
    }

    #[test]
    fn a_pattern_for_all_in_a_folder_says_more_than_the_folder() {
        for text in ["/ws/*", "/ws/**"] {
            let denied = rules(&[(PathEffect::Write, "/ws"), (PathEffect::Deny, text)]);
            assert!(!allowed(&denied, "/ws/a", FileAccess::Read) && !allowed(&denied, "/ws/a/b", FileAccess::Write));
            let read = rules(&[(PathEffect::Write, "/ws"), (PathEffect::Read, text)]);
            assert!(allowed(&read, "/ws/a", FileAccess::Read) && !allowed(&read, "/ws/a", FileAccess::Write));
        }
    }

    #[test]
    fn a_tie_goes_to_deny() {
        let rules = rules(&[(PathEffect::Write, "/ws"), (PathEffect::Deny, "/ws")]);
        assert!(!allowed(&rules, "/ws", FileAccess::Read));
    }

    #[test]
    fn protect_leaves_reading_as_it_was() {
        let rules = rules(&[
            (PathEffect::Write, "/ws"),
            (PathEffect::Protect, "/ws/.git/hooks"),
            (PathEffect::Protect, "/other"),
        ]);
        assert!(allowed(&rules, "/ws/.git/hooks/x", FileAccess::Read));
        assert!(!allowed(&rules, "/ws/.git/hooks/x", FileAccess::Write));
        assert!(!allowed(&rules, "/other", FileAccess::Read));
    }

    #[test]
    fn asking_is_no_yes_and_leaves_reading_as_it_was() {
        let rules = rules(&[
            (PathEffect::Read, "/seen"),
            (PathEffect::PromptWrite, "/seen/asked"),
            (PathEffect::PromptWrite, "/hidden"),
            (PathEffect::PromptRead, "/seen/secret"),
            (PathEffect::Deny, "/hidden/never"),
        ]);
        let decide = |path: &str, access| {
            let decision = rules.decide(path, access).unwrap();
            (decision.allowed, decision.asks())
        };
        assert_eq!(decide("/seen/asked/x", FileAccess::Read), (true, false));
        assert_eq!(decide("/seen/asked/x", FileAccess::Write), (false, true));
        assert_eq!(decide("/hidden/x", FileAccess::Read), (false, true));
        assert_eq!(decide("/seen/secret", FileAccess::Read), (false, true));
        assert_eq!(decide("/seen/secret", FileAccess::Write), (false, false));
        assert_eq!(decide("/hidden/never/x", FileAccess::Write), (false, false));
    }

    #[test]
    fn protect_of_a_place_that_is_written_or_read_by_the_same_words_leaves_reading() {
        for giving in [PathEffect::Write, PathEffect::Read] {
            for text in ["/ws", "/ws/**/x"] {
                let rules = rules(&[(giving, text), (PathEffect::Protect, text)]);
                assert!(allowed(&rules, "/ws/x", FileAccess::Read) && !allowed(&rules, "/ws/x", FileAccess::Write));
            }
        }
        let denied = rules(&[(PathEffect::Write, "/ws"), (PathEffect::Protect, "/ws"), (PathEffect::Deny, "/ws")]);
        assert!(!allowed(&denied, "/ws/x", FileAccess::Read));
    }

    #[test]
    fn x2_prefixes_of_programs_are_compared_by_components() {
        let mut commands = CommandProfile::default();
        commands.allow.push(CommandRule::new("/usr/bin/", RuleRef::new("test", None, "allow")));
        commands.deny.push(CommandRule::new("/usr/bin/sudo", RuleRef::new("test", None, "deny")));
        assert!(commands.decide("/usr/bin/git").allowed);
        assert!(!commands.decide("/usr/binx").allowed);
        assert!(!commands.decide("/usr/bin/sudo").allowed);
        assert!(commands.decide("/usr/bin/sudoedit").allowed);
        assert!(!commands.decide("/usr/bin/../sbin/x").allowed);
    }
}
