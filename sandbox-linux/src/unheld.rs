//! Rules that mounts cannot hold: patterns that take away, and names that do not exist yet inside a writable place.
//!
//! A deny of that kind refuses the run. A protection of that kind is reported as not held, since protections come with
//! every policy that has a workspace.

use cofferdam_bridge::decide::{FileAccess, FilesystemRules};
use cofferdam_bridge::descriptor::Shortfall;
use cofferdam_bridge::enforcement::{Mechanism, MechanismReport};
use cofferdam_bridge::profile::{ExecutionProfile, PathEffect, PathPattern, PathRule};
use std::path::Path;

/// A blocking shortfall for each deny that cannot be held.
pub(crate) fn shortfalls(profile: &ExecutionProfile) -> Vec<Shortfall> {
    let denies = profile.filesystem.rules.iter().filter(|rule| rule.effect == PathEffect::Deny);
    let unheld = denies.filter(|rule| cannot_be_held(rule, profile));
    let told = |rule: &PathRule| {
        let message = format!(
            "`{}` ({}) takes away by a pattern, or a name that does not exist yet inside a writable place, which this plane cannot hold; name files and directories that exist",
            rule.rule.text,
            rule.rule.place()
        );
        Shortfall::blocking(Some(Mechanism::Broker), message, None)
    };
    unheld.map(told).collect()
}

/// What to say of protections in the result; nothing where there is no writable place to protect anything in.
pub(crate) fn report(profile: &ExecutionProfile) -> Option<MechanismReport> {
    let protections = profile.filesystem.rules.iter().filter(|rule| rule.effect == PathEffect::Protect);
    let unheld = protections.filter(|rule| cannot_be_held(rule, profile)).count();
    (unheld > 0).then(|| {
        MechanismReport::missing(
            Mechanism::Broker,
            "protected names that do not exist yet, or lie below the workspace's top folder, are not held; what exists at the top is read-only",
        )
    })
}

fn cannot_be_held(rule: &PathRule, profile: &ExecutionProfile) -> bool {
    match &rule.pattern {
        PathPattern::Literal(path) => !Path::new(path).exists() && parent_is_writable(path, profile),
        _ => true,
    }
}

/// Whether the nearest directory above that exists may be written to.
fn parent_is_writable(path: &str, profile: &ExecutionProfile) -> bool {
    let Some(parent) = Path::new(path).ancestors().skip(1).find(|parent| parent.exists()) else { return false };
    let Ok(rules) = FilesystemRules::new(&profile.filesystem) else { return true };
    rules.decide(&parent.to_string_lossy(), FileAccess::Write).is_ok_and(|decision| decision.allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cofferdam_bridge::verdict::RuleRef;

    fn profile(rules: &[(PathEffect, PathPattern)]) -> ExecutionProfile {
        let mut profile = ExecutionProfile::closed("test");
        for (effect, pattern) in rules {
            let rule = RuleRef::new("test", Some(3), "filesystem.deny");
            profile.filesystem.rules.push(PathRule::new(*effect, pattern.clone(), rule));
        }
        profile
    }

    fn literal(path: &str) -> PathPattern {
        PathPattern::Literal(path.to_owned())
    }

    #[test]
    fn fs_20_a_deny_of_a_name_that_is_not_there_yet_refuses_the_run() {
        let rules = [(PathEffect::Write, literal("/tmp")), (PathEffect::Deny, literal("/tmp/no-such-name"))];
        let found = shortfalls(&profile(&rules));
        assert!(found.first().is_some_and(|one| one.blocking && one.message.contains("test:3")), "{found:?}");
    }

    #[test]
    fn a_deny_where_nothing_can_be_written_is_held_by_the_absence() {
        let rules = [(PathEffect::Read, literal("/usr")), (PathEffect::Deny, literal("/usr/no-such-name"))];
        assert!(shortfalls(&profile(&rules)).is_empty());
    }

    #[test]
    fn fs_21_a_deny_by_pattern_refuses_the_run() {
        let rules = [(PathEffect::Deny, PathPattern::Glob("/w/**/.env".to_owned()))];
        assert_eq!(shortfalls(&profile(&rules)).len(), 1);
    }
}
