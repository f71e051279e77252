//! The line that would allow what was refused, by the rule that refused it.

use cofferdam_bridge::decide::RuleDecision;
use cofferdam_bridge::policy_line::{path_line, quoted};
use cofferdam_bridge::profile::PathEffect;
use cofferdam_bridge::verdict::{Denial, RuleRef};
use std::path::Path;

/// Where rules stand that keep secrets.
const SECRETS: &str = "built-in secrets";

/// For a file: `place` is what the line names.
pub(super) fn of_file(denial: &mut Denial, decision: &RuleDecision, key: &str, place: &Path) {
    let rule = decision.rule.clone().filter(|_| takes_away(decision));
    denial.secret = rule.as_ref().is_some_and(is_secret);
    denial.remedy = match (decision.effect, &rule) {
        (Some(PathEffect::Protect), Some(rule)) => Some(unprotect(rule, &denial.subject)),
        (_, Some(rule)) if !is_secret(rule) => Some(removal(rule)),
        _ => place.to_str().and_then(|place| path_line(key, place)),
    };
    denial.rule = rule;
}

/// For a program: it must be allowed to run, and be seen.
pub(super) fn of_program(
    denial: &mut Denial,
    command: &RuleDecision,
    visible: &RuleDecision,
    named: &Path,
    canonical: &Path,
) {
    let mut lines = Vec::new();
    if !command.allowed {
        lines.push(match &command.rule {
            Some(rule) => Some(removal(rule)),
            None => canonical.to_str().and_then(|path| path_line("commands.allow", path)),
        });
        denial.rule.clone_from(&command.rule);
    }
    if !visible.allowed {
        let mut file = Denial::new("", denial.subject.clone());
        of_file(&mut file, visible, "filesystem.read", named);
        lines.push(file.remedy);
        denial.secret |= file.secret;
        denial.rule = denial.rule.take().or(file.rule);
    }
    denial.remedy = lines.into_iter().collect::<Option<Vec<_>>>().map(|lines| lines.join("\n"));
}

/// The line that takes a name off the list of what is protected.
pub(super) fn unprotect(rule: &RuleRef, subject: &str) -> String {
    let name = rule.text.split('"').nth(1).unwrap_or(subject);
    format!("filesystem.unprotect = [{}]", quoted(name))
}

/// What is to be done about a rule that takes away: no line added elsewhere is stronger.
pub(super) fn removal(rule: &RuleRef) -> String {
    format!("remove `{}` ({})", rule.text, rule.place())
}

/// Whether a rule is one of those that keep secrets.
pub(super) fn is_secret(rule: &RuleRef) -> bool {
    rule.source == SECRETS
}

fn takes_away(decision: &RuleDecision) -> bool {
    // A rule that only lets read is not what is in the way of writing: what is missing is one that lets write.
    !decision.allowed && !matches!(decision.effect, Some(PathEffect::Read | PathEffect::Write))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cofferdam_bridge::decide::{FileAccess, FilesystemRules};
    use cofferdam_bridge::profile::{FilesystemProfile, PathPattern, PathRule};

    fn remedy(effect: PathEffect, source: &str, path: &str) -> Denial {
        let mut profile = FilesystemProfile::default();
        let rule = RuleRef::new(source, None, "filesystem.rule \"name\"");
        profile.rules.push(PathRule::new(effect, PathPattern::Literal("/srv".to_owned()), rule));
        let decision = FilesystemRules::new(&profile).unwrap().decide(path, FileAccess::Write).unwrap();
        let mut denial = Denial::new("filesystem.write", path);
        of_file(&mut denial, &decision, "filesystem.write", Path::new(path));
        denial
    }

    #[test]
    fn what_no_rule_names_takes_one_line() {
        let told = remedy(PathEffect::Read, "mine", "/srv/x");
        assert_eq!((told.remedy.as_deref(), told.rule), (Some("filesystem.write = [\"/srv/x\"]"), None));
    }

    #[test]
    fn a_secret_is_marked_and_a_deny_is_to_be_removed() {
        let told = remedy(PathEffect::Deny, SECRETS, "/srv/x");
        assert!(told.secret && told.remedy.unwrap().contains("/srv/x"));
        let told = remedy(PathEffect::Deny, "mine", "/srv/x");
        assert!(!told.secret && told.remedy.unwrap().starts_with("remove `"));
    }

    #[test]
    fn what_is_protected_is_taken_off_the_list() {
        let told = remedy(PathEffect::Protect, "built-in protect", "/srv/x");
        assert_eq!(told.remedy.as_deref(), Some("filesystem.unprotect = [\"name\"]"));
    }
}
