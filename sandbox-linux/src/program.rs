//! Finds the program that a request names, as the guest would see it, and asks the policy about it.

use crate::plan::view::{Access, View};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::execution::{ProgramFile, StartExecutionRequest};
use cofferdam_bridge::policy_line::path_line;
use cofferdam_bridge::profile::CommandProfile;
use cofferdam_bridge::verdict::Denial;
use cofferdam_plane_kit::held_program::HeldProgram;
use nix::unistd::{AccessFlags, access};
use std::path::{Path, PathBuf};

/// What is executed: a path that is looked up inside, or a file that was opened and checked.
#[derive(Debug)]
pub(crate) enum Program {
    ByPath(PathBuf),
    Held(HeldProgram),
}

impl Program {
    /// The program that `request` names.
    pub(crate) fn of(
        request: &StartExecutionRequest,
        view: &View,
        commands: &CommandProfile,
    ) -> Result<Self, BridgeError> {
        let directory = Path::new(&request.working_directory);
        match request.program_file {
            ProgramFile::ByPath => find(request, view, commands).map(Self::ByPath),
            ProgramFile::Held => hold(&request.program, directory, view, commands).map(Self::Held),
            // What is not known here is not run as something else.
            _ => Err(BridgeError::new(
                ErrorCode::UnsupportedBackendFeature,
                "this plane does not know how the program's file is to be found; use planes and kernel of one release",
            )),
        }
    }

    /// Its path inside.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::ByPath(path) => path,
            Self::Held(held) => &held.binary.path,
        }
    }
}

/// The absolute path under which the guest will execute the program.
///
/// Policy is asked before existence, so that no answer tells whether a file lies where the guest may not look.
fn find(request: &StartExecutionRequest, view: &View, commands: &CommandProfile) -> Result<PathBuf, BridgeError> {
    let program = request.program.as_str();
    let directory = Path::new(&request.working_directory);
    let search_path = request.environment.get("PATH").map(String::as_str);
    if program.is_empty() || program.contains('\0') {
        return Err(BridgeError::new(ErrorCode::PathInvalid, "the program's name is empty or holds a NUL byte"));
    }
    if program.contains('/') {
        let path = directory.join(program);
        return visible(&path, view, commands).map(|()| path);
    }
    let mut refused = None;
    for place in search_path.unwrap_or_default().split(':').filter(|place| place.starts_with('/')) {
        let path = Path::new(place).join(program);
        match visible(&path, view, commands) {
            Ok(()) => return Ok(path),
            // A directory of PATH that the guest may not see is no news; a program that is there and forbidden is.
            Err(error) if error.code == ErrorCode::DeniedByPolicy && in_sight(&path, view) => {
                refused = refused.or(Some(error));
            }
            Err(_) => {}
        }
    }
    Err(refused.unwrap_or_else(|| {
        let message = format!(
            "`{program}` is in no directory of PATH that can be seen inside; name it by its path, or allow its directory by `filesystem.read` and `commands.allow`"
        );
        BridgeError::new(ErrorCode::ProgramNotFound, message).with("program", program)
    }))
}

fn in_sight(path: &Path, view: &View) -> bool {
    std::fs::canonicalize(path).is_ok_and(|canonical| view.access(&canonical) != Access::None)
}

/// The line that shows a program under the name that it is started by.
fn shown(path: &Path) -> Option<String> {
    path_line("filesystem.read", path.to_str()?)
}

/// The program opened and checked, with the interpreters that it names. `program` is its path.
fn hold(program: &str, directory: &Path, view: &View, commands: &CommandProfile) -> Result<HeldProgram, BridgeError> {
    if !program.contains('/') || program.contains('\0') {
        let message = "a program that is held is named by its path, without NUL bytes";
        return Err(BridgeError::new(ErrorCode::PathInvalid, message));
    }
    let path = directory.join(program);
    HeldProgram::open(&path, &|place| decided(place, place, view, commands))
}

/// What the policy says to executing `object`, which was named as `path`.
fn decided(object: &Path, path: &Path, view: &View, commands: &CommandProfile) -> Result<(), BridgeError> {
    let subject = object.to_string_lossy().into_owned();
    let decision = commands.decide(&subject);
    if !decision.allowed {
        let mut denial = Denial::new("command.execute", subject.clone());
        denial.remedy = match &decision.rule {
            Some(rule) => Some(format!("remove `{}` ({})", rule.text, rule.place())),
            None => path_line("commands.allow", &subject).and_then(|line| {
                let seen = view.access(object) != Access::None;
                let read = if seen { None } else { Some(shown(path)?) };
                Some([Some(line), read].into_iter().flatten().collect::<Vec<_>>().join("\n"))
            }),
        };
        denial.rule = decision.rule;
        return Err(BridgeError::denied(&denial));
    }
    if view.access(object) == Access::None {
        let mut denial = Denial::new("filesystem.read", subject.clone());
        denial.remedy = shown(path);
        return Err(BridgeError::denied(&denial));
    }
    Ok(())
}

fn visible(path: &Path, view: &View, commands: &CommandProfile) -> Result<(), BridgeError> {
    let canonical = std::fs::canonicalize(path);
    let object = canonical.as_deref().unwrap_or(path);
    let subject = object.to_string_lossy().into_owned();
    decided(object, path, view, commands)?;
    let Ok(canonical) = canonical else {
        let message = format!("there is no program `{}`", path.display());
        return Err(BridgeError::new(ErrorCode::ProgramNotFound, message).with("path", subject));
    };
    if !canonical.is_file() || access(&canonical, AccessFlags::X_OK).is_err() {
        let message = format!("`{}` is no executable file; `chmod +x` makes it one", path.display());
        return Err(BridgeError::new(ErrorCode::ProgramNotExecutable, message).with("path", subject));
    }
    Ok(())
}
