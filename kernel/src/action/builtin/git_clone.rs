//! `git_clone`: a copy of a repository that lies inside.

use super::git::{last_line, script};
use crate::action::define::{Action, Place};
use crate::action::step::{Plan, StepEnd};
use cofferdam_bridge::error::BridgeError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(super) struct GitClone;

/// From where to where.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Copied {
    /// The repository's directory: a path inside, never an URL.
    source: String,
    /// The new directory, which is not there or is empty.
    target: String,
}

/// What was copied.
#[derive(Serialize, JsonSchema)]
pub(super) struct Cloned {
    /// Where the copy is.
    path: String,
    /// Its last commit; empty where it has none.
    commit: String,
}

impl Action for GitClone {
    type Arguments = Copied;
    type Output = Cloned;

    fn name(&self) -> &str {
        "git_clone_local"
    }

    fn summary(&self) -> &str {
        "Copies a repository that lies inside, with its history."
    }

    fn plan(&self, asked: &Copied, place: &Place) -> Result<Plan, BridgeError> {
        // A resolved path begins with `/`, so that it is neither an option nor an URL.
        let (source, target) = (place.resolve(&asked.source)?, place.resolve(&asked.target)?);
        // Objects are copied: a file with a second name could be changed from the other side.
        let clone = "GIT clone --quiet --local --no-hardlinks --template= -- \"$1\" \"$2\"";
        let head = "GIT -C \"$2\" rev-parse --verify --quiet HEAD || :";
        let step = script(&[clone, head], None, place)?.env("GIT_ALLOW_PROTOCOL", "file").args([&source, &target]);
        Ok(Plan::of(step).reads(source).writes(target))
    }

    fn conclude(&self, asked: &Copied, ends: &[StepEnd]) -> Result<Cloned, BridgeError> {
        Ok(Cloned { path: asked.target.clone(), commit: last_line(ends) })
    }
}
