//! The audit log, on a disk in memory that can fail.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod faults;
mod group_commit;
mod rotation;
mod signed;
mod tampering;

use cofferdam_bridge::in_memory::{ManualClock, MemoryAudit};
use cofferdam_kernel::audit::{
    About, AuditSettings, Durability, Event, FaultKind, ReadRecord, Reader, Recorder, Verified, Verifier,
};
use std::collections::BTreeMap;

/// A recorder of its own for this log, as another process has.
fn open(store: &MemoryAudit, settings: AuditSettings) -> Recorder {
    Recorder::open(store.clone(), ManualClock::default(), settings)
}

/// Records a note, made sure of.
#[track_caller]
fn note(recorder: &Recorder, text: &str) -> u64 {
    recorder.record(About::kernel(), Event::note("test", text), Durability::Synced).wait().unwrap()
}

/// Records `count` notes.
fn notes(recorder: &Recorder, count: usize) {
    for number in 0..count {
        note(recorder, &format!("note {number}"));
    }
}

/// A log of `count` notes.
fn written(count: usize) -> MemoryAudit {
    let store = MemoryAudit::new();
    let recorder = open(&store, AuditSettings::new());
    notes(&recorder, count);
    drop(recorder);
    store
}

fn verified(contents: &BTreeMap<u64, Vec<u8>>) -> Verified {
    let mut verifier = Verifier::new();
    contents.iter().for_each(|(first, bytes)| verifier.segment(*first, bytes));
    verifier.finish()
}

/// The log is whole: it verifies, and its numbers are 1, 2, 3 …
#[track_caller]
fn assert_whole(store: &MemoryAudit) -> Verified {
    let verified = verified(&store.contents());
    assert_eq!(verified.faults, [], "{verified:?}");
    assert_eq!(verified.records, verified.last - verified.first + u64::from(verified.last > 0));
    verified
}

/// All records, by reading.
fn all(store: &MemoryAudit) -> Vec<ReadRecord> {
    let mut reader = Reader::new(store);
    let mut all = Vec::new();
    loop {
        match reader.more().unwrap() {
            some if some.is_empty() => return all,
            some => all.extend(some),
        }
    }
}

/// Kinds and numbers of what is wrong.
fn kinds(verified: &Verified) -> Vec<(u64, FaultKind)> {
    verified.faults.iter().map(|fault| (fault.seq, fault.kind)).collect()
}

#[test]
fn the_schema_of_a_record() {
    let schema = serde_json::to_string_pretty(&cofferdam_kernel::audit::schema()).unwrap();
    insta::assert_snapshot!(schema);
}

#[test]
fn a_record_is_a_line_in_a_stable_order_that_sha256sum_can_check() {
    let store = written(1);
    let lines = all(&store);
    let [begin, note] = lines.as_slice() else { unreachable!("{lines:?}") };
    let (body, check) = note.line.split_once(",\"check\":").unwrap();
    assert_eq!(
        body,
        format!(
            "{{\"seq\":2,\"prev\":\"{}\",\"time\":\"1970-01-01T00:00:00.000000000Z\",\"mono_ns\":0,\"writer\":\"memory-1\",\
             \"event\":{{\"kind\":\"note\",\"code\":\"test\",\"message\":\"note 0\"}}",
            begin.record.as_ref().unwrap().check
        )
    );
    // printf %s "$body" | sha256sum
    let digest = <sha2::Sha256 as sha2::Digest>::digest(body.as_bytes());
    let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(check, format!("\"{digits}\"}}"));
}

#[test]
fn wal_08_whatever_is_handed_in_is_one_record_of_bounded_length() {
    let store = MemoryAudit::new();
    let recorder = open(&store, AuditSettings::new());
    let hostile =
        ["a\nb\r\n{\"seq\":9}", "\u{1b}[2J\u{0}\u{9b}", "\",\"check\":\"", &"x".repeat(2 << 20), &"é".repeat(1 << 20)];
    for text in hostile {
        note(&recorder, text);
    }
    assert_eq!(assert_whole(&store).records, 1 + hostile.len() as u64);
    for record in all(&store) {
        assert!(record.line.len() < cofferdam_kernel::audit::LONGEST_LINE);
        assert!(!record.line.contains(['\n', '\u{1b}', '\0']), "{}", record.line);
    }
    assert!(all(&store)[4].line.contains("shortened; sha256"));
}
