//! Reads a log from some record on, also while it is written.

use super::record::Record;
use cofferdam_bridge::audit::{AuditSegment, AuditStore};
use cofferdam_bridge::error::BridgeError;

/// As much is read at once.
const STEP: u64 = 1 << 20;

/// A line of the log, and what it says.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ReadRecord {
    /// The line as it stands in the log, without its end.
    pub line: String,
    /// The record; none where the line is none or was changed, which `cofferdam audit verify` tells about.
    pub record: Option<Record>,
}

/// Reads records in their order.
#[derive(Debug)]
pub struct Reader<'a, S: AuditStore + ?Sized> {
    store: &'a S,
    segment: u64,
    offset: u64,
    /// The beginning of a line whose end was not there yet.
    begun: Vec<u8>,
}

impl<'a, S: AuditStore + ?Sized> Reader<'a, S> {
    /// From the oldest record that is there.
    pub fn new(store: &'a S) -> Self {
        Self { store, segment: 0, offset: 0, begun: Vec::new() }
    }

    /// From the segment on that holds record `seq`.
    ///
    /// # Errors
    /// `audit_unavailable`.
    pub fn around(store: &'a S, seq: u64) -> Result<Self, BridgeError> {
        let segments = store.segments()?;
        let segment = segments.iter().rev().map(|segment| segment.first).find(|first| *first <= seq).unwrap_or(0);
        Ok(Self { segment, ..Self::new(store) })
    }

    /// The records that come next, some at a time; none when there is nothing more by now.
    ///
    /// # Errors
    /// `audit_unavailable`.
    pub fn more(&mut self) -> Result<Vec<ReadRecord>, BridgeError> {
        loop {
            let segments = self.store.segments()?;
            // A segment that has been retired meanwhile is passed over.
            let Some(AuditSegment { first, length, .. }) =
                segments.iter().copied().find(|one| one.first >= self.segment)
            else {
                return Ok(Vec::new());
            };
            if first != self.segment {
                (self.segment, self.offset) = (first, 0);
                self.begun.clear();
            }
            if self.offset >= length {
                let Some(following) = segments.iter().find(|one| one.first > first) else { return Ok(Vec::new()) };
                self.segment = following.first;
                self.offset = 0;
                self.begun.clear();
                continue;
            }
            let bytes = self.store.read(first, self.offset, STEP.min(length - self.offset))?;
            if bytes.is_empty() {
                return Ok(Vec::new());
            }
            self.offset += bytes.len() as u64;
            self.begun.extend(bytes);
            let Some(end) = self.begun.iter().rposition(|byte| *byte == b'\n') else { continue };
            let rest = self.begun.split_off(end + 1);
            let whole = std::mem::replace(&mut self.begun, rest);
            let lines = whole.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            return Ok(lines.map(ReadRecord::new).collect());
        }
    }
}

impl ReadRecord {
    fn new(line: &[u8]) -> Self {
        Self { line: String::from_utf8_lossy(line).into_owned(), record: Record::read(line).ok() }
    }
}
