//! What the plane refuses, and by which code.

use crate::host::{Host, profile};
use cofferdam_bridge::descriptor::Feature;
use cofferdam_bridge::enforcement::{Mechanism, Tier};
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::execution::{CreateCommandContextRequest, ExecutionBridge};
use cofferdam_bridge::ids::VmId;
use cofferdam_bridge::profile::ExecutionProfile;
use cofferdam_exec_plane::{HostPlane, danger};

#[test]
fn a_policy_that_requires_isolation_gets_no_context() {
    let plane = HostPlane::new(danger::i_know_programs_run_unisolated()).unwrap();
    let closed = ExecutionProfile::closed("strict");
    assert!(!plane.preflight(&closed).accepted());
    let error = plane.create_command_context(CreateCommandContextRequest::new(VmId::new("vm"), closed)).unwrap_err();
    assert_eq!(error.code, ErrorCode::UnsupportedBackendFeature);
    assert!(error.message.contains("isolation.require = \"none\""), "{}", error.message);
}

#[test]
fn the_wider_token_lets_it_run_and_the_report_tells_what_did_not_hold() {
    let access = danger::i_know_programs_run_unisolated().even_under_policies_that_require_isolation();
    let plane = HostPlane::new(access).unwrap();
    let preflight = plane.preflight(&ExecutionProfile::closed("strict"));
    assert!(preflight.accepted());
    assert!(preflight.enforcement.gaps().any(|gap| gap.mechanism == Mechanism::Landlock));
}

#[test]
fn it_claims_no_isolation() {
    let host = Host::new(profile());
    let descriptor = host.plane.describe();
    assert_eq!((descriptor.name.as_str(), descriptor.tiers.as_slice()), ("host", [Tier::None].as_slice()));
    for feature in [Feature::FilesystemRules, Feature::NetworkDeny, Feature::NetworkAllowlist, Feature::CommandRules] {
        assert!(!descriptor.has(feature));
    }
    let report = host.shell("exit 0").end();
    assert_eq!(report.enforcement.tier, Tier::None);
    let held = |mechanism| report.enforcement.mechanisms.iter().any(|told| told.mechanism == mechanism && told.held);
    assert!(held(Mechanism::Containment) && !held(Mechanism::Seccomp) && !held(Mechanism::NetworkNamespace));
}

#[test]
fn x2_programs_are_asked_of_the_policy_missing_ones_and_directories_are_told() {
    let mut profile = profile();
    profile.commands.allow[0].prefix = "/usr/bin".to_owned();
    let host = Host::new(profile);
    let code = |program: &str| host.start(host.request(program, &[])).err().unwrap().code;
    assert_eq!(code("/opt/no-such"), ErrorCode::DeniedByPolicy);
    assert_eq!(code("/usr/bin/no-such"), ErrorCode::ProgramNotFound);
    let mut request = host.request("/usr/bin/env", &[]);
    request.working_directory = "/no/such".to_owned();
    assert_eq!(host.start(request).err().unwrap().code, ErrorCode::RequestInvalid);
    let mut request = host.request("/usr/bin/env", &[]);
    request.working_directory = "relative".to_owned();
    assert_eq!(host.start(request).err().unwrap().code, ErrorCode::PathInvalid);
}

#[test]
fn nothing_gains_privileges() {
    let host = Host::new(profile());
    let mut run = host.shell("grep NoNewPrivs /proc/self/status");
    assert!(run.end().cause.success());
    assert_eq!(run.text(), "NoNewPrivs:\t1\n");
}
