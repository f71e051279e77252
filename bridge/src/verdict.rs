//! What was decided, and by which rule.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The decision about one access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verdict {
    /// It may happen.
    Allow,
    /// It may not.
    Deny,
    /// The host is asked; no answer in time is a deny.
    Prompt,
}

/// Where a rule was written, so that a person can find and change it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct RuleRef {
    /// The policy file, or `built-in dev`, `built-in secrets`, `command line`.
    pub source: String,
    /// Line in the file, from 1; absent for rules that stand in no file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// The rule as a person would write it, such as `filesystem.deny "{home}/.ssh"`.
    pub text: String,
}

impl RuleRef {
    /// Names a rule.
    pub fn new(source: impl Into<String>, line: Option<u32>, text: impl Into<String>) -> Self {
        Self { source: source.into(), line, text: text.into() }
    }

    /// Where it stands, as `file:line` or the source's name alone.
    pub fn place(&self) -> String {
        self.line.map_or_else(|| self.source.clone(), |line| format!("{}:{line}", self.source))
    }
}

/// A refusal, told so that it can be understood and changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Denial {
    /// What was asked for: `filesystem.write`, `network.connect`, `command.execute` …
    pub access: String,
    /// The path, host or program it was asked of.
    pub subject: String,
    /// The rule that refused; absent when no rule allowed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleRef>,
    /// What to write in the policy to allow it, one line for each rule; absent when nothing would.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// The program inside that asked, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// Where that program lies, inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program_path: Option<String>,
    /// The system call that was refused, such as `openat`, where it was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// The path as the program named it, where `subject` says it in another way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
    /// Where the subject leads on the host when its links are followed, where that is elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved: Option<String>,
    /// How often it was asked, where that was counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// Each program that asked, by its name, and how often, where there was more than one; at most eight.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub programs: BTreeMap<String, u64>,
    /// The remedy opens something on the built-in list of secrets.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub secret: bool,
    /// What else is to be known before the remedy is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Denial {
    /// A refusal of `access` to `subject`.
    pub fn new(access: impl Into<String>, subject: impl Into<String>) -> Self {
        Self {
            access: access.into(),
            subject: subject.into(),
            rule: None,
            remedy: None,
            program: None,
            program_path: None,
            operation: None,
            asked: None,
            resolved: None,
            times: None,
            programs: BTreeMap::new(),
            secret: false,
            note: None,
        }
    }
}
