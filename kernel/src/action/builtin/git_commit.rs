//! `git_commit`: a commit of what is named, or of what is staged.

use super::git::{last_line, paths, script, staged_first};
use crate::action::define::{Action, Place};
use crate::action::step::{Plan, StepEnd};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(super) struct GitCommit;

/// What is to be committed.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Commit {
    /// A directory of the repository; where programs start unless given.
    #[serde(default)]
    repository: Option<String>,
    /// The commit's message.
    message: String,
    /// Files and directories that are staged first; what is staged already is committed with them.
    #[serde(default)]
    paths: Vec<String>,
    /// Whose commit it is; as the repository and the user's settings say unless given.
    #[serde(default)]
    author: Option<Author>,
}

/// A person.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Author {
    /// The name.
    name: String,
    /// The address.
    email: String,
}

/// What was committed.
#[derive(Serialize, JsonSchema)]
pub(super) struct Committed {
    /// The commit.
    commit: String,
}

impl Action for GitCommit {
    type Arguments = Commit;
    type Output = Committed;

    fn name(&self) -> &str {
        "git_commit"
    }

    fn summary(&self) -> &str {
        "Commits what is staged, and the files that are named. No hooks are run."
    }

    fn validate(&self, asked: &Commit) -> Result<(), BridgeError> {
        let author = asked.author.iter().flat_map(|author| [&author.name, &author.email]);
        let unfit = author.into_iter().any(|text| text.is_empty() || text.contains(['\0', '\n', '<', '>']));
        if unfit || asked.message.trim().is_empty() || asked.message.contains('\0') {
            let message = "`message` or a part of `author` is empty or holds what none can hold";
            return Err(BridgeError::new(ErrorCode::RequestInvalid, message));
        }
        paths(&asked.paths)
    }

    fn plan(&self, asked: &Commit, place: &Place) -> Result<Plan, BridgeError> {
        // The message by standard input: an argument is seen by every process inside.
        let commit = "GIT commit --quiet --no-verify --cleanup=verbatim --file=-";
        let lines = [commit, "GIT rev-parse HEAD"];
        let run = if asked.paths.is_empty() { script } else { staged_first };
        let mut step = run(&lines, asked.repository.as_deref(), place)?;
        if let Some(author) = &asked.author {
            for who in ["AUTHOR", "COMMITTER"] {
                step = step.env(format!("GIT_{who}_NAME"), &author.name).env(format!("GIT_{who}_EMAIL"), &author.email);
            }
        }
        Ok(Plan::of(step.args(asked.paths.clone()).stdin(asked.message.clone().into_bytes())))
    }

    fn conclude(&self, _: &Commit, ends: &[StepEnd]) -> Result<Committed, BridgeError> {
        Ok(Committed { commit: last_line(ends) })
    }
}
