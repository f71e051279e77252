//! Our bridges in memory pass the kit.

use cofferdam_bridge::in_memory::{
    AllowEverything, DenyEverything, ManualClock, MemoryFilesystem, MemoryPersistence, Recorder, SeededRandom,
};
use cofferdam_contract::conformance::{Kit, Report};

fn assert_passed(report: &Report, least: usize) {
    assert!(report.passed() && report.results.len() >= least, "{}", report.text());
}

#[test]
fn b7_the_file_system_in_memory_passes_the_kit() {
    assert_passed(&Kit::new("memory").filesystem(MemoryFilesystem::default()).run(), 70);
}

#[test]
fn b7_the_clock_moved_by_hand_passes_the_kit() {
    assert_passed(&Kit::new("manual").clock(ManualClock::default()).run(), 9);
}

#[test]
fn b7_random_bytes_from_a_seed_pass_the_kit() {
    assert_passed(&Kit::new("seeded").random(SeededRandom::new(7)).run(), 9);
}

#[test]
fn b7_permissions_snapshots_and_events_pass_the_kit() {
    let kit = Kit::new("memory").permission(AllowEverything).permission(DenyEverything);
    assert_passed(&kit.persistence(MemoryPersistence::default()).events(Recorder::new(100)).run(), 55);
}
