//! Rows P3 and P4 on a real machine: what it lacks is told with what mends it, and each refusal in the words that hosts match on.

use cofferdam_tests::command::{run, run_without_namespaces, text};
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;
use serde_json::{Value, json};
use std::process::Command;

/// What a run tells as JSON.
fn told(mut command: Command) -> Value {
    let output = command.output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[test]
fn p3_p4_where_namespaces_are_refused_it_is_told_what_mends_it_and_nothing_runs() {
    let scratch = Scratch::new();
    let mut command = run_without_namespaces(scratch.path(), &["--json", "--isolation", "full"], &["touch", "ran"]);
    let output = command.output().unwrap();
    if output.status.code() == Some(77) || output.stdout.is_empty() {
        return skip::skipped("no machine without namespaces can be made here");
    }
    let error = &serde_json::from_slice::<Value>(&output.stdout).unwrap()["error"];
    assert_eq!(error["code"], "sandbox_backend_unavailable", "{error}");
    let details = &error["details"];
    assert_eq!(details["event_type"], "sandbox_denied", "{error}");
    assert_eq!((&details["profile"], &details["backend"]), (&json!("dev"), &json!("linux_native")), "{error}");
    assert_eq!(details["reason_code"], "sandbox_backend_unavailable", "{error}");
    assert!(error["message"].as_str().unwrap().contains("to mend it: "), "{error}");
    assert!(!scratch.join("ran").exists());
    // Asking beforehand fails in nothing, and lists the same.
    let options = ["--json", "--dry-run", "--isolation", "full"];
    let dry = run_without_namespaces(scratch.path(), &options, &["touch", "ran"]).output().unwrap();
    assert!(text(&dry.stdout).contains("fix") || text(&dry.stdout).contains("to mend it"), "{dry:?}");
    assert!(!scratch.join("ran").exists());
}

#[test]
fn p4_a_limit_and_a_refused_network_are_told_with_profile_backend_reason_and_resource() {
    let scratch = Scratch::new();
    let lines = "version = 1\nextends = \"dev\"\n[limits]\nopen_files = 32\ncpu = \"1s\"\nwall = \"60s\"\n";
    let policy = scratch.write("policy.toml", lines).display().to_string();
    let options = ["--json", "--policy", &policy];
    let spun = told(run(scratch.path(), &options, &["sh", "-c", "while :; do :; done"]));
    let expected = json!([{
        "event_type": "sandbox_resource_exceeded",
        "profile": spun["sandbox_events"][0]["profile"],
        "backend": "linux_native",
        "reason_code": "cpu_limit_exceeded",
        "resource_kind": "cpu",
    }]);
    assert_eq!(spun["sandbox_events"], expected, "{spun}");
    assert!(spun["sandbox_events"][0]["profile"].as_str().is_some_and(|name| !name.is_empty()), "{spun}");
    if skip::program("python3").is_none() {
        return;
    }
    let script = "import socket\nsocket.create_connection(('192.0.2.1', 443), 5)";
    let reached = told(run(scratch.path(), &["--json", "--explain"], &["python3", "-c", script]));
    let blocked = &reached["sandbox_events"][0];
    assert_eq!(blocked["event_type"], "sandbox_network_blocked", "{reached}");
    assert_eq!((&blocked["reason_code"], &blocked["profile"]), (&json!("network_blocked"), &json!("dev")), "{reached}");
}
