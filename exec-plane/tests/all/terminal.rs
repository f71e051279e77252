//! A terminal of its own: sizes, typing, job control, and its end.

use crate::host::{Host, Run, alive, profile};
use cofferdam_bridge::execution::{ExecutionBridge, ExecutionSignal, Streams, TerminalSize};
use cofferdam_bridge::exit_cause::ExitCause;

fn start(host: &Host, line: &str) -> Run {
    let mut request = host.request("/bin/sh", &["-c", line]);
    request.streams = Streams::Terminal { size: TerminalSize::new(30, 90) };
    host.start(request).unwrap()
}

#[test]
fn a_program_sees_a_terminal_of_the_size_asked_and_of_a_size_changed_later() {
    let host = Host::new(profile());
    let mut run = start(&host, "tty -s && stty size; read x; stty size");
    assert_eq!(run.line(), "30 90");
    host.plane.resize_terminal(&run.execution, TerminalSize::new(5, 7)).unwrap();
    host.plane.write_stdin(&run.execution, b"\n").unwrap();
    assert!(run.end().cause.success());
    assert!(run.text().ends_with("5 7\r\n"), "{:?}", run.text());
}

#[test]
fn an_interrupt_that_is_typed_or_sent_reaches_the_foreground() {
    let host = Host::new(profile());
    for typed in [true, false] {
        let mut run = start(&host, "echo $$; exec sleep 1000");
        let pid = run.line();
        if typed {
            host.plane.write_stdin(&run.execution, &[3]).unwrap();
        } else {
            host.plane.kill_execution(&run.execution, ExecutionSignal::Interrupt).unwrap();
        }
        assert_eq!(run.end().cause, ExitCause::Signalled { signal: libc::SIGINT, core_dumped: false });
        assert!(!alive(&pid));
    }
}
