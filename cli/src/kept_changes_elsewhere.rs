//! Where no plane of this command keeps changes apart, none are kept: a run that asks for it is refused before it starts.

use crate::failure::Failure;
use cofferdam_bridge::error_code::ErrorCode;
use schemars::JsonSchema;
use serde::Serialize;

/// Nothing.
#[derive(Debug, Default)]
pub(crate) struct Diff;

/// No change, of which there are none.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Changed {
    /// Its path.
    path: String,
}

pub(crate) fn look_and_discard(id: &str) -> Result<Diff, Failure> {
    let sentence = format!("no changes `{id}` are kept: no plane of this system keeps changes apart");
    Err(Failure::new(ErrorCode::ChangesNotFound, sentence))
}

pub(crate) fn changes(_: &Diff) -> Vec<Changed> {
    Vec::new()
}

pub(crate) fn lines(_: &Diff) -> String {
    String::new()
}

pub(crate) fn counts(_: &Diff) -> String {
    "nothing".to_owned()
}
