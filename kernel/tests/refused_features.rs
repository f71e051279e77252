//! P3 and P4: what cannot be enforced is told beforehand, with what mends it, and refused in words that hosts match on.

#![expect(clippy::unwrap_used, reason = "a test that meets an unexpected error must fail loudly")]

mod staged_plane;

use cofferdam_bridge::descriptor::Feature;
use cofferdam_bridge::enforcement::Tier;
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_bridge::limits::LimitName;
use cofferdam_bridge::verdict::Denial;
use cofferdam_kernel::policy::{NoFiles, Policy};
use cofferdam_kernel::{Kernel, VmSpec};
use serde_json::{Value, json};
use staged_plane::{Course, StagedPlane, bare_report};

fn plane() -> StagedPlane {
    StagedPlane::new(|_, _| Ok(Course::Ends(ExitCause::Exited { code: 0 })))
}

fn spec(lines: &str) -> VmSpec {
    VmSpec::new(Policy::parse(&format!("version = 1\n{lines}"), "asked-for", &NoFiles).unwrap()).workspace("/w")
}

/// Each line asks for what the bare plane cannot hold; with the words of what is missing, and of what mends it.
const BEYOND: [(&str, &str, &str); 2] = [
    ("[prompt]\nfilesystem.write = [\"/p\"]\n", "ask about files", "linux_native"),
    ("[commands]\ncalls = \"no-exec\"\n", "profile of system calls", "commands.calls = \"usual\""),
];

#[test]
fn p3_preflight_lists_what_is_missing_and_what_mends_it_and_neither_fails_nor_starts_anything() {
    for (lines, missing, fix) in BEYOND {
        let plane = plane();
        let kernel = Kernel::builder(plane.clone()).build().unwrap();
        let told = kernel.preflight(&spec(lines)).unwrap();
        let [(descriptor, preflight)] = told.as_slice() else { unreachable!("{told:?}") };
        assert_eq!((descriptor.name.as_str(), preflight.accepted()), ("staged", false));
        let [shortfall] = preflight.shortfalls.as_slice() else { unreachable!("{preflight:?}") };
        assert!(shortfall.message.contains(missing), "{shortfall:?}");
        assert!(shortfall.fix.as_ref().unwrap().contains(fix), "{shortfall:?}");
        assert_eq!(plane.started(), 0);
        // What is not missing is not told.
        assert!(kernel.preflight(&spec("")).unwrap()[0].1.accepted());
        let able = plane.with(&[Feature::Prompts, Feature::CallProfiles]);
        assert!(Kernel::builder(able).build().unwrap().preflight(&spec(lines)).unwrap()[0].1.accepted());
    }
}

#[test]
fn p3_a_plane_that_carries_connections_and_cannot_ask_programs_is_told_of_beforehand() {
    let lines = "[prompt]\nnetwork = [\"a.example:443\"]\n";
    let told = |features: &[Feature]| {
        let kernel = Kernel::builder(plane().with(features)).build().unwrap();
        let preflight = kernel.preflight(&spec(lines)).unwrap().remove(0).1;
        assert!(preflight.accepted());
        preflight.shortfalls.into_iter().map(|shortfall| shortfall.message).collect::<Vec<_>>()
    };
    let missing = told(&[Feature::NetworkAllowlist]);
    assert!(matches!(missing.as_slice(), [one] if one.contains("ask about connections")), "{missing:?}");
    assert!(told(&[Feature::NetworkAllowlist, Feature::Prompts]).is_empty());
}

#[test]
fn p3_what_is_missing_is_told_with_the_command_that_mends_it_where_a_machine_offers_less_isolation() {
    let kernel = Kernel::builder(plane().with_tier(Tier::Landlock)).build().unwrap();
    let told = kernel.preflight(&spec("")).unwrap().remove(0).1;
    assert_eq!(told.shortfalls[0].fix.as_deref(), Some("sysctl -w user.max_user_namespaces=15000"));
    assert!(kernel.preflight(&spec("[isolation]\nrequire = \"landlock\"\n")).unwrap()[0].1.accepted());
}

#[test]
fn p4_a_feature_that_is_refused_is_an_error_with_profile_backend_event_type_and_reason() {
    let refused = |plane: StagedPlane, lines: &str| {
        let kernel = Kernel::builder(plane.clone()).build().unwrap();
        let error = kernel.create_vm(spec(lines)).unwrap_err().error().clone();
        assert_eq!(plane.started(), 0);
        assert_eq!(error.details["reason_code"], error.code.as_str());
        assert!(!error.details.contains_key("resource_kind"), "{error:?}");
        ["profile", "backend", "event_type", "reason_code"].map(|name| error.details[name].clone())
    };
    let expected = |reason: &str| ["asked-for", "staged", "sandbox_denied", reason].map(Value::from);
    for (lines, ..) in BEYOND {
        assert_eq!(refused(plane(), lines), expected("unsupported_backend_feature"));
    }
    assert_eq!(refused(plane().with_tier(Tier::Landlock), ""), expected("sandbox_backend_unavailable"));
}

#[tokio::test]
async fn p4_a_limit_that_ended_a_run_and_a_network_that_was_refused_are_told_in_the_same_words() {
    let kernel = Kernel::builder(plane().with(&[Feature::NetworkAllowlist])).build().unwrap();
    let told = |lines: &str, cause: ExitCause, denied: &[&str]| {
        let mut report = bare_report(cause);
        report.denials.extend(denied.iter().map(|access| Denial::new(*access, "subject")));
        serde_json::to_value(kernel.create_vm(spec(lines)).unwrap().sandbox_events(&report)).unwrap()
    };
    let limit = |limit| ExitCause::Limit { limit, value: 1, observed: 2, held_by: "test".to_owned() };
    let event = |kind: &str, reason: &str| json!({ "event_type": kind, "profile": "asked-for", "backend": "staged", "reason_code": reason });
    let exceeded = |reason: &str, resource: &str| {
        let mut event = event("sandbox_resource_exceeded", reason);
        event["resource_kind"] = resource.into();
        json!([event])
    };
    assert_eq!(told("", limit(LimitName::Memory), &[]), exceeded("memory_limit_exceeded", "memory"));
    assert_eq!(told("", limit(LimitName::Cpu), &[]), exceeded("cpu_limit_exceeded", "cpu"));
    assert_eq!(told("", limit(LimitName::Processes), &[]), exceeded("processes_limit_exceeded", "processes"));
    assert_eq!(told("", limit(LimitName::OpenFiles), &[]), exceeded("open_files_limit_exceeded", "open_files"));
    let exited = ExitCause::Exited { code: 0 };
    let blocked = json!([event("sandbox_network_blocked", "network_blocked")]);
    let denied = ["network.connect", "filesystem.read", "network.connect"];
    assert_eq!(told("", exited.clone(), &denied), blocked, "each kind once, and nothing of files");
    let allowlist = "[network]\nmode = \"allowlist\"\nallow = [\"a.example:443\"]\n";
    let blocked = json!([event("sandbox_network_blocked", "network_allowlist_blocked")]);
    assert_eq!(told(allowlist, exited.clone(), &["network.connect"]), blocked);
    assert_eq!(told("", exited, &[]), json!([]));
}
