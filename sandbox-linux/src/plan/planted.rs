//! Links that an earlier run may have planted: a rule that allows must not reach, through one, more than the policy gives anyway.
//!
//! Resolving is right by itself (what is mounted is what was resolved), but a name in a writable place means what the guest made of it:
//! `{workspace}/cache`, turned into a link to the home directory, would give that to the next run.

use crate::plan::view::TEMPORARY;
use cofferdam_bridge::decide::{FileAccess, FilesystemRules};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::profile::{FilesystemProfile, PathEffect, PathPattern, PathRule, Temporary};
use cofferdam_bridge::verdict::RuleRef;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A rule that led through links.
#[derive(Clone, Debug)]
pub(crate) struct Linked {
    /// Its number among the canonical rules; none for a rule about programs, and for a path that is no text.
    pub(crate) number: Option<usize>,
    pub(crate) rule: RuleRef,
    /// Where the links are.
    pub(crate) links: Vec<PathBuf>,
    /// Where they lead, also if nothing is there yet: without mounts a run could make it.
    pub(crate) target: PathBuf,
    pub(crate) access: FileAccess,
    /// Whether the policy's author named just this path. A pattern means what is there, and a built-in rule what a system has: what a
    /// run put there is not meant, and no reason to start nothing more.
    pub(crate) named: bool,
}

/// Refuses a rule that reaches through a link in a writable place what no other rule gives. `rules`: all of them, by canonical path.
/// Answers which of `linked` are to be passed over, by their places: those that do so without having been named.
pub(crate) fn check(
    rules: &[PathRule],
    linked: &[Linked],
    temporary: Temporary,
) -> Result<BTreeSet<usize>, BridgeError> {
    let planted: Vec<(usize, &Linked, &PathBuf)> = linked
        .iter()
        .enumerate()
        .filter_map(|(at, one)| {
            one.links.iter().find(|link| may_make(rules, link, temporary)).map(|link| (at, one, link))
        })
        .collect();
    if planted.is_empty() {
        return Ok(BTreeSet::new());
    }
    let distrusted = |number: usize| planted.iter().any(|(_, one, _)| one.number == Some(number));
    let mut without = FilesystemProfile::default();
    without.rules =
        rules.iter().enumerate().filter(|(number, _)| !distrusted(*number)).map(|(_, rule)| rule.clone()).collect();
    let without = FilesystemRules::new(&without)?;
    let mut passed_over = BTreeSet::new();
    for (at, one, link) in planted {
        // A path that is no text is named by no rule.
        let given =
            one.target.to_str().is_some_and(|target| without.decide(target, one.access).is_ok_and(|said| said.allowed));
        if given {
            continue;
        }
        if !one.named {
            passed_over.insert(at);
            continue;
        }
        let message = format!(
            "`{}` ({}) leads through the link `{}`, which lies where a guest may write, to `{}`; if that is meant, name it instead",
            one.rule.text,
            one.rule.place(),
            link.display(),
            one.target.display()
        );
        return Err(BridgeError::new(ErrorCode::PolicyInvalid, message).with("path", &*link.to_string_lossy()));
    }
    Ok(passed_over)
}

/// Whether a guest may have made what is at `link`: the nearest writable place is looked for, whatever else takes away beneath it.
/// Not in private temporary storage, which is not the host's folder of that name.
fn may_make(rules: &[PathRule], link: &Path, temporary: Temporary) -> bool {
    rules.iter().filter(|rule| rule.effect == PathEffect::Write).any(|rule| match &rule.pattern {
        PathPattern::Literal(place) if temporary == Temporary::Private && place == TEMPORARY => false,
        PathPattern::Literal(place) => link != Path::new(place) && link.starts_with(place),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(effect: PathEffect, path: &str) -> PathRule {
        PathRule::new(
            effect,
            PathPattern::Literal(path.to_owned()),
            RuleRef::new("p.toml", Some(7), format!("rule {path}")),
        )
    }

    fn linked(number: usize, link: &str, target: &str) -> Linked {
        let rule = RuleRef::new("p.toml", Some(7), "the rule".to_owned());
        Linked {
            number: Some(number),
            rule,
            links: vec![link.into()],
            target: target.into(),
            access: FileAccess::Write,
            named: true,
        }
    }

    fn check(rules: &[PathRule], linked: &[Linked]) -> Result<BTreeSet<usize>, BridgeError> {
        super::check(rules, linked, Temporary::Private)
    }

    #[test]
    fn fs_06_a_link_in_a_writable_place_gives_nothing_new() {
        let rules = [rule(PathEffect::Write, "/w"), rule(PathEffect::Write, "/home/u")];
        let told = check(&rules, &[linked(1, "/w/cache", "/home/u")]).unwrap_err();
        assert!(told.message.contains("/w/cache") && told.message.contains("p.toml:7"), "{}", told.message);
        let rules = [rule(PathEffect::Write, "/w"), rule(PathEffect::Write, "/w/real")];
        check(&rules, &[linked(1, "/w/cache", "/w/real")]).unwrap();
    }

    #[test]
    fn links_elsewhere_are_the_host_s_own() {
        let rules = [rule(PathEffect::Write, "/w"), rule(PathEffect::Write, "/data/big")];
        check(&rules, &[linked(1, "/srv/data", "/data/big")]).unwrap();
        check(&rules, &[linked(0, "/w", "/w")]).unwrap();
        let rules = [rule(PathEffect::Write, "/tmp"), rule(PathEffect::Write, "/data/big")];
        check(&rules, &[linked(1, "/tmp/data", "/data/big")]).unwrap();
        assert!(super::check(&rules, &[linked(1, "/tmp/data", "/data/big")], Temporary::Absent).is_err());
    }

    #[test]
    fn what_nobody_named_is_passed_over_and_hinders_no_start() {
        let rules =
            [rule(PathEffect::Write, "/w"), rule(PathEffect::Read, "/home/u"), rule(PathEffect::Read, "/w/real")];
        let by_pattern = |number, link, target| Linked { named: false, ..linked(number, link, target) };
        let passed_over =
            check(&rules, &[by_pattern(1, "/w/x.toml", "/home/u"), by_pattern(2, "/w/y.toml", "/w/real")]);
        assert_eq!(passed_over.unwrap(), BTreeSet::from([0]));
    }
}
