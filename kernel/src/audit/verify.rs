//! Verifying a log: a pure function of its bytes, and of what the verifier knows from elsewhere.

use super::fault::{Fault, FaultKind};
use super::hexadecimal;
use super::own_event::{Checkpoint, Retired, SegmentEnd, Signature, signed_text};
use super::record::{LONGEST_LINE, ORIGIN, split};
use ed25519_dalek::VerifyingKey;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Faults that are told; a log with more is told by these.
const MOST_FAULTS: usize = 64;

/// What of a record binds it to its neighbours.
#[derive(Deserialize)]
struct Link {
    seq: u64,
    prev: String,
    event: OwnEvent,
}

/// The log's own events; all others are the same to it.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
enum OwnEvent {
    SegmentBegin {},
    SegmentEnd(SegmentEnd),
    Checkpoint(Checkpoint),
    Recovered {},
    Retired(Retired),
    #[serde(other)]
    Other,
}

/// What a verified log comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Verified {
    /// How many records there are.
    pub records: u64,
    /// The first sequence number that is there; 0 in an empty log.
    pub first: u64,
    /// The last.
    pub last: u64,
    /// The check of the last. Whoever keeps this and `last` elsewhere finds out when the log is cut or replaced
    /// ([`Verifier::seen`]).
    pub head: String,
    /// How many segments.
    pub segments: u64,
    /// How often a crash had left a torn end that was cut.
    pub recoveries: u64,
    /// The last record that a trusted key's signature covers; absent where none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed: Option<u64>,
    /// What is wrong, in the order of the log; nothing in a whole one.
    pub faults: Vec<Fault>,
}

/// Verifies segments, one after the other, from the oldest on.
#[derive(Debug, Default)]
#[must_use]
pub struct Verifier {
    keys: Vec<VerifyingKey>,
    seen: Option<(u64, String)>,
    found: Verified,
    /// The sequence number and the check that the next record must follow; unknown at the start and after a fault.
    next: Option<(u64, String)>,
    /// The log begins here, and an earlier part of it must be told to have been retired.
    begins: Option<(u64, String)>,
    /// Where it looks: the segment, and the byte in it.
    place: (u64, u64),
}

impl Verifier {
    /// A verifier that trusts no key and has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts this public key: every segment's end, and the end of the log, must then be signed by a trusted key. Answers whether it is
    /// a key at all.
    pub fn trust(&mut self, key: &[u8; 32]) -> bool {
        let key = VerifyingKey::from_bytes(key);
        self.keys.extend(key.iter());
        key.is_ok()
    }

    /// Has seen before that record `seq` had this check: it must still be there.
    pub fn seen(&mut self, seq: u64, check: impl Into<String>) {
        self.seen = Some((seq, check.into()));
    }

