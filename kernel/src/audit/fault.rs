//! What is wrong with a log, and at which record.

use schemars::JsonSchema;
use serde::Serialize;
use std::fmt;

/// What kind of fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FaultKind {
    /// A line is no record, or its check does not hold: it was changed.
    Changed,
    /// Records are not there.
    Missing,
    /// A record stands where another should: it was moved, or put there twice.
    Misplaced,
    /// A record does not follow the one before it, which is not the one that stood there when it was written.
    Unchained,
    /// The log ends in a part of a record. The next writer cuts it, and records that it did.
    Torn,
    /// A signature does not hold, or is by a key that is not trusted.
    Signature,
    /// The end of a segment, or of the log, is not signed by a trusted key.
    Unsigned,
}

/// A fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Fault {
    /// The sequence number of the record that is wrong, or of the first that is missing.
    pub seq: u64,
    /// What kind.
    pub kind: FaultKind,
    /// The segment that it was found in.
    pub segment: u64,
    /// Where in it, in bytes.
    pub offset: u64,
    /// One sentence.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seq, segment, offset, message, .. } = self;
        write!(f, "record {seq}: {message} (segment {segment}, byte {offset})")
    }
}
