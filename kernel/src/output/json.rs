//! JSON that was printed, and where it is faulty.

use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
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

/// The offset of the byte at which `text` is no JSON any more; its length where it ends too early.
///
/// The library's own message is not passed on: it may quote what it found.
fn offset_of(error: &serde_json::Error, text: &[u8]) -> usize {
    if error.classify() == Category::Eof {
        return text.len();
    }
    // The library counts lines from 1, and columns in bytes up to and with the faulty one (0 where that is the end of a line).
    let line_start = match error.line() {
        0 | 1 => 0,
        line => {
            let mut ends = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
            ends.nth(line - 2).unwrap_or(text.len())
        }
    };
    (line_start + error.column()).saturating_sub(1).min(text.len())
}
