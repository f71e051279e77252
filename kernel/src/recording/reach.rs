//! The log is out of reach of what it is about.

use crate::policy::CompiledPolicy;
use cofferdam_bridge::decide::FilesystemRules;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::profile::{PathEffect, PathPattern, PathRule};
use cofferdam_bridge::verdict::RuleRef;

/// Denies the directory `place`, and refuses a policy that opens it by name.
pub(super) fn keep_out(place: &str, compiled: &mut CompiledPolicy) -> Result<(), BridgeError> {
    let opening = |rule: &&PathRule| matches!(rule.effect, PathEffect::Read | PathEffect::Write) || rule.effect.asks();
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
    // Also where no rule of the policy covers it as it is written: a rule may name a link of the host that leads there, and planes hold
    // what is denied by what it is, whatever path leads to it.
    let rule = RuleRef::new("built-in audit", None, format!("filesystem.deny \"{place}\""));
    let rule = PathRule::new(PathEffect::Deny, PathPattern::Literal(place.to_owned()), rule);
    compiled.profile.filesystem.rules.push(rule);
    compiled.files = FilesystemRules::new(&compiled.profile.filesystem)?;
    Ok(())
}
