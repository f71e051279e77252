//! A plane whose process crashes or hangs is ended, with everything that it started, and started again.

use crate::fixture::{LONG, Tenant, python, python_command};
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::event::ExecutionEvent;
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_wire_plane::{PlaneCommand, WirePlane};
use std::path::Path;
use std::time::{Duration, Instant};

/// What a program printed so far, as a number.
fn number(event: ExecutionEvent) -> u32 {
    let ExecutionEvent::Stdout { bytes } = event else { panic!("{event:?}") };
    String::from_utf8(bytes).unwrap().trim().parse().unwrap()
}

fn gone(pid: u32) -> bool {
    let end = Instant::now() + LONG;
    while Path::new(&format!("/proc/{pid}")).exists() {
        if Instant::now() > end {
            return false;
        }
        std::thread::yield_now();
    }
    true
}

#[test]
fn b6_a_crash_fails_the_executions_leaves_nothing_and_the_plane_is_started_again() {
    let Some(command) = python_command() else { return };
    let plane = WirePlane::start(command).unwrap();
    let tenant = Tenant::new(&plane);
    let waits = tenant.start("waits", "echo $$; exec sleep 1000");
    let its_pid = number(waits.events.recv_timeout(LONG).unwrap());
    // A program of a plane without isolation kills the plane: its parent.
    let kills = tenant.try_start("kills", "kill -KILL $PPID; sleep 1000");
    // It may be quicker than the answer to its start.
    let kills = kills.map_or_else(|error| ExitCause::PlaneFault { error }, |run| run.finish().1.cause);
    for cause in [waits.finish().1.cause, kills] {
        let ExitCause::PlaneFault { error } = cause else { panic!("another cause") };
        assert_eq!(error.details["wire_fault"], "disconnected");
    }
    assert!(gone(its_pid), "a program outlived its plane");
    let refused = tenant.try_start("early", "true").map(|_| ()).unwrap_err();
    assert_eq!((refused.code, refused.retryable), (ErrorCode::PlaneFault, true));
    let pause = refused.details["retry_after_ms"].as_u64().unwrap();
    assert!((1..=100).contains(&pause), "{pause}");
    let end = Instant::now() + LONG;
    let run = loop {
        match tenant.try_start("again", "echo back") {
            Ok(run) => break run,
            Err(error) if error.retryable && Instant::now() < end => std::thread::sleep(Duration::from_millis(10)),
            Err(error) => panic!("{error:?}"),
        }
    };
    let (output, report) = run.finish();
    assert_eq!((output.as_slice(), report.cause), (b"back\n".as_slice(), ExitCause::Exited { code: 0 }));
}

/// A plane that does as it should until it is asked to start something, and then never answers anything.
const HANGS: &str = r#"
import json, sys, time
for line in sys.stdin:
    message = json.loads(line)
    if message.get("method") == "plane.start_execution":
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": {"process_id": None}}), flush=True)
        time.sleep(1000)
    if message.get("method") == "session.hello":
        result = {"protocol_version": 1, "encoding": "json", "descriptor": {"name": "hangs", "version": "1",
            "contract_generation": 1, "tiers": [], "features": ["commands"], "limits": []}}
    else:
        result = {"context_id": "c"}
    if "id" in message:
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
"#;

#[test]
fn b6_a_hang_is_noticed_and_fails_the_executions() {
    let Some(python) = python() else { return };
    let plane = WirePlane::start(PlaneCommand::new(python).arg("-c").arg(HANGS)).unwrap();
    let run = Tenant::new(&plane).start("r", "true");
    let ExitCause::PlaneFault { error } = run.finish().1.cause else { panic!("another cause") };
    assert_eq!(error.details["wire_fault"], "unresponsive");
}

#[test]
fn b6_a_plane_that_is_dropped_ends_everything_it_started() {
    let Some(command) = python_command() else { return };
    let plane = WirePlane::start(command).unwrap();
    let tenant = Tenant::new(&plane);
    let run = tenant.start("r", "setsid sh -c 'echo $$; exec sleep 1000' & wait");
    let pid = number(run.events.recv_timeout(LONG).unwrap());
    drop(plane);
    assert!(gone(pid), "a program in a session of its own outlived the plane");
}

#[test]
fn b6_a_program_that_is_no_plane_is_refused_with_a_reason() {
    let error = WirePlane::start(PlaneCommand::new("/no/such/plane")).unwrap_err();
    assert_eq!(error.code, ErrorCode::ProgramNotFound);
    let error = WirePlane::start(PlaneCommand::new("/bin/true")).unwrap_err();
    assert_eq!(error.details["wire_fault"], "disconnected");
    let error = WirePlane::start(PlaneCommand::new("/bin/echo").arg("hello")).unwrap_err();
    assert_eq!(error.details["wire_fault"], "malformed");
}

#[test]
fn b6_nothing_of_the_host_s_environment_crosses_to_a_plane() {
    let Some(python) = python() else { return };
    let script = "import os, sys; sys.stdin.readline(); print(sorted(os.environ), file=open(sys.argv[1], 'w'))";
    let folder = std::env::temp_dir().join(format!("cofferdam-wire-env-{}", std::process::id()));
    let command = PlaneCommand::new(python).arg("-c").arg(script).arg(folder.to_string_lossy()).env("GIVEN", "1");
    WirePlane::start(command).unwrap_err();
    let seen = std::fs::read_to_string(&folder).unwrap();
    std::fs::remove_file(&folder).unwrap();
    assert!(seen.contains("GIVEN") && seen.contains("PATH"), "{seen}");
    assert!(!seen.contains("CARGO") && !seen.contains("HOME"), "{seen}");
}
