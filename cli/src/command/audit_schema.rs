//! `cofferdam audit schema`.

use crate::failure::{Failure, io};
use clap::Args;

/// Prints the JSON Schema of a record of the audit log.
#[derive(Debug, Args)]
pub(crate) struct Schema {}

impl Schema {
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        let schema = serde_json::to_string_pretty(&cofferdam_kernel::audit::schema());
        let text = schema.map_err(|error| io("the schema cannot be printed", &error.into()))?;
        super::print(&format!("{text}\n"))?;
        Ok(0)
    }
}
