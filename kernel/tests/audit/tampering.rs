//! Somebody who can write the log's files, and does not recompute it: every change is found, with the number of the record.

use super::{kinds, verified, written};
use cofferdam_kernel::audit::{FaultKind, Verified, Verifier};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn of_lines(lines: &[&[u8]]) -> Verified {
    verified(&BTreeMap::from([(1, lines.concat())]))
}

#[test]
fn wal_03_every_bit_that_is_flipped_is_found_with_the_number_of_its_record() {
    let bytes = written(4).contents().remove(&1).unwrap();
    let mut record = 1;
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            let found = verified(&BTreeMap::from([(1, changed)]));
            assert_eq!(found.faults.first().map(|fault| fault.seq), Some(record), "bit {bit} of byte {at}: {found:?}");
        }
        record += u64::from(bytes[at] == b'\n');
    }
    assert_eq!(record, 6, "all five records were gone through");
}

/// The number of the first record with which something is wrong.
#[track_caller]
fn first_fault(lines: &[&[u8]]) -> u64 {
    of_lines(lines).faults.first().map(|fault| fault.seq).unwrap()
}

#[test]
fn wal_03_any_record_that_is_dropped_is_found_with_its_number() {
    let bytes = written(6).contents().remove(&1).unwrap();
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    // The last one leaves no trace in the log itself: see wal_04.
    for at in 0..lines.len() - 1 {
        let mut dropped = lines.clone();
        dropped.remove(at);
        // Without its first record a log begins with its second, which is no beginning.
        assert_eq!(first_fault(&dropped), if at == 0 { 2 } else { at as u64 + 1 });
    }
}

#[test]
fn wal_03_any_two_records_that_are_swapped_are_found_at_the_first_of_them() {
    let bytes = written(6).contents().remove(&1).unwrap();
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    for one in 0..lines.len() {
        for other in one + 1..lines.len() {
            let mut swapped = lines.clone();
            swapped.swap(one, other);
            // A log whose first record is another is told by the number of that one.
            let expected = if one == 0 { other } else { one };
            assert_eq!(first_fault(&swapped), expected as u64 + 1, "{one} and {other}");
        }
    }
}

#[test]
fn wal_03_any_record_that_is_put_in_anywhere_is_found_with_a_number_of_its_own_or_its_place_s() {
    let bytes = written(6).contents().remove(&1).unwrap();
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    for at in 0..=lines.len() {
        let place = at as u64 + 1;
        for (from, line) in lines.iter().enumerate() {
            // Before itself it is the one that belongs there, and what follows is the double.
            let mut inserted = lines.clone();
            inserted.insert(at, line);
            let found = first_fault(&inserted);
            assert!(found == place || found == from as u64 + 1, "{from} at {at}: {found}");
        }
        for forged in [&b"{\"seq\":1}\n"[..], b"\n", b"no record\n"] {
            let mut inserted = lines.clone();
            inserted.insert(at, forged);
            assert_eq!(first_fault(&inserted), place);
        }
    }
}

#[test]
fn wal_03_any_record_that_is_truncated_at_any_byte_is_found_with_its_number() {
    let bytes = written(4).contents().remove(&1).unwrap();
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    for (at, line) in lines.iter().enumerate() {
        for length in 0..line.len() {
            let cut_only: Vec<&[u8]> = lines[..at].iter().copied().chain([&line[..length]]).collect();
            let with_the_rest: Vec<&[u8]> = cut_only.iter().copied().chain(lines[at + 1..].iter().copied()).collect();
            let ended: Vec<&[u8]> =
                cut_only.iter().copied().chain([&b"\n"[..]]).chain(lines[at + 1..].iter().copied()).collect();
            let number = at as u64 + 1;
            if length > 0 {
                assert_eq!(first_fault(&cut_only), number, "the log ends with {length} bytes of {number}");
            }
            // Nothing of it left is a record that was dropped.
            let dropped = length == 0 && at == 0;
            if at + 1 < lines.len() {
                let expected = if dropped { 2 } else { number };
                assert_eq!(first_fault(&with_the_rest), expected, "{length} bytes of {number}, run into the next");
            }
            // All of it but its end, which is put back, is the record as it was.
            if length + 1 < line.len() {
                assert_eq!(first_fault(&ended), number, "{length} bytes of {number}, and the end of a line");
            }
        }
    }
}

#[test]
fn wal_03_two_logs_that_are_spliced_are_found() {
    let (one, other) = (written(6), {
        let store = cofferdam_bridge::in_memory::MemoryAudit::new();
        let recorder = super::open(&store, cofferdam_kernel::audit::AuditSettings::new());
        (0..6).for_each(|number| {
            super::note(&recorder, &format!("other {number}"));
        });
        store
    });
    let (one, other) = (one.contents().remove(&1).unwrap(), other.contents().remove(&1).unwrap());
    let split = |bytes: &[u8]| -> Vec<Vec<u8>> { bytes.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect() };
    let (one, other) = (split(&one), split(&other));
    for at in 2..one.len() {
        let spliced: Vec<&[u8]> = one[..at].iter().chain(&other[at..]).map(Vec::as_slice).collect();
        assert_eq!(kinds(&of_lines(&spliced)), [(at as u64 + 1, FaultKind::Unchained)]);
    }
}

#[test]
fn wal_04_records_that_are_cut_off_are_found_by_who_has_seen_them() {
    let store = written(6);
    let before = verified(&store.contents());
    let bytes = store.contents().remove(&1).unwrap();
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    for kept in 0..lines.len() {
        let mut verifier = Verifier::new();
        verifier.seen(before.last, before.head.clone());
        verifier.segment(1, &lines[..kept].concat());
        let found = kinds(&verifier.finish());
        assert_eq!(found, [(kept as u64 + 1, FaultKind::Missing)], "{kept} records kept");
    }
    let mut verifier = Verifier::new();
    verifier.seen(before.last, "0".repeat(64));
    verifier.segment(1, &bytes);
    assert_eq!(kinds(&verifier.finish()), [(before.last, FaultKind::Changed)], "a log that was written anew");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_bytes_are_verified_without_a_panic(segments in prop::collection::vec((any::<u64>(), prop::collection::vec(any::<u8>(), 0..300)), 0..4)) {
        let mut verifier = Verifier::new();
        segments.iter().for_each(|(first, bytes)| verifier.segment(*first, bytes));
        let found = verifier.finish();
        prop_assert!(segments.iter().all(|(_, bytes)| bytes.is_empty()) || !found.faults.is_empty());
    }

    #[test]
    fn whatever_is_done_to_the_bytes_is_found(at in 0usize..2000, take in 0usize..40, put in prop::collection::vec(any::<u8>(), 0..40)) {
        let bytes = written(5).contents().remove(&1).unwrap();
        let start = at.min(bytes.len());
        let end = (start + take).min(bytes.len());
        let mut changed = bytes.clone();
        changed.splice(start..end, put);
        prop_assume!(changed != bytes);
        // What is cut off whole, or cut off and torn, only a head that was kept elsewhere tells apart from a log that never had it.
        let cut = bytes.starts_with(&changed) && (changed.is_empty() || changed.ends_with(b"\n"));
        let found = verified(&BTreeMap::from([(1, changed)]));
        prop_assert!(cut || !found.faults.is_empty());
    }
}
