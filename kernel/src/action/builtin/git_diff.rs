//! `git_diff`: how files of a repository differ.

use super::git::{git, paths, plain};
use crate::action::define::{Action, Place};
use crate::action::step::{Plan, StepEnd};
use cofferdam_bridge::action::Bytes;
use cofferdam_bridge::error::BridgeError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// As much of a difference is told unless it is said otherwise, in bytes.
const USUAL_MOST: u64 = 1 << 20;

pub(super) struct GitDiff;

/// What is to be compared.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Compared {
    /// A directory of the repository; where programs start unless given.
    #[serde(default)]
    repository: Option<String>,
    /// What is staged, in place of what is not.
    #[serde(default)]
    staged: bool,
    /// Compare with this commit or branch.
    #[serde(default)]
    base: Option<String>,
    /// These files and directories alone.
    #[serde(default)]
    paths: Vec<String>,
    /// At most so many bytes; 1 MiB unless given.
    #[serde(default)]
    most: Option<u64>,
}

/// How they differ.
#[derive(Serialize, JsonSchema)]
pub(super) struct Differs {
    /// A unified diff; empty where nothing differs.
    diff: Bytes,
    /// Whether that is all of it.
    complete: bool,
}

impl Action for GitDiff {
    type Arguments = Compared;
    type Output = Differs;

    fn name(&self) -> &str {
        "git_diff"
    }

    fn summary(&self) -> &str {
        "Tells how files of a repository differ from what is staged, or from a commit."
    }

    fn validate(&self, asked: &Compared) -> Result<(), BridgeError> {
        asked.base.as_deref().map_or(Ok(()), |base| plain("base", base))?;
        paths(&asked.paths)
    }

    fn plan(&self, asked: &Compared, place: &Place) -> Result<Plan, BridgeError> {
        // Of submodules the commit alone: git would run itself there, under their configuration.
        let words = "diff --no-ext-diff --no-textconv --no-color --ignore-submodules=dirty --submodule=short";
        let step = git(words, asked.repository.as_deref(), place)?.env("GIT_OPTIONAL_LOCKS", "0");
        let step = if asked.staged { step.args(["--cached"]) } else { step };
        let step = step.args(asked.base.clone()).args(["--"]).args(asked.paths.clone());
        Ok(Plan::of(step))
    }

    fn conclude(&self, asked: &Compared, ends: &[StepEnd]) -> Result<Differs, BridgeError> {
        let mut bytes = ends.last().map(|end| end.stdout.clone()).unwrap_or_default();
        let most = usize::try_from(asked.most.unwrap_or(USUAL_MOST)).unwrap_or(usize::MAX);
        let complete = bytes.len() <= most;
        bytes.truncate(most);
        Ok(Differs { diff: Bytes::new(bytes), complete })
    }
}
