//! Appends batches of records: finds the end, chains, rotates, retires, and puts right what a crash left.

use super::event::Event;
use super::own_event::{Checkpoint, FORMAT, Recovered, Retired, SegmentBegin, SegmentEnd, Signature, signed_text};
use super::record::{About, Entry};
use super::settings::AuditSettings;
use super::tail::{Tail, damaged};
use super::{hexadecimal, retention};
use cofferdam_bridge::audit::{AuditAppender, AuditSegment, AuditStore};
use cofferdam_bridge::error::BridgeError;
use std::sync::Arc;

/// The writing end of a log. One for each recorder; those of other processes take turns with it by the store's lock.
pub(super) struct Log {
    store: Arc<dyn AuditStore>,
    settings: AuditSettings,
    writer: String,
    /// As it was left; another writer may have gone on since.
    tail: Option<Tail>,
    /// The segment that was written to last.
    written: Option<u64>,
    /// The disk has failed to make sure of the segment that was written to last. Nothing more is written there.
    distrusted: bool,
}

/// Whether a record is signed as soon as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closing {
    /// More may follow.
    Open,
    /// A signed checkpoint follows, where there is a key.
    Checkpoint,
}

/// Where the lines of a batch go.
struct Batch<'a> {
    writer: &'a str,
    signer: Option<&'a dyn cofferdam_bridge::audit::AuditSigner>,
    seq: u64,
    check: String,
    lines: Vec<u8>,
}

impl Batch<'_> {
    fn add(&mut self, entry: &Entry) -> Result<u64, BridgeError> {
        self.check = entry.write(self.seq + 1, &self.check, self.writer, &mut self.lines)?;
        self.seq += 1;
        Ok(self.seq)
    }

    /// A signature for the record that comes next.
    fn signature(&self) -> Result<Option<Signature>, BridgeError> {
        let Some(signer) = self.signer else { return Ok(None) };
        let signature = signer.sign(signed_text(self.seq + 1, &self.check).as_bytes())?;
        let key = hexadecimal::of(&signer.public_key());
        Ok(Some(Signature { key, signature: hexadecimal::of(&signature) }))
    }
}

impl Log {
    pub(super) fn new(store: Arc<dyn AuditStore>, settings: AuditSettings) -> Self {
        let writer = store.writer();
        Self { store, settings, writer, tail: None, written: None, distrusted: false }
    }

    /// Finds the end, so that the first batch need not.
    pub(super) fn warm(&mut self) -> Result<(), BridgeError> {
        let segments = self.store.segments()?;
        let tail = Tail::find(self.store.as_ref(), &segments)?;
        // What is torn now may be whole by the time of the first batch.
        self.tail = (tail.torn.is_none() && tail.segment == segments.last().copied()).then_some(tail);
        Ok(())
    }

    /// Whether there is a key to sign with.
    pub(super) fn is_signed(&self) -> bool {
        self.settings.signer.is_some()
    }

    /// Appends `entries`; answers their first sequence number, for they follow each other. `own` are the time
    /// and the clock of records that the log makes itself. Either all are in the log afterwards, or none.
    pub(super) fn append(&mut self, entries: &[Entry], own: &Entry, closing: Closing) -> Result<u64, BridgeError> {
        let (store, tail) = (self.store.clone(), self.tail.take());
        let mut held = store.lock()?;
        let segments = store.segments()?;
        let mut tail = end(store.as_ref(), &segments, tail)?;
        let mut recovered = self.recover(held.as_mut(), &mut tail)?;
        if self.distrusted {
            let told = recovered.get_or_insert_default();
            told.sync_failed = true;
        }
        let mut segment = match tail.segment {
            Some(segment) => segment,
            None => create(held.as_mut(), &mut tail)?,
        };
        let full = segment.length >= self.settings.segment_bytes || tail.ended || self.distrusted;
        let mut after = segments.iter().rev().map(|one| one.first).find(|first| *first < segment.first);
        let mut begin = segment.length == 0;
        if full && segment.length > 0 {
            after = Some(segment.first);
            segment = self.rotate(held.as_mut(), &mut tail, own)?;
            begin = true;
        }
        let signer = self.settings.signer.clone();
        let mut batch = Batch {
            writer: &self.writer,
            signer: signer.as_deref(),
            seq: tail.seq,
            check: std::mem::take(&mut tail.check),
            lines: Vec::new(),
        };
        if begin {
            let release = env!("CARGO_PKG_VERSION").to_owned();
            batch.add(&own.with(Event::SegmentBegin(Box::new(SegmentBegin { format: FORMAT, release, after }))))?;
        }
        if let Some(recovered) = recovered {
            batch.add(&own.with(Event::Recovered(Box::new(recovered))))?;
        }
        let first = batch.seq + 1;
        for entry in entries {
            batch.add(entry)?;
        }
        if let Some(signature) = batch.signature()?.filter(|_| closing == Closing::Checkpoint) {
            batch.add(&own.with(Event::Checkpoint(Box::new(Checkpoint { signature }))))?;
        }
        let Batch { seq, check, lines, .. } = batch;
        append_whole(held.as_mut(), segment, &lines)?;
        let segment = AuditSegment::new(segment.first, segment.length + lines.len() as u64);
        (self.distrusted, self.written) = (false, Some(segment.first));
        self.tail = Some(Tail { segment: Some(segment), seq, check, torn: None, ended: false });
        if begin {
            // The batch is in the log. What is too old and cannot be removed now is tried again with the next segment.
            let _ = self.retire(held.as_mut(), own);
        }
        Ok(first)
    }

