//! Standard input, session and group, and the end of everything with its program.

use crate::host::{Host, alive, profile};
use cofferdam_bridge::execution::{ExecutionBridge, StreamMode, Streams};
use cofferdam_bridge::exit_cause::ExitCause;
use std::time::Duration;

#[test]
fn c3_standard_input_is_empty_unless_given() {
    let host = Host::new(profile());
    let mut run = host.shell("cat; readlink /proc/self/fd/0");
    assert!(run.end().cause.success());
    assert_eq!(run.text(), "/dev/null\n");
}

#[test]
fn c3_standard_input_that_is_given_arrives_and_ends() {
    let host = Host::new(profile());
    let mut request = host.request("/bin/cat", &[]);
    request.streams =
        Streams::Separate { stdin: StreamMode::Piped, stdout: StreamMode::Piped, stderr: StreamMode::Piped };
    let mut run = host.start(request).unwrap();
    // More than a pipe holds, so that the writer must wait for the reader.
    let bytes = vec![b'x'; 3 << 20];
    host.plane.write_stdin(&run.execution, &bytes).unwrap();
    host.plane.close_stdin(&run.execution).unwrap();
    assert!(run.end().cause.success());
    assert_eq!(run.stdout.len(), bytes.len());
}

#[test]
fn c3_session_and_group_are_not_the_hosts() {
    let host = Host::new(profile());
    let mut run = host.shell("cut -d' ' -f5,6 /proc/$$/stat; echo $$");
    let (ids, own) = (run.line(), run.line());
    let (group, session) = ids.split_once(' ').unwrap();
    assert_eq!(group, own);
    assert_ne!(session, nix::unistd::getsid(None).unwrap().to_string());
    assert!(run.end().cause.success());
}

#[test]
fn c3_a_daemon_that_left_group_and_session_ends_with_its_program() {
    let host = Host::new(profile());
    // Twice forked, in a session of its own, with none of the run's descriptors.
    let daemon = "setsid sh -c 'setsid sleep 1000 < /dev/null > /dev/null 2>&1 & echo $!'";
    for (after, cause) in [("exit 0", 0), ("exit 3", 3)] {
        let mut run = host.shell(&format!("{daemon}; {after}"));
        let pid = run.line();
        assert_eq!(run.end().cause, ExitCause::Exited { code: cause });
        assert!(!alive(&pid), "the daemon is still there when the end is told");
    }
}

#[test]
fn c3_past_its_time_all_is_ended_also_what_ignores_the_wish() {
    let mut profile = profile();
    profile.limits.wall_ms = Some(300);
    let host = Host::new(profile);
    let mut run =
        host.shell("trap '' TERM; setsid sh -c 'trap \"\" TERM; sleep 1000 & echo $!; wait' & echo $$; while :; do sleep 1000; done");
    let (one, other) = (run.line(), run.line());
    let report = run.end();
    assert_eq!(report.cause, ExitCause::TimedOut { limit_ms: 300 });
    assert!(!alive(&one) && !alive(&other));
    assert!(Duration::from_micros(report.usage.wall_us) < Duration::from_secs(10));
}

#[test]
fn c3_a_grandchild_that_holds_the_output_does_not_keep_the_run_open() {
    let host = Host::new(profile());
    let mut run = host.shell("sleep 1000 & echo $!");
    let pid = run.line();
    assert!(run.end().cause.success());
    assert!(!alive(&pid));
}

#[test]
fn c3_other_children_of_the_host_are_left_alone() {
    let mut own = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    let host = Host::new(profile());
    assert!(host.shell("exit 0").end().cause.success());
    drop(host);
    let running = own.try_wait().unwrap().is_none();
    own.kill().unwrap();
    own.wait().unwrap();
    assert!(running);
}