    /// Verifies the next segment, which is named by `first`.
    pub fn segment(&mut self, first: u64, bytes: &[u8]) {
        self.found.segments += 1;
        self.place = (first, 0);
        if bytes.is_empty() {
            // A crash between the making of a segment and its first record.
            return;
        }
        let mut offset = 0;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.place = (first, offset as u64);
            match line.strip_suffix(b"\n") {
                Some(whole) => self.line(whole, offset == 0),
                None => self.fault(
                    self.expected(),
                    FaultKind::Torn,
                    "is there in part only: it was not written whole, or it was cut",
                ),
            }
            offset += line.len();
        }
    }

    /// What it comes to.
    pub fn finish(mut self) -> Verified {
        let last = self.found.last;
        if let Some((seq, _)) = self.seen.take().filter(|(seq, _)| *seq > last || *seq < self.found.first) {
            let what = "was seen before and is not there any more: the log was cut, or replaced by another";
            self.fault(seq.min(last + 1), FaultKind::Missing, what);
        }
        if let Some((seq, _)) = self.begins.take() {
            self.fault(
                seq.saturating_sub(1).max(1),
                FaultKind::Missing,
                "and those before it are not there, and nothing tells that they were retired",
            );
        }
        if !self.keys.is_empty() && last > 0 && self.found.signed.is_none_or(|signed| signed < last) {
            let what = "and those after it are covered by no trusted signature: the log was cut, or is still open";
            self.fault(self.found.signed.map_or(self.found.first, |signed| signed + 1), FaultKind::Unsigned, what);
        }
        self.found
    }

    /// The number that the next record should have, as far as that is known.
    fn expected(&self) -> u64 {
        self.next.as_ref().map_or(self.found.last + 1, |(seq, _)| *seq)
    }

    fn fault(&mut self, seq: u64, kind: FaultKind, message: &str) {
        let (segment, offset) = self.place;
        if self.found.faults.len() < MOST_FAULTS {
            self.found.faults.push(Fault { seq, kind, segment, offset, message: message.to_owned() });
        }
    }

    fn line(&mut self, line: &[u8], first_of_segment: bool) {
        let link = split(line).filter(|_| line.len() < LONGEST_LINE);
        let link = link.and_then(|(_, check)| Some((serde_json::from_slice::<Link>(line).ok()?, check.to_owned())));
        let Some((link, check)) = link else {
            self.fault(
                self.expected(),
                FaultKind::Changed,
                "was changed: its line is no record, or its check does not hold",
            );
            // What follows is held against itself: one fault is told once.
            self.next = None;
            return;
        };
        self.place_of(&link, first_of_segment);
        self.own(&link);
        if let Some((_, seen)) = self.seen.take_if(|(seq, _)| *seq == link.seq)
            && seen != check
        {
            self.fault(link.seq, FaultKind::Changed, "is not the one that was seen before: the log was written anew");
        }
        if self.found.records == 0 {
            self.found.first = link.seq;
        }
        self.found.records += 1;
        self.found.last = link.seq;
        self.found.head.clone_from(&check);
        self.next = link.seq.checked_add(1).map(|next| (next, check));
    }

    /// Whether a record may stand where it stands.
    fn place_of(&mut self, link: &Link, first_of_segment: bool) {
        let begin = matches!(link.event, OwnEvent::SegmentBegin {});
        if first_of_segment && link.seq != self.place.0 {
            self.fault(link.seq, FaultKind::Misplaced, "begins a segment that bears another number");
        }
        if first_of_segment != begin {
            let what =
                if begin { "begins a segment in the midst of one" } else { "stands where a segment should begin" };
            self.fault(link.seq, FaultKind::Misplaced, what);
        }
        match self.next.take() {
            Some((expected, check)) => {
                if link.seq > expected {
                    let missing = format!("is missing, with all before {}", link.seq);
                    self.fault(expected, FaultKind::Missing, &missing);
                } else if link.seq < expected {
                    self.fault(
                        link.seq,
                        FaultKind::Misplaced,
                        "stands behind one with the same number or a higher one",
                    );
                } else if link.prev != check {
                    self.fault(link.seq, FaultKind::Unchained, "does not follow the one that stands before it");
                }
            }
            None if self.found.records > 0 || !self.found.faults.is_empty() => {
                // After a changed record: just this one may be unknown.
                let skipped = self.found.last + 2;
                if link.seq > skipped {
                    let missing = format!("is missing, with all before {}", link.seq);
                    self.fault(skipped, FaultKind::Missing, &missing);
                } else if link.seq < skipped {
                    self.fault(
                        link.seq,
                        FaultKind::Misplaced,
                        "stands behind one with the same number or a higher one",
                    );
                }
            }
            None if link.seq == 1 && link.prev == ORIGIN => {}
            None if link.seq <= 1 => self.fault(link.seq, FaultKind::Unchained, "is not how a log begins"),
            None => self.begins = Some((link.seq, link.prev.clone())),
        }
    }

    /// What the log tells about itself.
    fn own(&mut self, link: &Link) {
        match &link.event {
            OwnEvent::SegmentEnd(end) => match &end.signature {
                Some(signature) => self.signature(link, signature),
                None if !self.keys.is_empty() => {
                    self.fault(link.seq, FaultKind::Unsigned, "ends a segment and is not signed");
                }
                None => {}
            },
            OwnEvent::Checkpoint(checkpoint) => self.signature(link, &checkpoint.signature),
            OwnEvent::Recovered {} => self.found.recoveries += 1,
            OwnEvent::Retired(retired) => {
                let told =
                    |(first, prev): &mut (u64, String)| retired.last + 1 == *first && retired.last_check == *prev;
                self.begins.take_if(told);
            }
            OwnEvent::SegmentBegin {} | OwnEvent::Other => {}
        }
    }

    fn signature(&mut self, link: &Link, signature: &Signature) {
        let key = hexadecimal::bytes::<32>(&signature.key).and_then(|key| VerifyingKey::from_bytes(&key).ok());
        let bytes =
            hexadecimal::bytes::<64>(&signature.signature).map(|bytes| ed25519_dalek::Signature::from_bytes(&bytes));
        let (Some(key), Some(bytes)) = (key, bytes) else {
            self.fault(link.seq, FaultKind::Signature, "bears what is no signature");
            return;
        };
        // Strict: a key of small order would seem to have signed anything.
        if key.verify_strict(signed_text(link.seq, &link.prev).as_bytes(), &bytes).is_err() {
            self.fault(link.seq, FaultKind::Signature, "bears a signature that does not hold");
        } else if self.keys.contains(&key) {
            self.found.signed = Some(link.seq);
        } else if !self.keys.is_empty() {
            self.fault(link.seq, FaultKind::Signature, "is signed by a key that is not trusted");
        }
    }
}
