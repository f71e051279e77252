//! Crashes and disks that fail: what was said to be recorded is, and what was torn is cut and told.

use super::{all, assert_whole, kinds, note, open, verified, written};
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::in_memory::{DiskFault, MemoryAudit};
use cofferdam_kernel::audit::{About, AuditSettings, Durability, Event, FaultKind, Recorder};

fn refused(recorder: &Recorder) -> ErrorCode {
    recorder.record(About::kernel(), Event::note("n", "late"), Durability::Synced).wait().unwrap_err().code
}

#[test]
fn wal_02_a_last_record_that_is_cut_at_any_byte_is_found_cut_and_told() {
    let whole = written(3).contents().remove(&1).unwrap();
    let last = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    for length in last + 1..whole.len() {
        let store = MemoryAudit::new();
        store.tamper(1, Some(whole[..length].to_vec()));
        assert_eq!(kinds(&verified(&store.contents())), [(4, FaultKind::Torn)], "cut at {length}");
        let recorder = open(&store, AuditSettings::new());
        // The torn record had number 4, which nobody was told; the recovery has it now.
        assert_eq!(note(&recorder, "after"), 5, "cut at {length}");
        assert_eq!(assert_whole(&store).recoveries, 1);
        let told = &all(&store)[3].line;
        assert!(told.contains(&format!("\"cut_bytes\":{}", length - last)), "{told}");
    }
}

#[test]
fn wal_01_a_writer_that_is_killed_after_any_byte_leaves_what_the_next_one_mends() {
    let settings = || AuditSettings::new().segment_bytes(1500);
    for room in 0..6000 {
        let store = MemoryAudit::new();
        store.fault(DiskFault::Killed(room));
        let recorder = open(&store, settings());
        let said: Vec<u64> = (0..8)
            .map_while(|_| recorder.record(About::kernel(), Event::note("n", "early"), Durability::Synced).wait().ok())
            .collect();
        drop(recorder);
        store.fault(DiskFault::None);
        let next = note(&open(&store, settings()), "after");
        let whole = assert_whole(&store);
        assert!(said.iter().all(|seq| *seq < next), "killed after {room}: numbers do not repeat");
        assert!(whole.recoveries <= 1);
        let early = all(&store).iter().filter(|read| read.line.contains("early")).count();
        assert!(early >= said.len(), "killed after {room}: {early} of {}", said.len());
    }
}

#[test]
fn wal_05_a_full_and_a_read_only_disk_refuse_and_lose_nothing() {
    for fault in [DiskFault::Room(0), DiskFault::Room(100), DiskFault::ReadOnly] {
        let store = written(3);
        let before = store.contents();
        store.fault(fault);
        let recorder = open(&store, AuditSettings::new());
        assert_eq!(refused(&recorder), ErrorCode::AuditUnavailable);
        assert_eq!(refused(&recorder), ErrorCode::AuditUnavailable);
        if fault == DiskFault::ReadOnly {
            assert_eq!(store.contents(), before);
        }
        store.fault(DiskFault::None);
        assert_eq!(note(&recorder, "room again"), 5, "the same recorder goes on when there is room again");
        assert_whole(&store);
    }
}

#[test]
fn wal_06_a_disk_that_failed_to_sync_is_not_trusted_again() {
    let store = written(3);
    store.fault(DiskFault::SyncFails);
    let recorder = open(&store, AuditSettings::new());
    assert_eq!(refused(&recorder), ErrorCode::AuditUnavailable);
    assert_eq!(store.contents().len(), 1);
    store.fault(DiskFault::None);
    note(&recorder, "after");
    assert_eq!(store.contents().len(), 2, "nothing more is written to the segment whose pages may be lost");
    assert!(all(&store).iter().any(|read| read.line.contains("\"sync_failed\":true")));
    assert_whole(&store);
}

#[test]
fn what_was_synced_survives_a_loss_of_power_and_the_rest_is_no_fault() {
    for unsure in 0..4 {
        let store = written(3);
        let recorder = open(&store, AuditSettings::new());
        let sure = note(&recorder, "sure");
        for _ in 0..unsure {
            recorder.record(About::kernel(), Event::note("n", "unsure"), Durability::Written).wait().unwrap();
        }
        drop(recorder);
        store.lose_power();
        assert_eq!(assert_whole(&store).last, sure);
        assert_eq!(note(&open(&store, AuditSettings::new()), "after"), sure + 1);
        assert_whole(&store);
    }
}

#[test]
fn each_record_that_was_waited_for_survives_a_loss_of_power_also_where_a_segment_begins() {
    let store = MemoryAudit::new();
    let recorder = open(&store, AuditSettings::new().segment_bytes(1500).keep_bytes(Some(4000)));
    for _ in 0..40 {
        let seq = note(&recorder, "sure");
        let before = store.contents();
        store.lose_power();
        assert_eq!(store.contents(), before, "record {seq} and all before it were made sure of");
    }
    assert!(assert_whole(&store).first > 1, "segments began and went on the way");
}

#[test]
fn a_log_whose_last_record_was_changed_is_not_written_on() {
    let store = written(3);
    let mut bytes = store.contents().remove(&1).unwrap();
    let at = bytes.len() - 90;
    bytes[at] ^= 1;
    store.tamper(1, Some(bytes.clone()));
    let recorder = open(&store, AuditSettings::new());
    assert_eq!(refused(&recorder), ErrorCode::AuditDamaged);
    assert_eq!(store.contents()[&1], bytes, "the evidence stays as it is");
}

#[test]
fn a_log_that_somebody_shortens_while_it_is_written_is_not_written_on() {
    let store = written(3);
    let recorder = open(&store, AuditSettings::new());
    note(&recorder, "fifth");
    let bytes = store.contents().remove(&1).unwrap();
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    store.tamper(1, Some(lines[..3].concat()));
    assert_eq!(refused(&recorder), ErrorCode::AuditDamaged);
    store.tamper(1, None);
    assert_eq!(note(&open(&MemoryAudit::new(), AuditSettings::new()), "elsewhere"), 2);
}
