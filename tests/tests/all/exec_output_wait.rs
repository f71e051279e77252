//! Row X12: what holds a program's output after its end is waited for only as long as asked, on every plane and in both tiers.

use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::exec::RunProgram;
use cofferdam_tests::command::{cofferdam, cofferdam_without_namespaces, text};
use cofferdam_tests::observe::{processes_with, within};
use cofferdam_tests::one_shot::{PlaneKind, Programs, WAYS, shell};
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

const HOUR: u64 = 3_600_000;

/// A number of seconds that stands in no other command line.
fn mark(number: usize) -> String {
    format!("6{:05}{number:03}", std::process::id() % 100_000)
}

#[track_caller]
fn assert_gone(plane: PlaneKind, mark: &str) {
    let gone = within(Duration::from_secs(5), || processes_with(mark).is_empty());
    assert!(gone, "{plane:?}: left {:?}", processes_with(mark));
}

fn run(plane: PlaneKind, request: RunProgram) -> Result<Value, BridgeError> {
    Programs::default().exec(plane, request)
}

/// Leaves the session, keeps both streams, and prints a while after the program has ended: long after what is not waited for is killed.
const LATE: &str = "(trap '' HUP TERM; setsid sh -c 'while kill -0 $0 2> /dev/null; do sleep 0.02; done; sleep 0.5; echo 42' $$) & exit 0";

#[test]
fn x12_what_comes_after_the_program_s_end_is_part_of_the_answer_where_it_is_waited_for() {
    for plane in WAYS {
        assert_eq!(run(plane, shell(LATE).output_wait_ms(HOUR)).unwrap(), json!(42), "{plane:?}");
        // The control: unless asked, it ends with the program.
        assert_eq!(run(plane, shell(LATE)).unwrap_err().code, ErrorCode::ExecStdoutInvalidJson, "{plane:?}");
    }
}

#[test]
fn x12_who_holds_the_output_longer_than_was_asked_is_ended_and_the_answer_is_the_program_s() {
    for (at, plane) in WAYS.into_iter().enumerate() {
        let mark = mark(at);
        let line = |ending: &str| format!("(trap '' HUP TERM; setsid sleep {mark}) & echo 1; {ending}");
        // Without the bound, this would take as many seconds as the number says.
        assert_eq!(run(plane, shell(&line("")).output_wait_ms(100)).unwrap(), json!(1), "{plane:?}");
        assert_gone(plane, &mark);
        let error = run(plane, shell(&line("exit 3")).output_wait_ms(100)).unwrap_err();
        assert_eq!((error.code, &error.details["exit_code"]), (ErrorCode::ExecFailed, &json!(3)), "{plane:?}");
        assert_gone(plane, &mark);
    }
}

#[test]
fn x12_who_has_let_go_of_the_output_is_not_waited_for() {
    for (at, plane) in WAYS.into_iter().enumerate() {
        let mark = mark(10 + at);
        let line = format!("(trap '' HUP TERM; setsid sleep {mark} > /dev/null 2>&1) > /dev/null 2>&1 & echo 1");
        // Neither the hour nor the time limit passes.
        let request = shell(&line).output_wait_ms(HOUR).timeout_ms(60_000);
        assert_eq!(run(plane, request).unwrap(), json!(1), "{plane:?}");
        assert_gone(plane, &mark);
    }
}

#[test]
fn x12_limits_hold_while_the_output_is_waited_for() {
    for (at, plane) in WAYS.into_iter().enumerate() {
        let mark = mark(20 + at);
        let line = format!("(setsid sleep {mark}) & echo 1");
        let error = run(plane, shell(&line).output_wait_ms(HOUR).timeout_ms(300)).unwrap_err();
        assert_eq!((error.code, &error.details["timeout_ms"]), (ErrorCode::ExecTimeout, &json!(300)), "{plane:?}");
        assert_gone(plane, &mark);
        let line = format!("(setsid sh -c 'yes; sleep {mark}') & exit 0");
        let error = run(plane, shell(&line).output_wait_ms(HOUR)).unwrap_err();
        assert_eq!(error.code, ErrorCode::ExecStdoutTooLarge, "{plane:?}");
        assert_gone(plane, &mark);
    }
}

#[test]
fn x12_a_host_that_is_gone_ends_the_wait() {
    for (at, plane) in ["linux", "host"].into_iter().enumerate() {
        let mark = mark(30 + at);
        let line = format!("(trap '' HUP TERM; setsid sleep {mark}) & exit 0");
        let mut command = cofferdam();
        let mut child = asked(command.args(["exec", "--plane", plane, "--request", "-"]), &line, HOUR);
        assert!(within(Duration::from_secs(20), || !processes_with(&mark).is_empty()), "{plane}");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(within(Duration::from_secs(5), || processes_with(&mark).is_empty()), "{plane}");
    }
}

/// The command, with a request for a shell line.
fn asked(command: &mut Command, line: &str, output_wait_ms: u64) -> std::process::Child {
    let request = json!({
        "kind": "run_program_v1", "program_path": "/bin/sh", "argv": ["-c", line], "output_wait_ms": output_wait_ms
    });
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(request.to_string().as_bytes()).unwrap();
    child
}

#[test]
fn x12_the_command_waits_where_the_request_says_so_and_without_namespaces_too() {
    let programs = Programs::default();
    let policy = programs.path("policy.toml");
    let text_of_policy = programs.policy().replace("[filesystem]", "[isolation]\nrequire = \"landlock\"\n[filesystem]");
    std::fs::write(&policy, text_of_policy).unwrap();
    let mark = mark(40);
    let held = format!("(setsid sleep {mark}) & echo 1");
    let let_go = format!("(setsid sleep {mark} > /dev/null 2>&1) > /dev/null 2>&1 & echo 1");
    for (command, plane) in
        [(cofferdam as fn() -> Command, "linux"), (cofferdam, "host"), (cofferdam_without_namespaces, "linux")]
    {
        for (line, wait, expected) in [(LATE, HOUR, 42), (held.as_str(), 100, 1), (let_go.as_str(), HOUR, 1)] {
            let mut one = command();
            one.args(["exec", "--plane", plane, "--request", "-"]).arg("--workspace").arg(programs.path(""));
            if plane == "linux" {
                one.arg("--policy").arg(&policy);
            }
            let output = asked(&mut one, line, wait).wait_with_output().unwrap();
            assert_eq!(text(&output.stdout), format!("{expected}\n"), "{plane}: {line}: {output:?}");
            assert!(within(Duration::from_secs(5), || processes_with(&mark).is_empty()), "{plane}: {line}");
        }
    }
}
