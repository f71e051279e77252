//! JSON that was printed.

use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::json_fault::offset_of;
use serde_json::Value;
use serde_json::error::Category;

/// Parses `text`. Of an object's names that occur twice the last one counts, as in most readers of JSON.
pub(super) fn parse(text: &str) -> Result<Value, BridgeError> {
    serde_json::from_str(text).map_err(|error| {
        let offset = offset_of(&error, text.as_bytes());
        let what = if error.classify() == Category::Eof { "ends too early" } else { "is none" };
        let message = format!("the output should be one JSON value and {what} at byte {offset}");
        BridgeError::new(ErrorCode::OutputInvalidJson, message).with("byte_offset", offset).with("bytes", text.len())
    })
}
