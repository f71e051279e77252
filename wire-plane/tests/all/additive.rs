//! Planes built for the frozen contract go on working when the contract grows: between each and the kernel stands a relay that adds to
//! every frame, in both directions, what neither knows.

use crate::fixture::{LONG, Tenant, python};
use cofferdam_bridge::event::ExecutionEvent;
use cofferdam_bridge::execution::{ExecutionBridge, ExecutionSignal};
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_contract::wire::frame::Encoding;
use cofferdam_exec_plane::{HostPlane, danger};
use cofferdam_wire_plane::{Transport, WirePlane, serve};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Maps whose names are somebody's data: what is added there is no addition to the contract.
const DATA: [&str; 3] = ["environment", "details", "variables"];

/// Adds a field to every map, as a later release may; answers how many.
fn grown(value: &mut Value) -> usize {
    match value {
        Value::Object(fields) => {
            let inner: usize = fields
                .iter_mut()
                .filter(|(name, _)| !DATA.contains(&name.as_str()))
                .map(|(_, inner)| grown(inner))
                .sum();
            // An alternative that is told by its only field has no others.
            let alternative = fields.len() == 1 && fields.values().all(Value::is_object);
            if !alternative {
                fields.insert("of_the_future".to_owned(), json!({"more": [1, null, "text"]}));
            }
            inner + usize::from(!alternative)
        }
        Value::Array(values) => values.iter_mut().map(grown).sum(),
        _ => 0,
    }
}

/// Hands lines on, each with additions and after a notification that nobody knows.
fn relay(from: UnixStream, mut to: UnixStream, added: Arc<AtomicUsize>) {
    for (number, line) in BufReader::new(from).lines().map_while(Result::ok).enumerate() {
        let mut frame: Value = serde_json::from_str(&line).unwrap();
        added.fetch_add(grown(&mut frame), Ordering::SeqCst);
        // Before the greeting is answered, nothing may be told.
        let told = json!({"jsonrpc": "2.0", "method": "session.of_the_future", "params": {"x": number}});
        let before = if number == 0 { String::new() } else { format!("{told}\n") };
        if to.write_all(format!("{before}{frame}\n").as_bytes()).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// A plane behind a relay, and how many additions were made.
fn behind_relay(plane: UnixStream) -> (WirePlane, Arc<AtomicUsize>) {
    let (ours, kernel) = UnixStream::pair().unwrap();
    let added = Arc::new(AtomicUsize::new(0));
    for (from, to) in [(&kernel, &plane), (&plane, &kernel)] {
        let (from, to, added) = (from.try_clone().unwrap(), to.try_clone().unwrap(), added.clone());
        thread::spawn(move || relay(from, to, added));
    }
    (WirePlane::over(ours, &[Encoding::Json]).unwrap(), added)
}

fn assert_works(plane: &WirePlane, added: &AtomicUsize) {
    assert!(plane.preflight(&crate::fixture::profile()).accepted());
    let mut strict = crate::fixture::profile();
    strict.isolation.require = cofferdam_bridge::enforcement::Tier::Full;
    assert!(!plane.preflight(&strict).accepted(), "what it cannot hold it must still refuse");
    let tenant = Tenant::new(plane);
    let run = tenant.start("r", "read line; echo \"got $line\"; seq 1 100000 | tail -1; exit 7");
    plane.write_stdin(&run.execution, b"words\n").unwrap();
    plane.close_stdin(&run.execution).unwrap();
    let (output, report) = run.finish();
    assert_eq!(String::from_utf8_lossy(&output), "got words\n100000\n");
    assert_eq!(report.cause, ExitCause::Exited { code: 7 });
    let run = tenant.start("k", "echo up; sleep 1000");
    assert_eq!(run.events.recv_timeout(LONG).unwrap(), ExecutionEvent::Stdout { bytes: b"up\n".to_vec() });
    plane.kill_execution(&run.execution, ExecutionSignal::Kill).unwrap();
    assert_eq!(run.finish().1.cause, ExitCause::Killed);
    plane.forget_vm(&tenant.vm_id);
    assert!(added.load(Ordering::SeqCst) > 100, "nothing was added");
}

#[test]
fn b7_a_plane_compiled_against_the_contract_works_on_when_every_type_grows() {
    let (plane, its) = UnixStream::pair().unwrap();
    let host = Arc::new(HostPlane::new(danger::i_know_programs_run_unisolated()).unwrap());
    thread::spawn(move || serve(host, None, Transport::socket(its).unwrap()));
    let (plane, added) = behind_relay(plane);
    assert_works(&plane, &added);
}

#[test]
fn b7_the_plane_that_was_frozen_with_the_baseline_works_with_the_kernel_of_today_and_when_every_type_grows() {
    let Some(python) = python() else { return };
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../contract/baseline/v1/plane.py");
    let (plane, its) = UnixStream::pair().unwrap();
    let (input, output) = (OwnedFd::from(its.try_clone().unwrap()), OwnedFd::from(its));
    let mut child =
        Command::new(python).arg(file).stdin(input).stdout(output).stderr(Stdio::inherit()).spawn().unwrap();
    let (plane, added) = behind_relay(plane);
    assert_works(&plane, &added);
    drop(plane);
    assert!(child.wait().unwrap().success());
}
