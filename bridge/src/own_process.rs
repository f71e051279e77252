//! A process of a run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A process that a run had: nobody else's are ever among them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct OwnProcess {
    /// Its number, as the run itself sees it: in the run's own pid namespace where it has one.
    pub pid: u32,
    /// The number of the process that it was a child of; absent for the run's first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<u32>,
    /// Its name, which it may choose itself; at most 15 bytes (`comm` of proc_pid_comm(5)).
    pub name: String,
}

impl OwnProcess {
    /// As many of one run are told.
    pub const MOST: usize = 64;

    /// A process of this number and name.
    pub fn new(pid: u32, parent: Option<u32>, name: impl Into<String>) -> Self {
        Self { pid, parent, name: name.into() }
    }
}
