//! Decisions found by an index are those of looking at each rule in turn.

#![expect(clippy::unwrap_used, reason = "a test that meets an unexpected error must fail loudly")]

use cofferdam_bridge::decide::{CommandRules, FileAccess, FilesystemRules, RuleDecision};
use cofferdam_bridge::path_pattern::{CompiledPattern, Specificity};
use cofferdam_bridge::profile::{CommandProfile, CommandRule, FilesystemProfile, PathEffect, PathPattern, PathRule};
use cofferdam_bridge::verdict::RuleRef;
use proptest::prelude::*;

/// Few names, so that rules and questions meet; some that look like marks of others.
const NAMES: [&str; 10] = ["a", "b", ".env", ".git", "x.key", ".key", "a.b.key", "key", "\u{e9}.key", "a[1]"];

fn path() -> impl Strategy<Value = String> {
    let names = prop::collection::vec(prop::sample::select(NAMES.to_vec()), 0..7);
    names.prop_map(|names| format!("/{}", names.join("/")))
}

fn pattern() -> impl Strategy<Value = PathPattern> {
    let wild = ["*", "**", "?", "*.key", "*.b.key", ".*", "a*", "*[.]key", "*.k?y", "[ab]", "[!a]", r"\*", "**", "*"];
    let all: Vec<&str> = NAMES[..9].iter().chain(&wild).copied().collect();
    let glob = prop::collection::vec(prop::sample::select(all), 1..6).prop_map(|n| format!("/{}", n.join("/")));
    prop_oneof![path().prop_map(PathPattern::Literal), glob.prop_map(PathPattern::Glob)]
}

fn effect() -> impl Strategy<Value = PathEffect> {
    let asked = [PathEffect::PromptRead, PathEffect::PromptWrite];
    let plain = [PathEffect::Read, PathEffect::Write, PathEffect::Protect, PathEffect::Deny];
    prop::sample::select([plain.as_slice(), &asked].concat())
}

fn strength(effect: PathEffect) -> u8 {
    match effect {
        PathEffect::Deny => 5,
        PathEffect::PromptWrite => 4,
        PathEffect::PromptRead => 3,
        PathEffect::Protect => 2,
        PathEffect::Write => 1,
        _ => 0,
    }
}

type Told = (Specificity, u8);

/// The definition: of all rules that match and tell less than `below`, the most specific, and at a tie the one that takes most away.
fn in_turn(rules: &[PathRule], path: &str, access: FileAccess, below: Option<Told>) -> (bool, Option<PathEffect>) {
    let compiled = rules.iter().map(|rule| (CompiledPattern::new(&rule.pattern).unwrap(), rule.effect));
    let matching = compiled.filter(|(pattern, _)| pattern.matches(path));
    // Reading is as it would be without anything protected.
    let matching = matching.filter(|(_, effect)| access == FileAccess::Write || *effect != PathEffect::Protect);
    let told = matching.map(|(pattern, effect)| ((pattern.specificity(), strength(effect)), effect));
    let Some((told, effect)) = told.filter(|(told, _)| below.is_none_or(|below| *told < below)).max_by_key(|one| one.0)
    else {
        return (false, None);
    };
    match (effect, access) {
        (PathEffect::Read, FileAccess::Read) | (PathEffect::Write, _) => (true, Some(effect)),
        (PathEffect::PromptRead, FileAccess::Write) => (false, Some(PathEffect::Read)),
        // Whatever lets it be read, or asks before it is read, has its way; else the host is asked.
        (PathEffect::PromptWrite, FileAccess::Read) => match in_turn(rules, path, access, Some(told)) {
            allowed @ (true, _) => allowed,
            (false, _) => (false, Some(effect)),
        },
        _ => (false, Some(effect)),
    }
}

fn rule(number: usize) -> RuleRef {
    RuleRef::new("test", u32::try_from(number).ok(), "a rule")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn files_are_decided_as_by_looking_at_each_rule(
        rules in prop::collection::vec((effect(), pattern()), 0..24),
        asked in prop::collection::vec(path(), 1..6),
    ) {
        let rules = rules.into_iter().enumerate();
        let rules: Vec<_> = rules.map(|(at, (effect, pattern))| PathRule::new(effect, pattern, rule(at))).collect();
        let compiles = rules.iter().all(|rule| CompiledPattern::new(&rule.pattern).is_ok());
        let mut profile = FilesystemProfile::default();
        profile.rules.clone_from(&rules);
        let indexed = FilesystemRules::new(&profile);
        prop_assert_eq!(indexed.is_ok(), compiles);
        if let Ok(indexed) = indexed {
            for path in &asked {
                for access in [FileAccess::Read, FileAccess::Write] {
                    let RuleDecision { allowed, effect, rule, .. } = indexed.decide(path, access).unwrap();
                    let (expected, asking) = in_turn(&rules, path, access, None);
                    let asks = |effect: Option<PathEffect>| effect.is_some_and(PathEffect::asks);
                    prop_assert_eq!((allowed, asks(effect)), (expected, asks(asking)), "{} {:?}", path, access);
                    prop_assert!(asks(effect) || effect == asking, "{} {:?}", path, access);
                    // The rule that is named is one of that effect that covers the path.
                    if let Some(rule) = rule {
                        let named = &rules[rule.line.unwrap() as usize];
                        let only_read = named.effect == PathEffect::PromptRead && effect == Some(PathEffect::Read);
                        prop_assert!(only_read || Some(named.effect) == effect);
                        prop_assert!(CompiledPattern::new(&named.pattern).unwrap().matches(path));
                    }
                }
            }
        }
    }

    #[test]
    fn programs_are_decided_as_by_looking_at_each_rule(
        allow in prop::collection::vec("(/|//|)(usr|bin|a|\\.|\\.\\.|/){0,3}(/bin|/a|)(/|)", 0..12),
        deny in prop::collection::vec("(/|)(usr|bin|a){0,1}(/bin|/a|)(/|)", 0..12),
        asked in prop::collection::vec("(/usr|/bin|/a|/binx|/\\.\\.){0,4}(/|)", 1..8),
    ) {
        let mut commands = CommandProfile::default();
        commands.allow = allow.iter().enumerate().map(|(at, prefix)| CommandRule::new(prefix, rule(at))).collect();
        commands.deny = deny.iter().enumerate().map(|(at, prefix)| CommandRule::new(prefix, rule(100 + at))).collect();
        let indexed = CommandRules::new(&commands);
        for path in &asked {
            prop_assert_eq!(indexed.decide(path), commands.decide(path), "{}", path);
        }
    }
}

#[test]
fn a_path_of_one_name_a_thousand_times_is_decided_at_once() {
    let mut profile = FilesystemProfile::default();
    for at in 0..200 {
        let pattern = PathPattern::Glob(format!("/w/**/z{at}*/**/m/**/n"));
        profile.rules.push(PathRule::new(PathEffect::Deny, pattern, rule(at)));
    }
    let rules = FilesystemRules::new(&profile).unwrap();
    // Each rule is looked at once, not once for each of the names.
    let path = format!("/w{}", "/n".repeat(2000));
    assert_eq!(rules.decide(&path, FileAccess::Read).unwrap().rule, None);
}
