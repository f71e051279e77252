//! How git is run for actions.

use crate::action::define::Place;
use crate::action::step::{Step, StepEnd};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;

/// What comes before each of git's commands. What a repository's configuration would have it run beside what was asked for (hooks,
/// monitors, pagers, signers) is not run: it would be code of the repository, in the sandbox but under the action's name.
const BEFORE: [&str; 12] = [
    "--no-pager",
    "--literal-pathspecs",
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "core.fsmonitor=false",
    "-c",
    "core.quotePath=false",
    "-c",
    "commit.gpgSign=false",
    "-c",
    "gc.auto=0",
];

/// One command of git in `repository`.
pub(super) fn git(repository: Option<&str>, place: &Place) -> Result<Step, BridgeError> {
    within(Step::program("git").args(BEFORE), repository, place)
}

/// Several commands of git, one after the other, as one program: under an overlay each program sees its own changes alone. In `lines`, `GIT`
/// stands for git and its settings; nothing that anybody was asked with may stand in them, but be among the positional parameters.
pub(super) fn script(lines: &[&str], repository: Option<&str>, place: &Place) -> Result<Step, BridgeError> {
    let git = format!("git {}", BEFORE.join(" "));
    let text = lines.iter().map(|line| line.replace("GIT", &git)).collect::<Vec<_>>().join("\n");
    within(Step::program("sh").args(["-c", &format!("set -e\n{text}"), "git"]), repository, place)
}

fn within(step: Step, repository: Option<&str>, place: &Place) -> Result<Step, BridgeError> {
    let directory = repository.map_or_else(|| Ok(place.directory.clone()), |path| place.resolve(path))?;
    Ok(step.env("GIT_TERMINAL_PROMPT", "0").env("LC_ALL", "C").directory(directory))
}

/// Refuses what git would take for an option, and what no argument can hold.
pub(super) fn plain(what: &str, text: &str) -> Result<(), BridgeError> {
    if text.is_empty() || text.starts_with('-') || text.contains('\0') {
        let message = format!("`{what}` is empty, begins with `-`, or holds a NUL byte");
        return Err(BridgeError::new(ErrorCode::RequestInvalid, message));
    }
    Ok(())
}

/// Paths are handed over after `--`, so that they may begin with anything.
pub(super) fn paths(paths: &[String]) -> Result<(), BridgeError> {
    let wrong = paths.iter().any(|path| path.is_empty() || path.contains('\0'));
    let message = "a path is empty or holds a NUL byte";
    if wrong { Err(BridgeError::new(ErrorCode::RequestInvalid, message)) } else { Ok(()) }
}

/// What the last step printed, as text, without the line's end.
pub(super) fn last_line(ends: &[StepEnd]) -> String {
    let said = ends.last().map(|end| String::from_utf8_lossy(&end.stdout).into_owned()).unwrap_or_default();
    said.trim_end().to_owned()
}
