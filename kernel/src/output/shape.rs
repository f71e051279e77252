//! The three shapes, and what becomes of bytes that are no UTF-8.

use super::json;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;

/// What output is taken for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OutputMode {
    /// One text without white space around it; null where nothing is left.
    #[default]
    Text,
    /// One JSON value (RFC 8259); null where there is nothing but white space.
    Json,
    /// A list of lines without white space around them; empty ones are dropped.
    Lines,
}

/// What becomes of output that is no UTF-8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum InvalidUtf8 {
    /// It is an error.
    #[default]
    Refuse,
    /// Each sequence that is none becomes U+FFFD, as [`String::from_utf8_lossy`] does it.
    Replace,
}

/// How output becomes a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[must_use]
#[non_exhaustive]
pub struct Shape {
    /// What it is taken for.
    #[serde(default)]
    pub mode: OutputMode,
    /// What becomes of bytes that are no UTF-8.
    #[serde(default)]
    pub invalid_utf8: InvalidUtf8,
}

impl Shape {
    /// The shape of `mode`. Invalid UTF-8 is an error.
    pub fn of(mode: OutputMode) -> Self {
        Self { mode, invalid_utf8: InvalidUtf8::Refuse }
    }

    /// One text.
    pub fn text() -> Self {
        Self::of(OutputMode::Text)
    }

    /// One JSON value.
    pub fn json() -> Self {
        Self::of(OutputMode::Json)
    }

    /// A list of lines.
    pub fn lines() -> Self {
        Self::of(OutputMode::Lines)
    }

    /// Replaces what is no UTF-8 rather than refusing it.
    pub fn lossy(mut self) -> Self {
        self.invalid_utf8 = InvalidUtf8::Replace;
        self
    }

    /// Makes a value of what was printed.
    ///
    /// # Errors
    /// `output_invalid_utf8` and `output_invalid_json`, with the `byte_offset` of the first fault (in what was printed; for
    /// JSON after replacing, in the text that was parsed) and the length, never with what stands there.
    pub fn apply(self, bytes: &[u8]) -> Result<Value, BridgeError> {
        let text = self.decode(bytes)?;
        let trimmed = text.trim();
        match self.mode {
            OutputMode::Text if trimmed.is_empty() => Ok(Value::Null),
            OutputMode::Text => Ok(Value::from(trimmed)),
            OutputMode::Json if trimmed.is_empty() => Ok(Value::Null),
            OutputMode::Json => json::parse(&text),
            OutputMode::Lines => {
                let lines = trimmed.lines().map(str::trim).filter(|line| !line.is_empty());
                Ok(lines.map(Value::from).collect())
            }
        }
    }

    fn decode(self, bytes: &[u8]) -> Result<Cow<'_, str>, BridgeError> {
        if self.invalid_utf8 == InvalidUtf8::Replace {
            return Ok(String::from_utf8_lossy(bytes));
        }
        std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|error| {
            let offset = error.valid_up_to();
            let message = format!(
                "the output is no UTF-8 from byte {offset} on; let the program print UTF-8, or ask for invalid bytes to be replaced"
            );
            BridgeError::new(ErrorCode::OutputInvalidUtf8, message)
                .with("byte_offset", offset)
                .with("bytes", bytes.len())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn c5_text_is_trimmed_and_empty_is_null() {
        assert_eq!(Shape::text().apply(b"\n a b \t\r\n").unwrap(), json!("a b"));
        assert_eq!(Shape::text().apply(b" \n").unwrap(), Value::Null);
        assert_eq!(Shape::text().apply(b"").unwrap(), Value::Null);
        assert_eq!(Shape::text().apply("\u{a0}é\u{a0}".as_bytes()).unwrap(), json!("é"));
    }

    #[test]
    fn c5_lines_are_trimmed_and_empty_ones_dropped() {
        assert_eq!(Shape::lines().apply(b" a \r\n\r\n\n b\n").unwrap(), json!(["a", "b"]));
        assert_eq!(Shape::lines().apply(b"\n \n").unwrap(), json!([]));
        assert_eq!(Shape::lines().apply(b"").unwrap(), json!([]));
    }

    #[test]
    fn c5_json_is_parsed_and_empty_is_null() {
        assert_eq!(Shape::json().apply(b" [1, null] \n").unwrap(), json!([1, null]));
        assert_eq!(Shape::json().apply(b" \n").unwrap(), Value::Null);
    }

    #[test]
    fn c5_what_is_no_json_is_an_error_with_its_offset_and_without_the_bytes() {
        for (printed, offset) in [
            ("  {\"secret\": tru}", 16),
            ("{\"secret\": 1}\nsecret", 14),
            ("{\"secret\":", 10),
            ("secret", 0),
            ("\n\n  secret", 4),
            ("[1,\n2,\n\u{1}secret]", 7),
            ("\"secret\n\"", 7),
            ("\"é\", secret", 4),
        ] {
            let error = Shape::json().apply(printed.as_bytes()).unwrap_err();
            assert_eq!(error.code, ErrorCode::OutputInvalidJson);
            assert_eq!(error.details["byte_offset"], offset, "{printed:?}");
            assert!(!serde_json::to_string(&error).unwrap().contains("secret"), "{error:?}");
        }
    }

    #[test]
    fn c5_invalid_utf_8_is_reported_and_replaced_only_when_asked() {
        for mode in [OutputMode::Text, OutputMode::Json, OutputMode::Lines] {
            let error = Shape::of(mode).apply(b"\"ab\xffsecret\"").unwrap_err();
            assert_eq!(error.code, ErrorCode::OutputInvalidUtf8);
            assert_eq!(error.details["byte_offset"], 3);
            assert!(!serde_json::to_string(&error).unwrap().contains("secret"), "{error:?}");
        }
        assert_eq!(Shape::json().lossy().apply(b"\"ab\xff\"").unwrap(), json!("ab\u{fffd}"));
        assert_eq!(Shape::lines().lossy().apply(b"a\n\xff\n").unwrap(), json!(["a", "\u{fffd}"]));
    }

    #[test]
    fn c5_json_that_is_nested_without_end_is_an_error_and_no_crash() {
        let deep = "[".repeat(1 << 20);
        assert_eq!(Shape::json().apply(deep.as_bytes()).unwrap_err().code, ErrorCode::OutputInvalidJson);
    }
}
