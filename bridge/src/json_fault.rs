//! Where a text stops being JSON.

use serde_json::error::Category;

/// The offset of the byte at which `text` is no JSON (RFC 8259) any more; its length where it ends too early.
///
/// This is all that may be told of a fault in what may be secret: the library's own message can quote what it found.
///
/// ```
/// use cofferdam_bridge::json_fault::offset_of;
///
/// let text = b"[1,\n2, x]";
/// let error = serde_json::from_slice::<serde_json::Value>(text).unwrap_err();
/// assert_eq!(offset_of(&error, text), 7);
/// ```
pub fn offset_of(error: &serde_json::Error, text: &[u8]) -> usize {
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
