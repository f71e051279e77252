//! `git_status`: which files of a repository differ from its last commit.

use super::git::git;
use crate::action::define::{Action, Place};
use crate::action::step::{Plan, StepEnd};
use cofferdam_bridge::action::PathName;
use cofferdam_bridge::error::BridgeError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(super) struct GitStatus;

/// Which repository.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Repository {
    /// A directory of it; where programs start unless given.
    #[serde(default)]
    repository: Option<String>,
}

/// Its state.
#[derive(Debug, Default, PartialEq, Serialize, JsonSchema)]
pub(super) struct Status {
    /// The branch; none where a commit is checked out by itself.
    branch: Option<String>,
    /// The last commit; none before the first.
    commit: Option<String>,
    /// Whether nothing differs.
    clean: bool,
    /// What differs.
    entries: Vec<Entry>,
}

/// A file that differs.
#[derive(Debug, PartialEq, Serialize, JsonSchema)]
pub(super) struct Entry {
    /// Its path, relative to the repository's root.
    #[serde(flatten)]
    name: PathName,
    /// What is staged, by git's letters (`M`, `A`, `D`, `R`, `U`, `?` …); `.` for nothing.
    staged: char,
    /// What is not staged.
    unstaged: char,
    /// The name that it had.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<PathName>,
}

impl Action for GitStatus {
    type Arguments = Repository;
    type Output = Status;

    fn name(&self) -> &str {
        "git_status"
    }

    fn summary(&self) -> &str {
        "Tells which files of a repository differ from its last commit."
    }

    fn plan(&self, asked: &Repository, place: &Place) -> Result<Plan, BridgeError> {
        // Of submodules it is told which commit they are at. What else differs there git asks by running itself under their configuration.
        let words = "status --porcelain=v2 --branch -z --untracked-files=all --ignore-submodules=dirty";
        Ok(Plan::of(git(words, asked.repository.as_deref(), place)?.env("GIT_OPTIONAL_LOCKS", "0")))
    }

    fn conclude(&self, _: &Repository, ends: &[StepEnd]) -> Result<Status, BridgeError> {
        Ok(parse(ends.last().map_or(&[][..], |end| &end.stdout)))
    }
}

/// git-status(1), "Porcelain Format Version 2", with NUL bytes between entries.
fn parse(bytes: &[u8]) -> Status {
    let mut status = Status::default();
    let mut parts = bytes.split(|byte| *byte == 0).filter(|part| !part.is_empty());
    while let Some(part) = parts.next() {
        let text = String::from_utf8_lossy(part);
        if let Some(head) = text.strip_prefix("# branch.oid ") {
            status.commit = Some(head.to_owned()).filter(|head| head != "(initial)");
        } else if let Some(head) = text.strip_prefix("# branch.head ") {
            status.branch = Some(head.to_owned()).filter(|head| head != "(detached)");
        }
        // How many fields come before the path, for each kind of entry.
        let fields = match part.first() {
            Some(b'1') => 8,
            Some(b'2') => 9,
            Some(b'u') => 10,
            Some(b'?') => 1,
            _ => continue,
        };
        let mut words = part.splitn(fields + 1, |byte| *byte == b' ');
        let letters = words.nth(1).unwrap_or_default();
        let path = if fields == 1 { letters } else { words.nth(fields - 2).unwrap_or_default() };
        let letter = |place: usize| letters.get(place).map_or('.', |byte| char::from(*byte));
        let (staged, unstaged) = if fields == 1 { ('?', '?') } else { (letter(0), letter(1)) };
        let from = if fields == 9 { parts.next().map(PathName::new) } else { None };
        status.entries.push(Entry { name: PathName::new(path), staged, unstaged, from });
    }
    status.clean = status.entries.is_empty();
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_entry_of_the_second_format() {
        let text = b"# branch.oid abc\0# branch.head main\0\
            1 .M N... 100644 100644 100644 a1 a1 with a space\0\
            2 R. N... 100644 100644 100644 a1 a1 R100 new name\0old name\0\
            u UU N... 1 2 3 4 h1 h2 h3 both\0? un tracked\0";
        let status = parse(text);
        let name = |text: &str| PathName::Path(text.to_owned());
        assert_eq!(
            (status.branch.as_deref(), status.commit.as_deref(), status.clean),
            (Some("main"), Some("abc"), false)
        );
        let told: Vec<_> = status.entries.iter().map(|one| (one.name.clone(), one.staged, one.unstaged)).collect();
        let expected =
            [("with a space", '.', 'M'), ("new name", 'R', '.'), ("both", 'U', 'U'), ("un tracked", '?', '?')];
        assert_eq!(told, expected.map(|(path, staged, unstaged)| (name(path), staged, unstaged)));
        assert_eq!(status.entries[1].from, Some(name("old name")));
        assert!(
            parse(b"# branch.oid (initial)\0# branch.head (detached)\0") == Status { clean: true, ..Status::default() }
        );
    }
}
