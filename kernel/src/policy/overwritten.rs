//! An allowed program that the guest may overwrite, refused when a policy is compiled: whatever the guest likes would run under its name.

use super::tree::{Place, invalid};
use cofferdam_bridge::decide::{FileAccess, FilesystemRules};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::profile::{CommandRule, ExecutionProfile, PathEffect, PathPattern};

/// Checks each entry of `commands.allow`. One that names a whole writable place, or a directory around it, says that whatever the guest
/// makes there may run; one that names less must be out of the guest's reach.
///
/// # Errors
/// `policy_invalid`, naming the entry and the rule that lets the guest write there.
pub(super) fn check(profile: &ExecutionProfile, files: &FilesystemRules) -> Result<(), BridgeError> {
    for allowed in &profile.commands.allow {
        let path = trimmed(&allowed.prefix);
        let is_place = profile.filesystem.rules.iter().any(|rule| {
            let same = matches!(&rule.pattern, PathPattern::Literal(place) if trimmed(place) == path);
            rule.effect == PathEffect::Write && same
        });
        let around = profile.commands.allow.iter().any(|other| is_around(other, path));
        if path.is_empty() || is_place || around {
            continue;
        }
        let decision = files.decide(path, FileAccess::Write)?;
        let Some(writing) = decision.rule.filter(|_| decision.allowed) else { continue };
        let why = format!(
            "`{}` names a program that the guest may overwrite by `{}` ({}); add filesystem.protect = [\"{path}\"], or allow programs where nothing may be written",
            allowed.rule.text,
            writing.text,
            writing.place()
        );
        let place = allowed.rule.line.map(|line| Place { line, column: 1 });
        return Err(invalid(&allowed.rule.source, place, &why));
    }
    Ok(())
}

fn is_around(other: &CommandRule, path: &str) -> bool {
    path.strip_prefix(trimmed(&other.prefix)).is_some_and(|rest| rest.starts_with('/'))
}

fn trimmed(path: &str) -> &str {
    path.trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::super::validated::{NoFiles, Policy};
    use crate::policy::Placeholders;
    use std::collections::BTreeMap;

    fn compiled(lines: &str) -> Result<(), String> {
        let places = Placeholders { workspace: Some("/w".to_owned()), ..Placeholders::default() };
        let policy = Policy::parse(&format!("version = 1\n{lines}"), "p.toml", &NoFiles).unwrap();
        policy.compile(&places, &BTreeMap::new()).map(drop).map_err(|error| error.message)
    }

    #[test]
    fn fs_26_a_program_in_a_writable_place_is_refused_by_name() {
        let written = "extends = \"strict\"\n[filesystem]\nwrite = [\"{workspace}\"]\n";
        for entry in ["{workspace}/bin/tool", "{workspace}/bin/", "literal:/w/tool"] {
            let told = compiled(&format!("{written}[commands]\nallow = [\"{entry}\"]\n")).unwrap_err();
            assert!(
                told.contains("p.toml:6") && told.contains("commands.allow") && told.contains("p.toml:4"),
                "{told}"
            );
        }
    }

    #[test]
    fn what_cannot_be_overwritten_or_says_everything_is_taken() {
        let written = "extends = \"strict\"\n[filesystem]\nwrite = [\"{workspace}\"]\n";
        for lines in [
            "protect = [\"{workspace}/bin/tool\"]\n[commands]\nallow = [\"{workspace}/bin/tool\"]\n",
            "read = [\"{workspace}/bin\"]\n[commands]\nallow = [\"{workspace}/bin/tool\"]\n",
            "[commands]\nallow = [\"{workspace}\"]\n",
            "[commands]\nallow = [\"{workspace}/\", \"{workspace}/bin/tool\"]\n",
            "[commands]\nallow = [\"*\"]\n",
            "[commands]\nallow = [\"/opt/tool\"]\n",
        ] {
            compiled(&format!("{written}{lines}")).unwrap();
        }
        compiled("extends = \"dev\"\n[commands]\nallow = [\"{workspace}/tool\"]\n").unwrap();
    }
}
