//! A plane behind the wire does what the same plane does in this process.

use crate::fixture::{LONG, Tenant, profile, served_host_plane};
use cofferdam_bridge::descriptor::Feature;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::event::ExecutionEvent;
use cofferdam_bridge::execution::{ExecutionBridge, ExecutionSignal, StartExecutionRequest, StreamMode, Streams};
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_bridge::ids::{ContextId, ExecutionId, VmId};
use cofferdam_contract::wire::frame::Encoding;

const BOTH: [Encoding; 2] = [Encoding::Json, Encoding::Cbor];

#[test]
fn b6_a_program_runs_behind_the_wire_with_its_output_input_and_exit_code() {
    for encoding in BOTH {
        let plane = served_host_plane(encoding);
        let tenant = Tenant::new(&plane);
        let run = tenant.start("r", "read line; echo \"got $line\"; echo err >&2; exit 7");
        plane.write_stdin(&run.execution, b"words\n").unwrap();
        plane.close_stdin(&run.execution).unwrap();
        let (output, report) = run.finish();
        let text = String::from_utf8(output).unwrap();
        assert!(text.contains("got words\n") && text.contains("err\n"), "{text}");
        assert_eq!(report.cause, ExitCause::Exited { code: 7 });
    }
}

#[test]
fn b6_megabytes_pass_in_order_within_credit() {
    for encoding in BOTH {
        let plane = served_host_plane(encoding);
        let tenant = Tenant::new(&plane);
        let run = tenant.start("r", "seq 1 700000");
        let (output, report) = run.finish();
        assert!(report.cause.success(), "{:?}", report.cause);
        let expected: String = (1..=700_000).map(|n| format!("{n}\n")).collect();
        assert!(output == expected.as_bytes(), "{} of {} bytes", output.len(), expected.len());
    }
}

#[test]
fn b6_much_input_passes_while_the_program_reads_slowly() {
    let plane = served_host_plane(Encoding::Cbor);
    let tenant = Tenant::new(&plane);
    let run = tenant.start("r", "sleep 0.2; wc -c");
    plane.write_stdin(&run.execution, &vec![b'x'; 3 << 20]).unwrap();
    plane.close_stdin(&run.execution).unwrap();
    let (output, _) = run.finish();
    assert_eq!(String::from_utf8(output).unwrap().trim(), (3 << 20).to_string());
}

#[test]
fn b6_signals_and_kill_arrive_and_an_ended_execution_is_no_error() {
    let plane = served_host_plane(Encoding::Cbor);
    let tenant = Tenant::new(&plane);
    let run = tenant.start("r", "trap 'echo usr; exit 5' USR1; echo ready; while :; do sleep 0.05; done");
    assert_eq!(run.events.recv_timeout(LONG).unwrap(), ExecutionEvent::Stdout { bytes: b"ready\n".to_vec() });
    plane.kill_execution(&run.execution, ExecutionSignal::User1).unwrap();
    let execution = run.execution.clone();
    assert_eq!(run.finish().1.cause, ExitCause::Exited { code: 5 });
    plane.kill_execution(&execution, ExecutionSignal::Kill).unwrap();
    plane.close_stdin(&execution).unwrap();
    assert_eq!(plane.write_stdin(&execution, b"x").unwrap_err().code, ErrorCode::UnknownExecution);
    let run = tenant.start("r2", "sleep 1000");
    plane.kill_execution(&run.execution, ExecutionSignal::Kill).unwrap();
    assert_eq!(run.finish().1.cause, ExitCause::Killed);
}

#[test]
fn b6_errors_keep_their_code_and_forgotten_contexts_are_gone() {
    let plane = served_host_plane(Encoding::Cbor);
    let tenant = Tenant::new(&plane);
    let request = |context: &ContextId, program: &str| {
        StartExecutionRequest::new(VmId::new("vm"), context.clone(), ExecutionId::new("x"), program)
    };
    let queue = || tenant.start("q", "true");
    let run = queue();
    run.finish();
    let sink = || std::sync::Arc::new(cofferdam_wire_plane_sink::Nowhere);
    let error = plane.start_execution(request(&tenant.context, "/no/such/program"), sink()).unwrap_err();
    assert_eq!(error.code, ErrorCode::ProgramNotFound);
    let mut inherited = request(&tenant.context, "/bin/true");
    inherited.streams =
        Streams::Separate { stdin: StreamMode::Null, stdout: StreamMode::Inherit, stderr: StreamMode::Null };
    assert_eq!(plane.start_execution(inherited, sink()).unwrap_err().code, ErrorCode::UnsupportedOperation);
    plane.forget_vm(&tenant.vm_id);
    let error = plane.start_execution(request(&tenant.context, "/bin/true"), sink()).unwrap_err();
    assert_eq!(error.code, ErrorCode::UnknownContext);
}

