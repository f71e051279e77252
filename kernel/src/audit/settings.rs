//! How a log is kept.

use cofferdam_bridge::audit::AuditSigner;
use std::fmt;
use std::sync::Arc;

/// A segment that has grown to this, in bytes, is followed by another.
const SEGMENT_BYTES: u64 = 16 << 20;

/// The log is kept below this, in bytes, by removing its oldest segments.
const KEEP_BYTES: u64 = 512 << 20;

/// How a program's arguments are recorded. They may hold secrets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArgumentRecording {
    /// Only how many there are.
    #[default]
    Counted,
    /// What they are, with what looks like a secret left out.
    Redacted,
}

/// How a log is kept.
#[derive(Clone)]
#[must_use]
pub struct AuditSettings {
    pub(super) segment_bytes: u64,
    pub(super) keep_bytes: Option<u64>,
    pub(super) arguments: ArgumentRecording,
    pub(super) signer: Option<Arc<dyn AuditSigner>>,
}

impl Default for AuditSettings {
    fn default() -> Self {
        Self {
            segment_bytes: SEGMENT_BYTES,
            keep_bytes: Some(KEEP_BYTES),
            arguments: ArgumentRecording::default(),
            signer: None,
        }
    }
}

impl fmt::Debug for AuditSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditSettings")
            .field("segment_bytes", &self.segment_bytes)
            .field("keep_bytes", &self.keep_bytes)
            .field("arguments", &self.arguments)
            .field("signed", &self.signer.is_some())
            .finish()
    }
}

impl AuditSettings {
    /// Segments of 16 MiB, of which 512 MiB are kept; arguments are counted; nothing is signed.
    pub fn new() -> Self {
        Self::default()
    }

    /// How large a segment grows, in bytes, before another follows.
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// How much is kept, in bytes: the oldest segments are removed when there is more, and the log says so. `None`: everything, until
    /// the disk is full and nothing runs any more. At least the newest two segments stay.
    pub fn keep_bytes(mut self, bytes: Option<u64>) -> Self {
        self.keep_bytes = bytes;
        self
    }

    /// How programs' arguments are recorded.
    pub fn arguments(mut self, recording: ArgumentRecording) -> Self {
        self.arguments = recording;
        self
    }

    /// Signs the end of each segment, what [`Recorder::checkpoint`](super::Recorder::checkpoint) asks for, and the end of the log when
    /// it is closed.
    pub fn signed_by(mut self, signer: impl AuditSigner + 'static) -> Self {
        self.signer = Some(Arc::new(signer));
        self
    }
}
