//! How git is run for actions.

use crate::action::define::Place;
use crate::action::step::{Step, StepEnd};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;

/// What comes before each of git's commands. What a repository's configuration would have it run beside what was asked for (hooks,
/// monitors, pagers, signers) is not run: it would be code of the repository, in the sandbox but under the action's name.
const BEFORE: &str = "git --no-pager --literal-pathspecs -c core.hooksPath=/dev/null -c core.fsmonitor=false -c core.quotePath=false \
                      -c commit.gpgSign=false -c gc.auto=0 -c maintenance.auto=false";

/// Settles filters (gitattributes(5)) that a repository's own configuration names: they, too, would be code of the repository. Those of the
/// user's or the system's configuration stay. git has no one switch for that, so that each is named by what git reads last (git-config(1),
/// `GIT_CONFIG_COUNT`): a filter without commands, which fails where `required` says so.
const SETTLE: &str = r#"set -e
n=${GIT_CONFIG_COUNT:-0}
by_lines() {
    IFS='
'
    set -f
}
settled() {
    export "GIT_CONFIG_COUNT=$n"
    unset IFS
    set +f
}
say() {
    export "GIT_CONFIG_KEY_$n=$1" "GIT_CONFIG_VALUE_$n=$2"
    n=$((n + 1))
}
settle() {
    names=$(GIT -C "$1" config --show-scope --name-only --get-regexp '^filter\.') || [ $? -eq 1 ]
    for line in $names; do
        case $line in local*|worktree*) ;; *) continue ;; esac
        key=${line#*	}
        say "${key%.*}.clean" ''
        say "${key%.*}.smudge" ''
        say "${key%.*}.process" ''
        say "${key%.*}.required" "$required"
    done
}
"#;

/// Settles the filters of the repository. A file that needs one is taken for changed.
const OWN_FILTERS: &str = "by_lines\nrequired=false\nsettle .\nsettled";

/// Settles the filters of the repository and of all that are part of it, which git looks into when files are staged; where one is needed,
/// nothing is staged, since what was staged without it would not be what the repository holds otherwise.
const ALL_FILTERS: &str = r#"by_lines
required=true
sed -n p </dev/null
repositories=$(GIT rev-parse --show-toplevel)
while [ -n "$repositories" ]; do
    next=
    for repository in $repositories; do
        settle "$repository"
        links=$(GIT -C "$repository" ls-files --stage)
        for inner in $(printf '%s\n' "$links" | sed -n 's/^160000 [0-9a-f]* [0-9]*	//p'); do
            case $inner in '"'*) echo 'a submodule has a name that cannot be looked at' >&2; exit 1 ;; esac
            if [ -e "$repository/$inner/.git" ]; then
                next="$next$repository/$inner
"
            fi
        done
    done
    repositories=$next
done
settled"#;

/// One command of git in `repository`, with arguments that follow its words.
pub(super) fn git(words: &str, repository: Option<&str>, place: &Place) -> Result<Step, BridgeError> {
    script(&[&format!("GIT {words} \"$@\"")], repository, place)
}

/// Several commands of git, one after the other, as one program: under an overlay each program sees its own changes alone. In `lines`, `GIT`
/// stands for git and its settings; nothing that anybody was asked with may stand in them, but be among the positional parameters.
pub(super) fn script(lines: &[&str], repository: Option<&str>, place: &Place) -> Result<Step, BridgeError> {
    within(shell(&[&[OWN_FILTERS], lines].concat()), repository, place)
}

/// The same, after the files that are among the positional parameters have been staged: a filter of the repository's own that is needed for one
/// makes that fail.
pub(super) fn staged_first(lines: &[&str], repository: Option<&str>, place: &Place) -> Result<Step, BridgeError> {
    within(shell(&[&[ALL_FILTERS, "GIT add -- \"$@\"", OWN_FILTERS], lines].concat()), repository, place)
}

fn shell(lines: &[&str]) -> Step {
    let text = format!("{SETTLE}{}", lines.join("\n"));
    Step::program("sh").args(["-c", &text.replace("GIT ", &format!("{BEFORE} ")), "git"])
}

fn within(step: Step, repository: Option<&str>, place: &Place) -> Result<Step, BridgeError> {
    let directory = repository.map_or_else(|| Ok(place.directory.clone()), |path| place.resolve(path))?;
    // Objects that are not there are not fetched: a repository says by which program (git-config(1), `remote.<name>.uploadpack`).
    let step = step.env("GIT_NO_LAZY_FETCH", "1").env("GIT_ALLOW_PROTOCOL", "none");
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
