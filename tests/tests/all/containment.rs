//! Nothing outlives a run: neither its end, nor its time-out, nor the death of the command itself.

use cofferdam_tests::command::{run, text};
use cofferdam_tests::observe::{cgroups_of, processes_with, within};
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

static NEXT: AtomicU32 = AtomicU32::new(1);

/// A time to sleep that no other process has: the mark by which the test finds its own.
fn mark() -> String {
    format!("9{:05}{:03}", std::process::id() % 100_000, NEXT.fetch_add(1, Ordering::Relaxed))
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn res_10_a_double_forked_daemon_ends_with_its_run() {
    let (scratch, mark) = (Scratch::new(), mark());
    let line = format!("setsid sh -c 'setsid sleep {mark} > /dev/null 2>&1 < /dev/null &' & sleep 0.2; exit 0");
    let status = run(scratch.path(), &[], &["sh", "-c", &line]).status().unwrap();
    assert!(status.success());
    assert!(within(SECOND, || processes_with(&mark).is_empty()));
}

#[test]
fn x12_a_grandchild_that_holds_the_output_does_not_keep_the_run_open() {
    let (scratch, mark) = (Scratch::new(), mark());
    let line = format!("sleep {mark} & echo done");
    let output = run(scratch.path(), &["--json"], &["sh", "-c", &line]).output().unwrap();
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["stdout"], "done\n");
    assert!(within(SECOND, || processes_with(&mark).is_empty()));
}

#[test]
fn res_11_sigkill_of_the_command_ends_everything_within_a_second() {
    for _ in 0..5 {
        let (scratch, mark) = (Scratch::new(), mark());
        let line = format!("setsid sleep {mark} & sleep {mark}");
        let mut child = run(scratch.path(), &[], &["sh", "-c", &line]).stdout(Stdio::null()).spawn().unwrap();
        let inside = |count: usize| processes_with(&mark).len() >= count;
        assert!(within(Duration::from_secs(10), || inside(4)), "the run did not start");
        kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL).unwrap();
        child.wait().unwrap();
        assert!(within(SECOND, || processes_with(&mark).is_empty()), "survivors: {:?}", processes_with(&mark));
        assert!(within(SECOND, || cgroups_of(child.id()).is_empty()), "left: {:?}", cgroups_of(child.id()));
    }
}

#[test]
fn a_signal_to_the_command_reaches_the_program() {
    let scratch = Scratch::new();
    let line = "trap 'echo caught; exit 5' TERM; echo ready; while :; do sleep 0.05; done";
    let mut child = run(scratch.path(), &["--no-tty"], &["sh", "-c", line]).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    std::io::BufRead::read_line(&mut output, &mut first).unwrap();
    assert_eq!(first, "ready\n");
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(5));
}

#[test]
fn a_run_leaves_no_cgroup_and_no_file() {
    let scratch = Scratch::new();
    let mut child = run(scratch.path(), &[], &["true"]).spawn().unwrap();
    assert!(child.wait().unwrap().success());
    // The process that removes it may outlive the command by the moment that the kernel takes to empty it.
    assert!(within(SECOND, || cgroups_of(child.id()).is_empty()), "left: {:?}", cgroups_of(child.id()));
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0, "fs_20: no placeholder is left on the host");
}

/// Adopts whatever is left of ten runs (prctl(2), `PR_SET_CHILD_SUBREAPER`), and waits until that has ended, for two seconds at most.
const ADOPT: &str = "
import ctypes, os, signal, subprocess, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
for _ in range(10):
    subprocess.run(sys.argv[1:], check=True)
    signal.alarm(2)
    while True:
        try: os.waitpid(-1, 0)
        except ChildProcessError: break
    signal.alarm(0)
print('ended')
";

#[test]
fn what_a_run_leaves_to_whoever_adopts_it_ends_within_a_moment() {
    if skip::program("python3").is_none() {
        return;
    }
    let scratch = Scratch::new();
    for options in [&[][..], &["--plane", "host"]] {
        let command = run(scratch.path(), options, &["sh", "-c", "sleep 0.01 & sleep 0.01 & true"]);
        let mut adopting = Command::new("python3");
        adopting.args(["-c", ADOPT]).arg(command.get_program()).args(command.get_args()).current_dir(scratch.path());
        let output = adopting.output().unwrap();
        assert_eq!(text(&output.stdout), "ended\n", "{options:?}: {}", text(&output.stderr));
    }
}
