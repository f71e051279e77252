//! What a plane answers when it is asked what a start would come to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a start would come to, as far as a plane can tell without starting anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Rehearsal {
    /// The program's absolute path inside, as it was found for the request.
    pub program: String,
}

impl Rehearsal {
    /// An answer.
    pub fn new(program: impl Into<String>) -> Self {
        Self { program: program.into() }
    }
}
