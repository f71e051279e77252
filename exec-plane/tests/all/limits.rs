//! Limits of a whole tree end the run with their name; limits of one process are the operating system's.

use crate::host::{BOMBS, Host, profile};
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_bridge::limits::{LimitName, Limits};

fn cause(line: &str, set: impl FnOnce(&mut Limits)) -> ExitCause {
    let mut profile = profile();
    set(&mut profile.limits);
    Host::new(profile).shell(line).end().cause
}

fn struck(cause: &ExitCause) -> Option<LimitName> {
    match cause {
        ExitCause::Limit { limit, .. } => Some(*limit),
        _ => None,
    }
}

#[test]
fn too_many_processes_end_the_run() {
    let cause = cause("for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done; wait", |limits| limits.processes = Some(4));
    assert_eq!(struck(&cause), Some(LimitName::Processes), "{cause:?}");
}

#[test]
fn a_fork_bomb_that_nothing_slows_down_is_ended_with_all_its_parts() {
    let _alone = BOMBS.lock();
    // It stops by itself at some thousands, so that a machine on which the limit does not strike lives on.
    let bomb = r#"b='d=$((d + 1)); [ $d -gt 11 ] && exec sleep 1000; sh -c "$0" "$0" & sh -c "$0" "$0" & '
        export d=0; sh -c "$b" "$b" 2> /dev/null; sleep 1000"#;
    let cause = cause(bomb, |limits| limits.processes = Some(60));
    assert_eq!(struck(&cause), Some(LimitName::Processes), "{cause:?}");
}

#[test]
fn processor_time_of_two_processes_counts_together() {
    let line = "(while :; do :; done) & while :; do :; done";
    let cause = cause(line, |limits| limits.cpu_ms = Some(300));
    assert_eq!(struck(&cause), Some(LimitName::Cpu), "{cause:?}");
}

#[test]
fn too_much_memory_ends_the_run() {
    // `tail` keeps the one endless line that it is given.
    let cause = cause("tail /dev/zero", |limits| limits.memory_bytes = Some(64 << 20));
    assert_eq!(struck(&cause), Some(LimitName::Memory), "{cause:?}");
}

#[test]
fn a_file_longer_than_the_limit_ends_its_writer_and_the_limit_is_named() {
    let file = std::env::temp_dir().join(format!("cofferdam-host-{}", std::process::id()));
    let line = format!("exec head -c 1000000 /dev/zero > {}", file.display());
    let cause = cause(&line, |limits| limits.disk_bytes = Some(4096));
    let length = std::fs::metadata(&file).unwrap().len();
    std::fs::remove_file(&file).unwrap();
    assert_eq!(struck(&cause), Some(LimitName::Disk), "{cause:?}");
    assert!(length <= 4096);
}

#[test]
fn open_files_are_refused_at_the_limit() {
    let mut profile = profile();
    profile.limits.open_files = Some(32);
    let host = Host::new(profile);
    let mut run = host.shell("ulimit -n");
    assert!(run.end().cause.success());
    assert_eq!(run.text(), "32\n");
}
