//! A plane that breaks the protocol fails its executions with the breach's name, and nothing else.

use crate::fixture::{Tenant, scripted, served_host_plane};
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::execution::ExecutionBridge;
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_contract::wire::fault::WireFault;
use cofferdam_contract::wire::frame::Encoding;
use cofferdam_wire_plane::WirePlane;
use std::io::Write;
use std::os::unix::net::UnixStream;

fn event(event: &str) -> Vec<u8> {
    format!("{{\"jsonrpc\":\"2.0\",\"method\":\"execution.event\",\"params\":{{\"execution_id\":\"r\",\"event\":{event}}}}}\n")
        .into_bytes()
}

fn exited() -> Vec<u8> {
    event(
        r#"{"event":"exited","cause":{"cause":"exited","code":0},"usage":{},"enforcement":{"tier":"none","mechanisms":[]},"denials":[],"executable_later":[]}"#,
    )
}

#[test]
fn b6_every_breach_by_a_plane_ends_its_executions_with_the_name_of_the_breach() {
    let output = |bytes: usize| event(&format!(r#"{{"event":"stdout","bytes":"{}"}}"#, "AAAA".repeat(bytes / 3)));
    let table: Vec<(WireFault, Vec<u8>)> = vec![
        (WireFault::Malformed, b"nonsense\n".to_vec()),
        (WireFault::Malformed, b"\n".to_vec()),
        (WireFault::Malformed, b"Traceback (most recent call last):\n".to_vec()),
        (WireFault::InvalidUtf8, b"\"\xff\xfe\"\n".to_vec()),
        (WireFault::DuplicateKey, b"{\"jsonrpc\":\"2.0\",\"id\":1,\"id\":2,\"result\":null}\n".to_vec()),
        (WireFault::TooDeep, format!("{}{}\n", "[".repeat(40), "]".repeat(40)).into_bytes()),
        (WireFault::FrameTooLarge, vec![b'x'; (4 << 20) + 2]),
        (WireFault::InvalidMessage, b"[]\n".to_vec()),
        (WireFault::InvalidMessage, b"{\"jsonrpc\":\"1.0\",\"id\":1,\"result\":null}\n".to_vec()),
        (WireFault::UnknownMethod, b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"kernel.open_the_door\"}\n".to_vec()),
        (WireFault::UnexpectedReply, b"{\"jsonrpc\":\"2.0\",\"id\":77,\"result\":null}\n".to_vec()),
        (WireFault::UnexpectedReply, b"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":null}\n".to_vec()),
        (
            WireFault::UnexpectedReply,
            b"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700,\"message\":\"m\"}}\n".to_vec(),
        ),
        // More than the whole window, whatever was read meanwhile.
        (WireFault::CreditExceeded, output(300_000)),
        (WireFault::InvalidParams, event(r#"{"event":"stopped"}"#)),
        (WireFault::InvalidParams, event(r#"{"event":"stdout","bytes":"no base64!"}"#)),
        (WireFault::InvalidParams, event("7")),
        (WireFault::UnknownExecution, String::from_utf8(exited()).unwrap().replace("\"r\"", "\"other\"").into_bytes()),
        (WireFault::Disconnected, Vec::new()),
    ];
    for (fault, bytes) in table {
        let (plane, thread) = if fault == WireFault::Disconnected { hanging_up() } else { scripted(bytes.clone()) };
        let run = Tenant::new(&plane).try_start("r", "true");
        let error = match run.map(|run| run.finish().1.cause) {
            Ok(ExitCause::PlaneFault { error }) => error,
            Ok(other) => panic!("{fault}: {other:?}"),
            // The breach may be read before the start's answer is.
            Err(error) => error,
        };
        let shown = String::from_utf8_lossy(bytes.get(..60.min(bytes.len())).unwrap_or_default()).into_owned();
        assert_eq!(error.code, ErrorCode::PlaneFault, "{shown}");
        assert_eq!(error.details["wire_fault"], fault.as_str(), "{shown}");
        drop(plane);
        thread.join().unwrap();
    }
}

#[test]
fn b6_what_comes_after_the_end_of_an_execution_is_a_breach_that_spares_its_report() {
    let bytes = [exited(), exited()].concat();
    let (plane, thread) = scripted(bytes);
    let run = Tenant::new(&plane).start("r", "true");
    assert_eq!(run.finish().1.cause, ExitCause::Exited { code: 0 });
    drop(plane);
    thread.join().unwrap();
}

#[test]
fn b7_what_a_later_plane_adds_is_skipped() {
    let bytes = [
        event(r#"{"event":"of_the_future","x":1}"#),
        b"{\"jsonrpc\":\"2.0\",\"method\":\"plane.of_the_future\",\"params\":{}}\n".to_vec(),
        event(r#"{"event":"stdout","bytes":"aGk=","channel":"of the future"}"#),
        event(r#"{"event":"exited","cause":{"cause":"exited","code":4},"usage":{"joules":3},"enforcement":{"tier":"none","mechanisms":[{"mechanism":"of_the_future","asked":true,"held":true}]},"denials":[],"executable_later":[],"later":1}"#),
    ]
    .concat();
    let (plane, thread) = scripted(bytes);
    let (output, report) = Tenant::new(&plane).start("r", "true").finish();
    assert_eq!((output.as_slice(), report.cause), (b"hi".as_slice(), ExitCause::Exited { code: 4 }));
    drop(plane);
    thread.join().unwrap();
}

#[test]
fn b6_a_plane_that_fails_leaves_another_working() {
    let sound = served_host_plane(Encoding::Cbor);
    let other = Tenant::new(&sound);
    let run = other.start("long", "read line; echo \"$line\"");
    let (plane, thread) = scripted(b"nonsense\n".to_vec());
    let _ = Tenant::new(&plane).try_start("r", "true").map(|run| run.finish());
    sound.write_stdin(&run.execution, b"alive\n").unwrap();
    assert_eq!(run.finish().0, b"alive\n");
    drop(plane);
    thread.join().unwrap();
}

#[test]
fn b6_a_greeting_that_is_none_is_refused_with_its_name() {
    for (answer, fault) in [
        ("nonsense\n", "malformed"),
        ("{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}\n", "unexpected_reply"),
        ("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n", "invalid_result"),
        ("{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32004,\"message\":\"no\"}}\n", "no_common_version"),
        ("{\"jsonrpc\":\"2.0\",\"method\":\"execution.event\",\"params\":{}}\n", "not_greeted"),
        ("", "disconnected"),
    ] {
        let (ours, mut its) = UnixStream::pair().unwrap();
        its.write_all(answer.as_bytes()).unwrap();
        its.shutdown(std::net::Shutdown::Write).unwrap();
        let error = WirePlane::over(ours, &[Encoding::Json]).unwrap_err();
        assert_eq!(
            (error.code, error.details["wire_fault"].as_str()),
            (ErrorCode::PlaneFault, Some(fault)),
            "{answer}"
        );
    }
}

#[test]
fn b11_after_the_end_of_a_connection_calls_are_refused_at_once() {
    let (plane, thread) = hanging_up();
    let tenant = Tenant::new(&plane);
    let _ = tenant.try_start("r", "true").map(|run| run.finish());
    let error = tenant.try_start("r2", "true").map(|_| ()).unwrap_err();
    assert_eq!(error.code, ErrorCode::PlaneFault);
    assert!(!plane.preflight(&crate::fixture::profile()).accepted());
    drop(plane);
    thread.join().unwrap();
}

/// A plane that closes the connection when it is asked to start something.
fn hanging_up() -> (WirePlane, std::thread::JoinHandle<()>) {
    use std::io::{BufRead, BufReader};
    let (ours, its) = UnixStream::pair().unwrap();
    let thread = std::thread::spawn(move || {
        let mut writer = its.try_clone().unwrap();
        for (number, line) in BufReader::new(its).lines().map_while(Result::ok).enumerate() {
            let answer = match number {
                0 => crate::fixture::welcome(1),
                _ if line.contains("start_execution") => return,
                _ => format!("{{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":{{\"context_id\":\"c\"}}}}\n", number + 1),
            };
            let _ = writer.write_all(answer.as_bytes());
        }
    });
    (WirePlane::over(ours, &[Encoding::Json]).unwrap(), thread)
}
