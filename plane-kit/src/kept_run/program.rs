//! Finds the program that a request names, and asks the policy about it.

use crate::held_program::HeldProgram;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::profile::CommandProfile;
use cofferdam_bridge::verdict::Denial;
use nix::unistd::{AccessFlags, access};
use std::path::{Path, PathBuf};

/// The absolute path under which the program is executed.
///
/// Policy is asked before existence, so that no answer tells whether a file lies where no rule leads.
pub fn find(
    program: &str,
    search_path: &str,
    directory: &Path,
    commands: &CommandProfile,
) -> Result<PathBuf, BridgeError> {
    if program.is_empty() || program.contains('\0') {
        let message = "the program's name is empty or holds a NUL byte; name a program";
        return Err(BridgeError::new(ErrorCode::PathInvalid, message));
    }
    if program.contains('/') {
        let path = directory.join(program);
        return allowed(&path, commands).map(|()| path);
    }
    let mut refused = None;
    for place in search_path.split(':').filter(|place| place.starts_with('/')) {
        let path = Path::new(place).join(program);
        match allowed(&path, commands) {
            Ok(()) => return Ok(path),
            Err(error) if error.code == ErrorCode::DeniedByPolicy && path.exists() => {
                refused = refused.or(Some(error));
            }
            Err(_) => {}
        }
    }
    Err(refused.unwrap_or_else(|| {
        let message = format!("`{program}` is in no directory of the run's PATH; name it by its path, or set PATH");
        BridgeError::new(ErrorCode::ProgramNotFound, message).with("program", program)
    }))
}

/// The program opened and checked, with the interpreters that it names. `program` is its path.
pub fn hold(program: &str, directory: &Path, commands: &CommandProfile) -> Result<HeldProgram, BridgeError> {
    if !program.contains('/') || program.contains('\0') {
        let message = "a program that is held is named by its path, without NUL bytes";
        return Err(BridgeError::new(ErrorCode::PathInvalid, message));
    }
    HeldProgram::open(&directory.join(program), &|place| decided(&place.to_string_lossy(), commands))
}

fn decided(subject: &str, commands: &CommandProfile) -> Result<(), BridgeError> {
    let decision = commands.decide(subject);
    if decision.allowed {
        return Ok(());
    }
    let mut denial = Denial::new("command.execute", subject);
    denial.remedy = Some(match &decision.rule {
        Some(rule) => format!("remove `{}` ({})", rule.text, rule.place()),
        None => format!("commands.allow = [\"{subject}\"]"),
    });
    denial.rule = decision.rule;
    Err(BridgeError::denied(&denial))
}

fn allowed(path: &Path, commands: &CommandProfile) -> Result<(), BridgeError> {
    let canonical = std::fs::canonicalize(path);
    let subject = canonical.as_deref().unwrap_or(path).to_string_lossy().into_owned();
    decided(&subject, commands)?;
    let Ok(canonical) = canonical else {
        let message = format!("there is no program `{}`; name one that is there", path.display());
        return Err(BridgeError::new(ErrorCode::ProgramNotFound, message).with("path", subject));
    };
    if !canonical.is_file() || access(&canonical, AccessFlags::X_OK).is_err() {
        let message = format!("`{}` is no executable file; `chmod +x` makes it one", path.display());
        return Err(BridgeError::new(ErrorCode::ProgramNotExecutable, message).with("path", subject));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use cofferdam_bridge::profile::CommandRule;
    use cofferdam_bridge::verdict::RuleRef;

    fn commands(allow: &[&str]) -> CommandProfile {
        let rule = |prefix: &&str| CommandRule::new(*prefix, RuleRef::new("test", None, "commands.allow"));
        let mut commands = CommandProfile::default();
        commands.allow = allow.iter().map(rule).collect();
        commands
    }

    fn code(program: &str, allow: &[&str]) -> ErrorCode {
        find(program, "/usr/bin:/bin", Path::new("/"), &commands(allow)).unwrap_err().code
    }

    #[test]
    fn x2_what_no_rule_allows_is_refused_whether_it_exists_or_not() {
        assert_eq!(code("/bin/sh", &["/opt"]), ErrorCode::DeniedByPolicy);
        assert_eq!(code("/no/such", &["/opt"]), ErrorCode::DeniedByPolicy);
        assert_eq!(code("sh", &["/opt"]), ErrorCode::DeniedByPolicy);
    }

    #[test]
    fn x2_missing_and_not_executable_are_told_apart() {
        assert_eq!(code("/no/such", &["/"]), ErrorCode::ProgramNotFound);
        assert_eq!(code("no-such-program", &["/"]), ErrorCode::ProgramNotFound);
        assert_eq!(code("/etc/passwd", &["/"]), ErrorCode::ProgramNotExecutable);
        assert_eq!(code("", &["/"]), ErrorCode::PathInvalid);
    }
}
