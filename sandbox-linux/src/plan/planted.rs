//! Links that an earlier run may have planted: a rule that allows must not reach, through one, more than the policy gives anyway.
//!
//! Resolving is right by itself (what is mounted is what was resolved), but a name in a writable place means what the guest made of it:
//! `{workspace}/cache`, turned into a link to the home directory, would give that to the next run.

use cofferdam_bridge::decide::{FileAccess, FilesystemRules};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::profile::{FilesystemProfile, PathEffect, PathPattern, PathRule};
use cofferdam_bridge::verdict::RuleRef;
use std::path::{Path, PathBuf};

/// A rule that led through links.
#[derive(Clone, Debug)]
pub(crate) struct Linked {
    /// Its number among the canonical rules; none for a rule about programs.
    pub(crate) number: Option<usize>,
    pub(crate) rule: RuleRef,
    /// Where the links are.
    pub(crate) links: Vec<PathBuf>,
    /// Where they lead.
    pub(crate) target: PathBuf,
    pub(crate) access: FileAccess,
}

/// Refuses a rule that reaches through a link in a writable place what no other rule gives. `rules`: all of them, by canonical path.
pub(crate) fn check(rules: &[PathRule], linked: &[Linked]) -> Result<(), BridgeError> {
    let planted: Vec<(&Linked, &PathBuf)> = linked
        .iter()
        .filter_map(|one| one.links.iter().find(|link| may_make(rules, link)).map(|link| (one, link)))
        .collect();
    if planted.is_empty() {
        return Ok(());
    }
    let distrusted = |number: usize| planted.iter().any(|(one, _)| one.number == Some(number));
    let mut without = FilesystemProfile::default();
    without.rules =
        rules.iter().enumerate().filter(|(number, _)| !distrusted(*number)).map(|(_, rule)| rule.clone()).collect();
    let without = FilesystemRules::new(&without)?;
    for (one, link) in planted {
        // A path that is no text is named by no rule.
        let given =
            one.target.to_str().is_some_and(|target| without.decide(target, one.access).is_ok_and(|said| said.allowed));
        if !given {
            let message = format!(
                "`{}` ({}) leads through the link `{}`, which lies where a guest may write, to `{}`; if that is meant, name it instead",
                one.rule.text,
                one.rule.place(),
                link.display(),
                one.target.display()
            );
            return Err(BridgeError::new(ErrorCode::PolicyInvalid, message).with("path", &*link.to_string_lossy()));
        }
    }
    Ok(())
}

/// Whether a guest may have made what is at `link`: the nearest writable place is looked for, whatever else takes away beneath it.
fn may_make(rules: &[PathRule], link: &Path) -> bool {
    rules.iter().filter(|rule| rule.effect == PathEffect::Write).any(|rule| match &rule.pattern {
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
        }
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
    }
}
