//! Dropping, forgetting, killing, and the death of the host end everything.

use crate::host::{Host, alive, profile, within};
use cofferdam_bridge::enforcement::Mechanism;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::execution::{ExecutionBridge, ExecutionSignal};
use cofferdam_bridge::exit_cause::ExitCause;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Ignores TERM, has a daemon in a session of its own that does so too, and tells both ids.
const STUBBORN: &str = "trap '' TERM HUP INT; setsid sh -c 'trap \"\" TERM; setsid sleep 1000 > /dev/null & echo $!'; echo $$; while :; do sleep 1000; done";

#[test]
fn c9_a_kill_ends_everything() {
    let host = Host::new(profile());
    let mut run = host.shell(STUBBORN);
    let (daemon, program) = (run.line(), run.line());
    host.plane.kill_execution(&run.execution, ExecutionSignal::Kill).unwrap();
    assert_eq!(run.end().cause, ExitCause::Killed);
    assert!(!alive(&daemon) && !alive(&program));
    host.plane.kill_execution(&run.execution, ExecutionSignal::Kill).unwrap();
}

#[test]
fn c9_a_dropped_plane_has_ended_everything_when_the_drop_is_over() {
    let host = Host::new(profile());
    let mut run = host.shell(STUBBORN);
    let (daemon, program) = (run.line(), run.line());
    drop(host);
    assert!(!alive(&daemon) && !alive(&program));
    assert_eq!(run.end().cause, ExitCause::Killed);
}

#[test]
fn c9_a_vm_that_is_forgotten_is_asked_first_and_a_program_that_listens_ends_itself() {
    let host = Host::new(profile());
    let mut run = host.shell("trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.02; done");
    assert_eq!(run.line(), "ready");
    let begun = Instant::now();
    host.plane.forget_vm(&host.vm_id);
    assert_eq!(run.end().cause, ExitCause::Killed);
    assert!(run.text().contains("bye"));
    assert!(begun.elapsed() < Duration::from_secs(2), "it waited for the grace though nothing was left");
}

#[test]
fn c9_a_vm_that_is_forgotten_is_ended_also_where_nothing_listens() {
    let host = Host::new(profile());
    let mut run = host.shell(STUBBORN);
    let (daemon, program) = (run.line(), run.line());
    host.plane.forget_vm(&host.vm_id);
    assert_eq!(run.end().cause, ExitCause::Killed);
    assert!(!alive(&daemon) && !alive(&program));
}

#[test]
fn c9_a_signal_reaches_the_program_alone_and_its_own_end_is_told_as_such() {
    let host = Host::new(profile());
    let mut run = host.shell("echo ready; exec sleep 1000");
    assert_eq!(run.line(), "ready");
    host.plane.kill_execution(&run.execution, ExecutionSignal::Terminate).unwrap();
    assert_eq!(run.end().cause, ExitCause::Signalled { signal: libc::SIGTERM, core_dumped: false });
}

#[test]
fn c9_sigkill_of_the_host_ends_everything_within_a_second() {
    let own = std::env::current_exe().unwrap();
    let example = own.ancestors().nth(2).unwrap().join("examples/run_on_host");
    assert!(example.exists(), "{} is not built; cargo test builds it", example.display());
    for _ in 0..5 {
        let mut host = Command::new(&example).args(["/bin/sh", "-c", STUBBORN]).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(host.stdout.take().unwrap()).lines();
        let (daemon, program) = (lines.next().unwrap().unwrap(), lines.next().unwrap().unwrap());
        assert!(alive(&daemon) && alive(&program));
        kill(Pid::from_raw(host.id().cast_signed()), Signal::SIGKILL).unwrap();
        assert!(within(Duration::from_secs(1), || !alive(&daemon) && !alive(&program)), "something outlived the host");
        host.wait().unwrap();
    }
}

#[test]
fn c9_the_end_of_the_thread_that_started_a_run_does_not_end_the_run() {
    let host = Host::new(profile());
    let mut run =
        std::thread::scope(|scope| scope.spawn(|| host.shell("echo ready; sleep 0.3; echo done")).join().unwrap());
    assert_eq!(run.line(), "ready");
    assert!(run.end().cause.success());
    assert_eq!(run.text(), "done\n");
}

#[test]
fn c9_a_keeper_that_the_program_has_stopped_still_ends_everything() {
    let host = Host::new(profile());
    let mut run = host.shell("kill -STOP $PPID; setsid sleep 1000 > /dev/null & echo $!; exec sleep 1000");
    let pid = run.line();
    host.plane.kill_execution(&run.execution, ExecutionSignal::Kill).unwrap();
    assert_eq!(run.end().cause, ExitCause::Killed);
    assert!(!alive(&pid));
}

#[test]
fn c9_a_program_that_kills_its_keeper_dies_with_it_and_the_report_says_what_no_longer_holds() {
    let host = Host::new(profile());
    let mut run = host.shell("echo $$; kill -KILL $PPID; exec sleep 1000");
    let pid = run.line();
    let report = run.end();
    assert_eq!(report.cause.code(), Some(ErrorCode::PlaneFault), "{:?}", report.cause);
    assert!(report.enforcement.gaps().any(|gap| gap.mechanism == Mechanism::Containment));
    assert!(within(Duration::from_secs(1), || !alive(&pid)));
}
