//! What is recorded of questions to the host, of its answers, and of what is remembered of them.

use cofferdam_bridge::prompt::{Grant, PromptOutcome, Remember};
use cofferdam_bridge::verdict::{RuleRef, Verdict};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Somebody is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Prompted {
    /// The prompt's id, by which its answer names it; unique for a writer.
    pub prompt: String,
    /// What is asked for.
    pub access: String,
    /// Of what.
    pub subject: String,
    /// The rule that wants somebody to be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleRef>,
    /// The program inside that asks, by the name that it gave itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// The longest that an answer may hold, by the policy.
    pub remember: Remember,
    /// How long is waited, in milliseconds; then it is refused.
    pub timeout_ms: u64,
}

/// A prompt came to its end. What is allowed is on disk before whoever asked goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Answered {
    /// The prompt's id.
    pub prompt: String,
    /// Whether it may be.
    pub verdict: Verdict,
    /// What it came to.
    pub outcome: PromptOutcome,
    /// By whom or what: the name of whoever was asked, such as `terminal` or `host`; else `time_limit`, `cancelled`, or `grant` where an answer
    /// to another question covers this one.
    pub by: String,
    /// For how long a yes holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Remember>,
    /// How long the question waited, in milliseconds.
    pub waited_ms: u64,
    /// How many waiting requests it answered.
    pub requests: u64,
    /// What was asked for.
    pub access: String,
    /// Of what.
    pub subject: String,
}

/// An answer is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Granted {
    /// The grant's id.
    pub grant: String,
    /// The prompt that it answers.
    pub prompt: String,
    /// To what is allowed from now on.
    pub access: String,
    /// Of what, and all beneath it.
    pub subject: String,
    /// In which workspace alone it holds; absent: in VMs without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    /// For how long.
    pub lasts: Remember,
    /// When it ends, in milliseconds from now; absent where it does not by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
}

/// A grant allowed something, and nobody was asked. Each run has one for each grant that it uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct GrantUsed {
    /// The grant's id.
    pub grant: String,
    /// What was asked for first.
    pub access: String,
    /// Of what.
    pub subject: String,
    /// The rule that wants somebody to be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleRef>,
}

/// What was remembered is no longer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Revoked {
    /// The grant's id.
    pub grant: String,
    /// What it allowed.
    pub access: String,
    /// Of what.
    pub subject: String,
    /// Why: `revoked` by somebody, or `unrecorded` where it could not be recorded and so did not come to hold.
    pub why: String,
}

impl Revoked {
    /// Somebody takes `grant` back.
    pub fn by_hand(grant: &Grant) -> Self {
        Self::new(grant, "revoked")
    }

    pub(crate) fn new(grant: &Grant, why: &str) -> Self {
        Self {
            grant: grant.id.to_string(),
            access: grant.access.as_str().to_owned(),
            subject: grant.subject.clone(),
            why: why.to_owned(),
        }
    }
}
