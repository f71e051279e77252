//! What a run changed while its changes were kept apart, for commands that only look and forget.

use crate::failure::Failure;
use crate::report::human;
use cofferdam_sandbox_linux::changes::ChangeStore;

pub(crate) use crate::report::changes::lines;
pub(crate) use crate::report::changes_json::{Changed, changes};
pub(crate) use cofferdam_sandbox_linux::changes::Diff;

/// Looks at the change set `id` and discards it, whatever came of looking.
pub(crate) fn look_and_discard(id: &str) -> Result<Diff, Failure> {
    let set = ChangeStore::of_user()?.find(id)?;
    let diff = set.diff();
    set.discard()?;
    Ok(diff?)
}

/// How many changes of each kind.
pub(crate) fn counts(diff: &Diff) -> String {
    if diff.is_empty() { "nothing".to_owned() } else { human::counts(&diff.summary("")) }
}
