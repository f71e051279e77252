//! The JSON Schema of a record.

use super::record::Record;
use schemars::schema_for;
use serde_json::Value;

/// The JSON Schema of a record, as `cofferdam audit schema` prints it. Later releases may add fields and kinds of events.
pub fn schema() -> Value {
    schema_for!(Record).to_value()
}
