//! The log is out of reach of what it is about.

use crate::policy::{Access, CompiledPolicy};
use cofferdam_bridge::decide::FilesystemRules;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::profile::{PathEffect, PathPattern, PathRule};
use cofferdam_bridge::verdict::{RuleRef, Verdict};

/// Denies the directory `place`, where a rule of the policy opens it or something above it.
pub(super) fn keep_out(place: &str, compiled: &mut CompiledPolicy) -> Result<(), BridgeError> {
    let opening = |rule: &&PathRule| matches!(rule.effect, PathEffect::Read | PathEffect::Write);
    let inside = format!("{place}/");
    let named = |rule: &&PathRule| match &rule.pattern {
        PathPattern::Literal(path) | PathPattern::Glob(path) => path == place || path.starts_with(&inside),
        // A pattern that is not known here might lead there.
        _ => true,
    };
    if let Some(rule) = compiled.profile.filesystem.rules.iter().filter(opening).find(named) {
        let message = format!(
            "`{}` ({}) opens the audit log, which nothing that is recorded there may reach; remove it, or keep the log elsewhere",
            rule.rule.text,
            rule.rule.place()
        );
        return Err(BridgeError::new(ErrorCode::PolicyInvalid, message));
    }
    let decision = compiled.decide(&Access::Read(place.to_owned()))?;
    // Without a rule it is the private temporary folder, which does not hold the host's directories.
    if decision.verdict == Verdict::Deny || decision.rule.is_none() {
        return Ok(());
    }
    let rule = RuleRef::new("built-in audit", None, format!("filesystem.deny \"{place}\""));
    let rule = PathRule::new(PathEffect::Deny, PathPattern::Literal(place.to_owned()), rule);
    compiled.profile.filesystem.rules.push(rule);
    compiled.files = FilesystemRules::new(&compiled.profile.filesystem)?;
    Ok(())
}
