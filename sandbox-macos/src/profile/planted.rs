//! Links that an earlier run may have planted: a rule that allows must not reach, through one, more than the policy gives anyway.

use super::Setting;
use super::names::canonical;
use cofferdam_bridge::decide::{FileAccess, FilesystemRules};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::path_pattern::{CompiledPattern, Part};
use cofferdam_bridge::profile::{FilesystemProfile, PathEffect, PathRule};

/// Refuses rules of `own`, as the policy has them, that lead through a link in a place that `real`, the same rules with real paths, lets be
/// written, to what no other rule gives.
pub(super) fn check(own: &FilesystemProfile, real: &[PathRule], setting: &Setting<'_>) -> Result<(), BridgeError> {
    let writes = real.iter().filter(|rule| rule.effect == PathEffect::Write);
    let writable = writes.map(|rule| CompiledPattern::new(&rule.pattern)).collect::<Result<Vec<_>, _>>()?;
    for rule in own.rules.iter().filter(|rule| matches!(rule.effect, PathEffect::Read | PathEffect::Write)) {
        let Some((link, target)) = planted(rule, &writable, setting)? else { continue };
        let mut others = FilesystemProfile::default();
        others.rules = real.iter().filter(|other| other.rule != rule.rule).cloned().collect();
        let access = if rule.effect == PathEffect::Write { FileAccess::Write } else { FileAccess::Read };
        if FilesystemRules::new(&others)?.decide(&target, access).is_ok_and(|decision| decision.allowed) {
            continue;
        }
        let message = format!(
            "`{}` ({}) leads through the link `{link}`, which lies where a guest may write, to `{target}`; if that is meant, name it instead",
            rule.rule.text,
            rule.rule.place()
        );
        return Err(BridgeError::new(ErrorCode::PolicyInvalid, message).with("path", link));
    }
    Ok(())
}

/// The first link on the way of a rule that lies in a writable place, and where the rule leads.
fn planted(
    rule: &PathRule,
    writable: &[CompiledPattern],
    setting: &Setting<'_>,
) -> Result<Option<(String, String)>, BridgeError> {
    let pattern = CompiledPattern::new(&rule.pattern)?;
    let mut path = String::new();
    let mut link = None;
    for part in pattern.parts().iter() {
        let Part::Literal(name) = part else { break };
        let folder = canonical(setting.names, if path.is_empty() { "/" } else { &path });
        let place = format!("{}/{name}", folder.trim_end_matches('/'));
        path = format!("{path}/{name}");
        // A volume that folds case answers with the name as it was made: that is no link.
        let leads_elsewhere = setting.names.real_path(&path).is_some_and(|real| !real.eq_ignore_ascii_case(&place));
        if link.is_none() && leads_elsewhere && writable.iter().any(|pattern| pattern.matches(&folder)) {
            link = Some(place);
        }
    }
    Ok(link.map(|link| (link, canonical(setting.names, &path))))
}