#[test]
fn b5_the_descriptor_crosses_without_what_a_wire_cannot_do() {
    let plane = served_host_plane(Encoding::Json);
    let descriptor = plane.describe();
    assert_eq!(descriptor.name, "host");
    assert!(descriptor.has(Feature::Commands) && descriptor.has(Feature::Terminal));
    assert!(!descriptor.has(Feature::InheritedStreams));
    assert!(plane.preflight(&profile()).accepted());
    let mut strict = profile();
    strict.isolation.require = cofferdam_bridge::enforcement::Tier::Full;
    assert!(!plane.preflight(&strict).accepted());
}

#[test]
fn b11_a_reader_that_does_not_read_holds_up_its_own_program_only() {
    let plane = served_host_plane(Encoding::Cbor);
    let tenant = Tenant::new(&plane);
    let sink = std::sync::Arc::new(cofferdam_wire_plane_sink::Full::default());
    let id = ExecutionId::new("slow");
    let mut request = StartExecutionRequest::new(VmId::new("vm"), tenant.context.clone(), id.clone(), "/usr/bin/yes");
    request.streams =
        Streams::Separate { stdin: StreamMode::Null, stdout: StreamMode::Piped, stderr: StreamMode::Null };
    plane.start_execution(request, sink.clone()).unwrap();
    for number in 0..20 {
        let (output, _) = tenant.start(&format!("r{number}"), "echo there").finish();
        assert_eq!(output, b"there\n");
    }
    assert_eq!(sink.taken(), 0);
    let execution = cofferdam_bridge::execution::ExecutionRef::new(VmId::new("vm"), id);
    plane.kill_execution(&execution, ExecutionSignal::Kill).unwrap();
    sink.open();
    let (bytes, cause) = sink.wait();
    assert_eq!(cause, ExitCause::Killed);
    // What the plane sent ahead is bounded by its credit.
    assert!(bytes <= 2 << 20, "{bytes}");
}

/// Sinks of other kinds than the queue of the fixture.
mod cofferdam_wire_plane_sink {
    use super::LONG;
    use cofferdam_bridge::event::{ExecutionEvent, ExecutionEventSink};
    use cofferdam_bridge::exit_cause::ExitCause;
    use std::sync::{Condvar, Mutex};
    use std::task::Waker;

    pub(super) struct Nowhere;

    impl ExecutionEventSink for Nowhere {
        fn push(&self, _: ExecutionEvent) -> bool {
            false
        }

        fn try_push(&self, _: ExecutionEvent) -> Result<bool, Box<ExecutionEvent>> {
            Ok(false)
        }

        fn wake_when_room(&self, waker: &Waker) {
            waker.wake_by_ref();
        }
    }

    /// Takes nothing until it is opened.
    #[derive(Default)]
    pub(super) struct Full {
        state: Mutex<(bool, u64, Option<ExitCause>, Vec<Waker>)>,
        ended: Condvar,
    }

    impl Full {
        pub(super) fn taken(&self) -> u64 {
            self.state.lock().unwrap().1
        }

        pub(super) fn open(&self) {
            let mut state = self.state.lock().unwrap();
            state.0 = true;
            let wakers = std::mem::take(&mut state.3);
            drop(state);
            wakers.into_iter().for_each(Waker::wake);
        }

        pub(super) fn wait(&self) -> (u64, ExitCause) {
            let state = self.state.lock().unwrap();
            let (state, _) = self.ended.wait_timeout_while(state, LONG, |state| state.2.is_none()).unwrap();
            (state.1, state.2.clone().expect("the end is told"))
        }
    }

    impl ExecutionEventSink for Full {
        fn push(&self, event: ExecutionEvent) -> bool {
            self.try_push(event).is_ok()
        }

        fn try_push(&self, event: ExecutionEvent) -> Result<bool, Box<ExecutionEvent>> {
            let mut state = self.state.lock().unwrap();
            if !state.0 {
                return Err(Box::new(event));
            }
            match event {
                ExecutionEvent::Stdout { bytes } => state.1 += bytes.len() as u64,
                ExecutionEvent::Exited(report) => {
                    state.2 = Some(report.cause);
                    self.ended.notify_all();
                }
                _ => {}
            }
            Ok(true)
        }

        fn wake_when_room(&self, waker: &Waker) {
            let mut state = self.state.lock().unwrap();
            if state.0 {
                drop(state);
                waker.wake_by_ref();
            } else {
                state.3.push(waker.clone());
            }
        }
    }
}
