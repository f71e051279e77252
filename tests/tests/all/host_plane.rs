//! `--plane host`: said aloud, told in the result, and nothing outlives it.

use cofferdam_tests::command::{run, text};
use cofferdam_tests::observe::{processes_with, within};
use cofferdam_tests::scratch::Scratch;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::process::{Output, Stdio};
use std::time::Duration;

const WARNING: &str = "cofferdam: warning: nothing is isolated on the host plane";

fn mark(number: u32) -> String {
    format!("8{:05}{number:03}", std::process::id() % 100_000)
}

fn on_host(scratch: &Scratch, options: &[&str], line: &str) -> Output {
    let options: Vec<_> = ["--plane", "host"].iter().chain(options).copied().collect();
    run(scratch.path(), &options, &["sh", "-c", line]).output().unwrap()
}

#[test]
fn it_is_said_on_one_line_of_standard_error_that_nothing_is_isolated() {
    let scratch = Scratch::new();
    let output = on_host(&scratch, &[], "echo out; exit 3");
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(text(&output.stdout), "out\n");
    let told = text(&output.stderr);
    assert!(told.starts_with(WARNING) && told.lines().count() == 1, "{told}");
}

#[test]
fn without_the_option_no_policy_leads_there_and_nothing_is_said() {
    let scratch = Scratch::new();
    let policy = scratch.write("policy.toml", "version = 1\nextends = \"dev\"\n[isolation]\nrequire = \"none\"\n");
    let options = ["--json", "--policy", &policy.display().to_string()];
    let output = run(scratch.path(), &options, &["true"]).output().unwrap();
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_ne!(value["plane"], "host");
    assert!(!text(&output.stderr).contains(WARNING));
}

#[test]
fn json_names_the_plane_the_tier_and_what_was_required_and_did_not_hold() {
    let scratch = Scratch::new();
    let output = on_host(&scratch, &["--json"], "echo out");
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&value["plane"], &value["enforcement"]["tier"]), (&"host".into(), &"none".into()), "{value}");
    assert_eq!(value["stdout"], "out\n");
    let mechanisms = value["enforcement"]["mechanisms"].as_array().unwrap();
    let gap =
        |name: &str| mechanisms.iter().any(|m| m["mechanism"] == name && m["asked"] == true && m["held"] == false);
    assert!(gap("landlock") && gap("seccomp") && gap("mount_namespace"), "{value}");
    assert!(text(&output.stderr).starts_with(WARNING));
}

#[test]
fn c2_of_the_callers_environment_only_what_the_policy_names_crosses() {
    let scratch = Scratch::new();
    let options = ["--plane", "host", "--policy", "strict", "--no-tty"];
    let mut command = run(scratch.path(), &options, &["env"]);
    command.env("SECRET_TOKEN", "hush").env("LD_DEBUG_OUTPUT", "/tmp/x").env("NODE_OPTIONS", "-r x").env("LANG", "C");
    let told = text(&command.output().unwrap().stdout);
    assert!(told.contains("LANG=C"), "{told}");
    for name in ["SECRET_TOKEN", "LD_DEBUG_OUTPUT", "NODE_OPTIONS"] {
        assert!(!told.contains(name), "{told}");
    }
}

#[test]
fn c3_past_its_time_limit_it_ends_with_all_that_it_started() {
    let (scratch, mark) = (Scratch::new(), mark(1));
    let line = format!("trap '' TERM; setsid sleep {mark} & while :; do sleep {mark}; done");
    let output = on_host(&scratch, &["--timeout", "1s"], &line);
    assert_eq!(output.status.code(), Some(124), "{}", text(&output.stderr));
    assert!(processes_with(&mark).is_empty(), "left: {:?}", processes_with(&mark));
}

#[test]
fn c9_sigkill_of_the_command_ends_everything_within_a_second() {
    let (scratch, mark) = (Scratch::new(), mark(2));
    let line = format!("trap '' TERM HUP; setsid sleep {mark} & while :; do sleep {mark}; done");
    let mut command = run(scratch.path(), &["--plane", "host"], &["sh", "-c", &line]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    assert!(within(Duration::from_secs(10), || processes_with(&mark).len() >= 4), "the run did not start");
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL).unwrap();
    child.wait().unwrap();
    assert!(within(Duration::from_secs(1), || processes_with(&mark).is_empty()), "left: {:?}", processes_with(&mark));
}

#[test]
fn a_program_that_the_policy_forbids_is_refused_here_too() {
    let scratch = Scratch::new();
    let lines = "version = 1\nextends = \"dev\"\n[commands]\ndeny = [\"/usr/bin/env\"]\n";
    let policy = scratch.write("policy.toml", lines);
    let options = ["--plane", "host", "--policy", &policy.display().to_string()];
    let output = run(scratch.path(), &options, &["/usr/bin/env"]).output().unwrap();
    assert_eq!(output.status.code(), Some(125), "{}", text(&output.stderr));
}
