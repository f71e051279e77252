//! The error that crosses the bridge.

use crate::error_code::{ErrorCategory, ErrorCode};
use crate::verdict::Denial;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// A fault: a stable code, a sentence for people, and details that are safe to log.
///
/// Messages and details never hold payloads, output, environment values or secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct BridgeError {
    /// The stable name.
    pub code: ErrorCode,
    /// The kind of fault; always the code's own category.
    pub category: ErrorCategory,
    /// Whether the same call may succeed later without anything being changed.
    pub retryable: bool,
    /// What happened and what to do next, in one or two sentences.
    pub message: String,
    /// Facts by name: a path the caller gave, a limit, an errno.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, serde_json::Value>,
}

impl BridgeError {
    /// An error of `code` with a sentence for people.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            category: code.category(),
            retryable: matches!(code, ErrorCode::QueueFull | ErrorCode::DeadlineExceeded),
            message: message.into(),
            details: BTreeMap::new(),
        }
    }

    /// Adds a fact. Must not be a payload, output, an environment value or a secret.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    /// The error for a refusal: `denied_by_policy`, with the whole [`Denial`] in details under `denial`.
    pub fn denied(denial: &Denial) -> Self {
        let by = denial.rule.as_ref().map_or_else(
            || "no rule allows it".to_owned(),
            |rule| format!("refused by `{}` ({})", rule.text, rule.place()),
        );
        let error =
            Self::new(ErrorCode::DeniedByPolicy, format!("{} of `{}` is refused: {by}", denial.access, denial.subject));
        match serde_json::to_value(denial) {
            Ok(value) => error.with("denial", value),
            Err(_) => error,
        }
    }

    /// The refusal this error tells of, if it tells of one.
    pub fn denial(&self) -> Option<Denial> {
        self.details.get("denial").and_then(|value| serde_json::from_value(value.clone()).ok())
    }

    /// Marks the error as one that may go away by itself.
    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.retryable = true;
        self
    }
}

impl fmt::Display for BridgeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for BridgeError {}