    /// Makes sure of all that was appended.
    pub(super) fn sync(&mut self) -> Result<(), BridgeError> {
        let Some(segment) = self.written else { return Ok(()) };
        let synced = self.store.sync(segment);
        self.distrusted = synced.is_err();
        synced
    }

    /// Cuts what was torn.
    fn recover(&self, held: &mut dyn AuditAppender, tail: &mut Tail) -> Result<Option<Recovered>, BridgeError> {
        let recovered = tail.torn.take();
        if let (Some(_), Some(segment)) = (&recovered, tail.segment) {
            held.truncate(segment.first, segment.length)?;
        }
        Ok(recovered)
    }

    /// Ends the segment that `tail` names, makes sure of it, and begins another.
    fn rotate(
        &mut self,
        held: &mut dyn AuditAppender,
        tail: &mut Tail,
        own: &Entry,
    ) -> Result<AuditSegment, BridgeError> {
        let segment = tail.segment.unwrap_or(AuditSegment::new(tail.seq + 1, 0));
        if !self.distrusted && !tail.ended {
            let mut batch = Batch {
                writer: &self.writer,
                signer: self.settings.signer.as_deref(),
                seq: tail.seq,
                check: tail.check.clone(),
                lines: Vec::new(),
            };
            let signature = batch.signature()?;
            batch.add(&own.with(Event::SegmentEnd(Box::new(SegmentEnd { signature }))))?;
            let Batch { seq, check, lines, .. } = batch;
            append_whole(held, segment, &lines)?;
            (tail.seq, tail.check) = (seq, check);
        }
        if !self.distrusted {
            // Nothing of the next segment may be on disk before all of this one.
            self.store.sync(segment.first).inspect_err(|_| self.distrusted = true)?;
        }
        create(held, tail)
    }

    /// Removes the oldest segments where more is kept than was asked for; the log says so before they go.
    fn retire(&mut self, held: &mut dyn AuditAppender, own: &Entry) -> Result<(), BridgeError> {
        let segments = self.store.segments()?;
        let Some(going) = self.settings.keep_bytes.map(|most| retention::going(&segments, most)) else { return Ok(()) };
        let (Some(oldest), Some(last)) = (going.first(), going.last()) else { return Ok(()) };
        let Some(tail) = self.tail.take() else { return Ok(()) };
        let end = Tail::find(self.store.as_ref(), std::slice::from_ref(last))?;
        let retired = Retired { first: oldest.first, last: end.seq, last_check: end.check };
        let Some(segment) = tail.segment else { return Ok(()) };
        let mut batch =
            Batch { writer: &self.writer, signer: None, seq: tail.seq, check: tail.check.clone(), lines: Vec::new() };
        batch.add(&own.with(Event::Retired(Box::new(retired))))?;
        let Batch { seq, check, lines, .. } = batch;
        append_whole(held, segment, &lines)?;
        let segment = AuditSegment::new(segment.first, segment.length + lines.len() as u64);
        self.tail = Some(Tail { segment: Some(segment), seq, check, torn: None, ended: false });
        self.sync()?;
        going.iter().try_for_each(|segment| held.remove(segment.first))
    }
}

/// The end as it was left, where nobody has gone on since; else as it is found.
fn end(store: &dyn AuditStore, segments: &[AuditSegment], left: Option<Tail>) -> Result<Tail, BridgeError> {
    let Some((tail, segment)) = left.and_then(|tail| tail.segment.map(|segment| (tail, segment))) else {
        return Tail::find(store, segments);
    };
    match segments.last() {
        Some(last) if *last == segment => Ok(tail),
        Some(last) if last.first > segment.first || (last.first == segment.first && last.length > segment.length) => {
            Tail::find(store, segments)
        }
        _ => Err(damaged(segment.first, "is shorter than this process has written it, or is gone")),
    }
}

/// Makes the segment that follows the end.
fn create(held: &mut dyn AuditAppender, tail: &mut Tail) -> Result<AuditSegment, BridgeError> {
    let segment = AuditSegment::new(tail.seq + 1, 0);
    held.create(segment.first)?;
    tail.segment = Some(segment);
    Ok(segment)
}

/// Appends all of `lines` or nothing of them, as far as the disk lets itself be cut. What stays is torn, and the next writer cuts it.
fn append_whole(held: &mut dyn AuditAppender, segment: AuditSegment, lines: &[u8]) -> Result<(), BridgeError> {
    held.append(segment.first, lines).inspect_err(|_| {
        let _ = held.truncate(segment.first, segment.length);
    })
}

impl Entry {
    /// A record of the log's own, with the time of this one.
    fn with(&self, event: Event) -> Self {
        Self { about: About::kernel(), time: self.time.clone(), mono_ns: self.mono_ns, event }
    }
}
