//! Where the log ends: found by its last record alone, and put right where a crash has torn that.

use super::event::Event;
use super::hexadecimal;
use super::own_event::Recovered;
use super::record::{LONGEST_LINE, ORIGIN, Record};
use cofferdam_bridge::audit::{AuditSegment, AuditStore};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use sha2::{Digest, Sha256};

/// The end of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tail {
    /// The segment that is written to; none in a log without any.
    pub(super) segment: Option<AuditSegment>,
    /// The last sequence number; 0 in an empty log.
    pub(super) seq: u64,
    /// The last check.
    pub(super) check: String,
    /// What stands behind the last record that was written whole, and is to be cut.
    pub(super) torn: Option<Recovered>,
    /// The last record ends the segment.
    pub(super) ended: bool,
}

/// As much is read first: a record or two.
const FIRST_LOOK: u64 = 4096;

/// As much is read if that was not enough: a whole record and a torn one.
const SECOND_LOOK: u64 = 2 * LONGEST_LINE as u64;

impl Tail {
    fn empty() -> Self {
        Self { segment: None, seq: 0, check: ORIGIN.to_owned(), torn: None, ended: false }
    }

    /// Looks for the end. `segments` are in order.
    pub(super) fn find(store: &dyn AuditStore, segments: &[AuditSegment]) -> Result<Self, BridgeError> {
        let Some((last, before)) = segments.split_last() else { return Ok(Self::empty()) };
        if last.first == 0 {
            return Err(damaged(last.first, "bears a number that no record has"));
        }
        if let Some(tail) = of_segment(store, *last)? {
            return Ok(tail);
        }
        // A crash between the making of a segment and its first record: what is there of it, if anything, was not written whole.
        let torn = (last.length > 0).then(|| torn(store, *last, 0)).transpose()?;
        let mut tail = match before.last() {
            Some(before) => of_segment(store, *before)?.ok_or_else(|| damaged(before.first, "has no whole record"))?,
            None if last.first == 1 => Self::empty(),
            None => return Err(damaged(last.first, "has no whole record, and those before it are gone")),
        };
        if tail.torn.is_some() || last.first != tail.seq + 1 {
            return Err(damaged(last.first, "does not begin where the one before it ends"));
        }
        (tail.segment, tail.torn, tail.ended) = (Some(AuditSegment::new(last.first, 0)), torn, false);
        Ok(tail)
    }
}

/// The end of a segment; `None` where it has no whole line.
fn of_segment(store: &dyn AuditStore, segment: AuditSegment) -> Result<Option<Tail>, BridgeError> {
    for look in [FIRST_LOOK, SECOND_LOOK] {
        let start = segment.length.saturating_sub(look);
        let bytes = store.read(segment.first, start, segment.length - start)?;
        let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') else { continue };
        let whole = bytes.get(..end).unwrap_or_default();
        let line = match whole.iter().rposition(|byte| *byte == b'\n') {
            Some(at) => whole.get(at + 1..).unwrap_or_default(),
            None if start == 0 => whole,
            None => continue,
        };
        let record =
            Record::read(line).map_err(|_| damaged(segment.first, "does not end in a record as it was written"))?;
        let length = start + end as u64 + 1;
        let torn = (length < segment.length).then(|| torn(store, segment, length)).transpose()?;
        let (segment, ended) =
            (Some(AuditSegment::new(segment.first, length)), matches!(record.event, Event::SegmentEnd(_)));
        return Ok(Some(Tail { segment, seq: record.seq, check: record.check, torn, ended }));
    }
    // No whole line within what two records can take: either nothing was ever written whole, or this is no log.
    if segment.length <= LONGEST_LINE as u64 {
        Ok(None)
    } else {
        Err(damaged(segment.first, "holds what is no record"))
    }
}

/// What stands behind `from`.
fn torn(store: &dyn AuditStore, segment: AuditSegment, from: u64) -> Result<Recovered, BridgeError> {
    let cut_bytes = segment.length - from;
    let bytes = store.read(segment.first, from, cut_bytes.min(SECOND_LOOK))?;
    let cut_sha256 = hexadecimal::of(&Sha256::digest(&bytes));
    Ok(Recovered { cut_bytes, cut_sha256, sync_failed: false })
}

pub(super) fn damaged(segment: u64, what: &str) -> BridgeError {
    let message = format!(
        "the audit log is damaged: the segment that begins with record {segment} {what}. See `cofferdam audit verify`; to go on with a \
         new log, move the old one's directory away and keep it as evidence"
    );
    BridgeError::new(ErrorCode::AuditDamaged, message).with("segment", segment)
}
