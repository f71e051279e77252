//! What the log records about itself, so that it can be told whole from cut.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The version of the format that [`SegmentBegin`] names.
pub const FORMAT: u32 = 1;

/// A segment begins; always its first record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct SegmentBegin {
    /// The version of the format: 1.
    pub format: u32,
    /// The release that wrote it.
    pub release: String,
    /// The first sequence number of the segment before; absent in a log's first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
}

/// An Ed25519 signature (RFC 8032).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Signature {
    /// The public key, in hexadecimal.
    pub key: String,
    /// The signature of `signed_text` for the record that it stands in, in hexadecimal.
    pub signature: String,
}

/// What is signed: the sequence number of the record that carries the signature, and the check of the one before, which covers all
/// before that.
pub(super) fn signed_text(seq: u64, prev: &str) -> String {
    format!("cofferdam audit 1 {seq} {prev}")
}

/// A segment ends; always its last record, unless the one after it says that this one's end was lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct SegmentEnd {
    /// Signs all before it, where the host has a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
}

/// All before it is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Checkpoint {
    /// The signature.
    pub signature: Signature,
}

/// What a crash left behind was put right.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Recovered {
    /// Bytes of a record that had not been written whole, and were cut.
    pub cut_bytes: u64,
    /// SHA-256 of these bytes, in hexadecimal.
    pub cut_sha256: String,
    /// The disk failed to make sure of what was written, so that records before this one may be missing after a loss of power.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sync_failed: bool,
}

/// Old segments are about to be removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Retired {
    /// The first sequence number that is gone.
    pub first: u64,
    /// The last.
    pub last: u64,
    /// The check of the last, to which the oldest record that is left is chained.
    pub last_check: String,
}
