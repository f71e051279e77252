//! Many write at once: they share syncs, and each hears its own number.

use super::{all, assert_whole, note, open};
use cofferdam_bridge::in_memory::{DiskFault, MemoryAudit};
use cofferdam_kernel::audit::{About, AuditSettings, Durability, Event};
use std::collections::BTreeSet;
use std::thread;

#[test]
fn writers_of_one_kernel_share_syncs() {
    let store = MemoryAudit::new();
    let recorder = open(&store, AuditSettings::new());
    note(&recorder, "first");
    let (_, before) = store.counts();
    // Handed in faster than they can be written one by one: tickets are waited for afterwards.
    let tickets: Vec<_> = (0..2000)
        .map(|number| recorder.record(About::kernel(), Event::note("n", number.to_string()), Durability::Synced))
        .collect();
    let numbers: BTreeSet<u64> = tickets.iter().map(|ticket| ticket.wait().unwrap()).collect();
    assert_eq!(numbers.len(), 2000, "no number is given twice");
    let (_, after) = store.counts();
    assert!(after - before < 500, "{} syncs for 2000 records", after - before);
    assert_whole(&store);
}

#[test]
fn writers_of_many_processes_take_turns_and_the_chain_stays_sound() {
    let store = MemoryAudit::new();
    thread::scope(|scope| {
        for process in 0..8 {
            let own = store.clone();
            scope.spawn(move || {
                for number in 0..50 {
                    // Each opens the log anew, as a short-lived command does.
                    let recorder = open(&own, AuditSettings::new().segment_bytes(4096));
                    note(&recorder, &format!("{process} {number}"));
                }
            });
        }
    });
    assert_whole(&store);
    let notes = all(&store).iter().filter(|read| read.line.contains("\"kind\":\"note\"")).count();
    assert_eq!(notes, 400);
    assert!(store.contents().len() > 5, "it was rotated on the way");
}

#[test]
fn each_hears_of_its_own_record_when_the_disk_fills_up() {
    let store = MemoryAudit::new();
    let recorder = open(&store, AuditSettings::new());
    note(&recorder, "first");
    store.fault(DiskFault::Room(10_000));
    let tickets: Vec<_> = (0..200)
        .map(|number| {
            (number, recorder.record(About::kernel(), Event::note("n", format!("<{number}>")), Durability::Synced))
        })
        .collect();
    let outcomes: Vec<_> = tickets.into_iter().map(|(number, ticket)| (number, ticket.wait())).collect();
    assert!(outcomes.iter().any(|(_, outcome)| outcome.is_err()));
    drop(recorder);
    let lines = all(&store);
    for (number, outcome) in outcomes {
        let found = lines.iter().find(|read| read.line.contains(&format!("<{number}>")));
        let own = found.and_then(|read| read.record.as_ref()).map(|record| record.seq);
        assert_eq!(own, outcome.ok(), "note {number}: recorded is what was said to be recorded");
    }
    store.fault(DiskFault::None);
    assert_whole(&store);
}

#[tokio::test]
async fn tasks_wait_without_holding_their_thread() {
    let store = MemoryAudit::new();
    let recorder = open(&store, AuditSettings::new());
    let tickets: Vec<_> =
        (0..64).map(|_| recorder.record(About::kernel(), Event::note("n", ""), Durability::Synced)).collect();
    for ticket in tickets {
        ticket.await.unwrap();
    }
    assert_eq!(assert_whole(&store).records, 65);
}

#[test]
fn what_was_handed_in_is_written_when_the_recorder_is_dropped() {
    let store = MemoryAudit::new();
    let recorder = open(&store, AuditSettings::new());
    let tickets: Vec<_> =
        (0..100).map(|_| recorder.record(About::kernel(), Event::note("n", ""), Durability::Written)).collect();
    drop(recorder);
    assert!(tickets.iter().all(|ticket| ticket.wait().is_ok()));
    assert_eq!(assert_whole(&store).records, 101);
}
