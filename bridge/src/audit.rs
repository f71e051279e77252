//! Where the audit log is kept: segments of bytes that are only ever appended to, by one writer at a time.
//!
//! The kernel decides what stands in them and how they are chained; whoever implements [`AuditStore`] keeps bytes and knows nothing of
//! records. What an implementation promises is written at each call; the log's own promises rest on these.

use crate::error::BridgeError;
use std::collections::BTreeMap;

/// A segment of the log: a file, where the log is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditSegment {
    /// The sequence number of its first record, which is its name.
    pub first: u64,
    /// Its length in bytes.
    pub length: u64,
}

impl AuditSegment {
    /// A segment.
    pub fn new(first: u64, length: u64) -> Self {
        Self { first, length }
    }
}

/// Keeps the segments of one log. Several processes may have the same log open.
pub trait AuditStore: Send + Sync {
    /// Who writes here: a short name that no other writer of this log has or had, such as a process id and a random number.
    fn writer(&self) -> String;

    /// The directory on the host that no guest may reach, where there is one.
    fn place(&self) -> Option<String>;

    /// All segments, by their first sequence number.
    ///
    /// # Errors
    /// `audit_unavailable` where the log cannot be listed.
    fn segments(&self) -> Result<Vec<AuditSegment>, BridgeError>;

    /// At most `length` bytes of a segment from `offset` on; fewer only at its end.
    ///
    /// # Errors
    /// `audit_unavailable` where they cannot be read.
    fn read(&self, first: u64, offset: u64, length: u64) -> Result<Vec<u8>, BridgeError>;

    /// Takes the log for writing. Until what is answered is dropped nobody else has it, in this process or another; a writer that
    /// was killed holds it no longer. Waits a bounded time.
    ///
    /// # Errors
    /// `audit_unavailable` where it cannot be had, or not within that time.
    fn lock(&self) -> Result<Box<dyn AuditAppender + '_>, BridgeError>;

    /// Returns when all that was appended to a segment before the call survives a loss of power. Needs no lock.
    ///
    /// # Errors
    /// `audit_unavailable`. After an error nobody knows what of the segment is on disk, and trying again does not tell (fsync(2)).
    fn sync(&self, first: u64) -> Result<(), BridgeError>;
}

/// A log that is held for writing.
pub trait AuditAppender {
    /// Makes an empty segment, whose name survives a loss of power when this returns.
    ///
    /// # Errors
    /// `audit_unavailable`, also where it is there already.
    fn create(&mut self, first: u64) -> Result<(), BridgeError>;

    /// Appends to a segment. What is appended survives the end of this process when this returns.
    ///
    /// # Errors
    /// `audit_unavailable`. A part of the bytes may then have been appended.
    fn append(&mut self, first: u64, bytes: &[u8]) -> Result<(), BridgeError>;

    /// Cuts a segment to its first `length` bytes.
    ///
    /// # Errors
    /// `audit_unavailable`.
    fn truncate(&mut self, first: u64, length: u64) -> Result<(), BridgeError>;

    /// Removes a segment.
    ///
    /// # Errors
    /// `audit_unavailable`.
    fn remove(&mut self, first: u64) -> Result<(), BridgeError>;
}

/// Tells figures about the host, for the records of runs that begin and end.
pub trait FigureSource: Send + Sync {
    /// Figures by name, such as `memory_available_bytes` or `load_1m_percent`. Whatever cannot be told is absent. Asked before and after
    /// each run, so it must be quick.
    fn figures(&self) -> BTreeMap<String, u64>;
}

/// Signs the ends of segments and checkpoints with an Ed25519 key (RFC 8032), which stays with whoever implements this.
pub trait AuditSigner: Send + Sync {
    /// The public key by which others verify.
    fn public_key(&self) -> [u8; 32];

    /// The signature of `message`.
    ///
    /// # Errors
    /// `audit_unavailable` where the key cannot be used.
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], BridgeError>;
}
