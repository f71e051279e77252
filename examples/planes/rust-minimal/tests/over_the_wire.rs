//! The plane as a process of its own passes the conformance kit, too.

use cofferdam_contract::conformance::Kit;
use cofferdam_wire_plane::{PlaneCommand, WirePlane};
use std::sync::Arc;

#[test]
fn b7_it_passes_the_kit_behind_the_wire() {
    // Beside the tests lies the program of the package's name.
    let own = std::env::current_exe().unwrap();
    let program = own.ancestors().nth(2).unwrap().join(env!("CARGO_PKG_NAME"));
    let plane = WirePlane::start(PlaneCommand::new(program)).unwrap();
    let report = Kit::new("rust-minimal").plane(Arc::new(plane)).run();
    assert!(report.passed(), "{}", report.text());
}
