//! Segments follow each other, and old ones go; both are told.

use super::{all, assert_whole, kinds, note, notes, open, verified};
use cofferdam_bridge::in_memory::{DiskFault, MemoryAudit};
use cofferdam_kernel::audit::{AuditSettings, FaultKind};

fn small() -> AuditSettings {
    AuditSettings::new().segment_bytes(2000).keep_bytes(Some(6000))
}

#[test]
fn segments_follow_each_other_and_old_ones_are_retired() {
    let store = MemoryAudit::new();
    let recorder = open(&store, small());
    notes(&recorder, 200);
    let whole = assert_whole(&store);
    assert!(whole.first > 1 && whole.segments >= 2, "{whole:?}");
    let kept: usize = store.contents().values().map(Vec::len).sum();
    assert!(kept < 12_000, "{kept}");
    assert!(all(&store).iter().any(|read| read.line.contains("\"kind\":\"retired\"")));
}

#[test]
fn an_oldest_segment_that_somebody_removes_is_missed() {
    let store = MemoryAudit::new();
    let recorder = open(&store, small());
    notes(&recorder, 200);
    let contents = store.contents();
    let mut firsts = contents.keys();
    let (oldest, next) = (*firsts.next().unwrap(), *firsts.next().unwrap());
    store.tamper(oldest, None);
    assert_eq!(kinds(&verified(&store.contents())), [(next - 1, FaultKind::Missing)]);
}

#[test]
fn a_segment_in_the_middle_that_somebody_removes_or_swaps_is_missed() {
    let store = MemoryAudit::new();
    let recorder = open(&store, small().keep_bytes(None));
    notes(&recorder, 50);
    let contents = store.contents();
    let firsts: Vec<u64> = contents.keys().copied().collect();
    assert!(firsts.len() > 4);
    for at in 1..firsts.len() - 1 {
        let mut without = contents.clone();
        without.remove(&firsts[at]);
        assert_eq!(kinds(&verified(&without)), [(firsts[at], FaultKind::Missing)]);
        let mut swapped = contents.clone();
        swapped.insert(firsts[at], contents[&firsts[at + 1]].clone());
        assert!(verified(&swapped).faults.iter().any(|fault| fault.seq == firsts[at] || fault.seq == firsts[at + 1]));
    }
}

#[test]
fn a_writer_that_is_killed_while_it_rotates_leaves_what_the_next_one_mends() {
    // Long enough for a few rotations, with every byte once the last.
    for room in 0..9000 {
        let store = MemoryAudit::new();
        store.fault(DiskFault::Killed(room));
        let recorder = open(&store, small());
        for number in 0..20 {
            let event = cofferdam_kernel::audit::Event::note("n", number.to_string());
            let about = cofferdam_kernel::audit::About::kernel();
            if recorder.record(about, event, cofferdam_kernel::audit::Durability::Written).wait().is_err() {
                break;
            }
        }
        drop(recorder);
        store.fault(DiskFault::None);
        note(&open(&store, small()), "after");
        assert_whole(&store);
    }
}
