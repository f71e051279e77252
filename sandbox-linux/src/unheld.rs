//! Rules that mounts cannot hold: patterns that take away, and names that do not exist yet inside a writable place.
//!
//! A deny of that kind refuses the run. A protection of that kind is reported as not held, since protections come with
//! every policy that has a workspace.

use cofferdam_bridge::decide::{FileAccess, FilesystemRules};
use cofferdam_bridge::descriptor::Shortfall;
use cofferdam_bridge::enforcement::{Mechanism, MechanismReport};
use cofferdam_bridge::profile::{ExecutionProfile, PathEffect, PathPattern, PathRule};
use std::path::Path;

/// What the mounts of one profile cannot hold.
#[derive(Debug, Default)]
pub(crate) struct Unheld {
    /// A blocking shortfall for each deny among it.
    pub(crate) shortfalls: Vec<Shortfall>,
    /// What to say of protections in the result; none where nothing is unprotected.
    pub(crate) report: Option<MechanismReport>,
}

impl Unheld {
    /// Works it out, which looks at the host's directories.
    pub(crate) fn new(profile: &ExecutionProfile) -> Self {
        let Ok(rules) = FilesystemRules::new(&profile.filesystem) else { return Self::default() };
        let of = |effect: PathEffect| profile.filesystem.rules.iter().filter(move |rule| rule.effect == effect);
        let unprotected = of(PathEffect::Protect).any(|rule| cannot_be_held(rule, &rules));
        let shortfalls = of(PathEffect::Deny).filter(|rule| cannot_be_held(rule, &rules)).map(refusal).collect();
        let report = unprotected.then(|| {
            MechanismReport::missing(
                Mechanism::Broker,
                "protected names that do not exist yet, or lie below the workspace's top folder, are not held; what exists at the top is read-only",
            )
        });
        Self { shortfalls, report }
    }
}

fn refusal(rule: &PathRule) -> Shortfall {
    let message = format!(
        "`{}` ({}) takes away by a pattern, or a name that does not exist yet inside a writable place, which this plane cannot hold; name files and directories that exist",
        rule.rule.text,
        rule.rule.place()
    );
    Shortfall::blocking(Some(Mechanism::Broker), message, None)
}

fn cannot_be_held(rule: &PathRule, rules: &FilesystemRules) -> bool {
    match &rule.pattern {
        PathPattern::Literal(path) => !Path::new(path).exists() && parent_is_writable(path, rules),
        _ => true,
    }
}

/// Whether the nearest directory above that exists may be written to.
fn parent_is_writable(path: &str, rules: &FilesystemRules) -> bool {
    let Some(parent) = Path::new(path).ancestors().skip(1).find(|parent| parent.exists()) else { return false };
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
        let found = Unheld::new(&profile(&rules)).shortfalls;
        assert!(found.first().is_some_and(|one| one.blocking && one.message.contains("test:3")), "{found:?}");
    }

    #[test]
    fn a_deny_where_nothing_can_be_written_is_held_by_the_absence() {
        let rules = [(PathEffect::Read, literal("/usr")), (PathEffect::Deny, literal("/usr/no-such-name"))];
        assert!(Unheld::new(&profile(&rules)).shortfalls.is_empty());
    }

    #[test]
    fn fs_21_a_deny_by_pattern_refuses_the_run() {
        let rules = [(PathEffect::Deny, PathPattern::Glob("/w/**/.env".to_owned()))];
        assert_eq!(Unheld::new(&profile(&rules)).shortfalls.len(), 1);
    }
}
