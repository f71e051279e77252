//! Our planes pass the kit for what they claim.

use cofferdam_bridge::enforcement::Tier;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::execution::ExecutionBridge;
use cofferdam_bridge::profile::ExecutionProfile;
use cofferdam_contract::conformance::Kit;
use cofferdam_exec_plane::{HostPlane, danger};
use cofferdam_sandbox_linux::LinuxPlane;
use std::io::Write;
use std::sync::Arc;

type Plane = Arc<dyn ExecutionBridge<Error = BridgeError>>;

pub(crate) fn host() -> Plane {
    Arc::new(HostPlane::new(danger::i_know_programs_run_unisolated()).unwrap())
}

/// The Linux plane, where this machine lets it isolate; said as skipped where it does not.
pub(crate) fn linux() -> Option<Plane> {
    let plane: Plane = Arc::new(LinuxPlane::new().unwrap());
    let mut profile = ExecutionProfile::closed("probe");
    profile.isolation.require = Tier::Landlock;
    let usable = plane.preflight(&profile).accepted();
    if !usable {
        let test = std::thread::current().name().unwrap_or_default().to_owned();
        let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: this machine gives no isolation");
    }
    usable.then_some(plane)
}

#[test]
fn b7_the_host_plane_passes_the_kit() {
    let report = Kit::new("host").plane(host()).run();
    assert!(report.passed(), "{}", report.text());
    assert!(report.results.len() >= 150, "{}", report.text());
}

#[test]
fn b7_the_linux_plane_passes_the_kit_attempts_to_break_out_among_it() {
    let Some(plane) = linux() else { return };
    let report = Kit::new("linux").plane(plane).run();
    assert!(report.passed(), "{}", report.text());
    let isolation = report.results.iter().filter(|result| result.group.name() == "isolation").count();
    assert!(report.results.len() >= 200 && isolation >= 50, "{}", report.text());
}
