//! Real programs under a real keeper, looked at from outside.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_plane_kit::keeper::{Keeper, Kept, ProgramPlan, Told};
use cofferdam_plane_kit::wakeup::readable;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{PipeReader, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(20);

fn shell(line: &str) -> ProgramPlan {
    let arguments = ["sh", "-c", line].map(str::to_owned).to_vec();
    let variables = vec!["PATH=/usr/bin:/bin".to_owned()];
    let (program, directory) = (PathBuf::from("/bin/sh"), PathBuf::from("/"));
    ProgramPlan {
        program,
        held: None,
        arguments,
        variables,
        directory,
        terminal: false,
        limits: Vec::new(),
        output_wait: false,
        task_group: None,
    }
}

/// Starts `line` with its output in a pipe.
fn start(line: &str) -> (Kept, PipeReader) {
    let (read, write) = std::io::pipe().unwrap();
    let null = std::fs::File::open("/dev/null").unwrap();
    let kept = Keeper::new().unwrap().start(&shell(line), [null.as_fd(), write.as_fd(), write.as_fd()]).unwrap();
    (kept, read)
}

fn end_of(kept: &Kept) -> Told {
    loop {
        assert!(readable(kept.waits_on(), Some(LONG)).unwrap(), "the keeper tells no end");
        if let Some(told @ (Told::Ended(_) | Told::Gone)) = kept.told() {
            return told;
        }
    }
}

fn line(output: &mut PipeReader) -> String {
    let mut text = String::new();
    let mut byte = [0];
    while output.read(&mut byte).unwrap() == 1 && byte != *b"\n" {
        text.push(char::from(byte[0]));
    }
    text
}

fn there(pid: &str) -> bool {
    assert!(pid.parse::<u32>().is_ok(), "`{pid}` is no process id");
    Path::new("/proc").join(pid).exists()
}

#[test]
fn c3_a_daemon_that_left_group_and_session_is_gone_when_the_end_is_told() {
    let (kept, mut output) = start("setsid sh -c 'setsid sleep 1000 & echo $!' ; exit 7");
    let daemon = line(&mut output);
    assert_eq!(end_of(&kept), Told::Ended(7 << 8));
    assert!(!there(&daemon), "the daemon outlived its program");
    kept.reap();
}

#[test]
fn what_all_used_is_told_with_the_end_as_the_kernel_tells_it_afterwards() {
    // A child that burns and is waited for, and one that is ended with the rest.
    let burn = "i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done";
    let (kept, mut output) = start(&format!("({burn}); sleep 1000 & echo done"));
    assert_eq!(line(&mut output), "done");
    assert_eq!(kept.used(), None, "nothing is told before the end");
    assert_eq!(end_of(&kept), Told::Ended(0));
    let told = kept.used().unwrap();
    let counted = kept.reap();
    assert!(told.user_us + told.system_us > 0 && told.peak_bytes > 0, "{told:?}");
    // The keeper itself goes on for a moment after its word.
    let (told_us, counted_us) = (told.user_us + told.system_us, counted.user_us + counted.system_us);
    assert!(told_us <= counted_us && counted_us < told_us + 100_000, "{told:?} {counted:?}");
    assert_eq!(told.peak_bytes, counted.peak_bytes);
}

#[test]
fn c3_the_program_has_a_session_and_a_group_of_its_own_and_three_descriptors() {
    let (kept, mut output) = start("cut -d' ' -f5,6 /proc/$$/stat; echo /proc/$$/fd/*; echo $$");
    let (ids, open, own) = (line(&mut output), line(&mut output), line(&mut output));
    let (group, session) = ids.split_once(' ').unwrap();
    let host = nix::unistd::getsid(None).unwrap().to_string();
    assert_eq!(group, own);
    assert_ne!(session, host);
    // The shell itself holds the directory open while it lists it.
    let beyond = |name: &&str| !["0", "1", "2"].iter().any(|kept| name.ends_with(&format!("/{kept}")));
    assert!(open.split(' ').filter(beyond).count() <= 1, "{open}");
    assert_eq!(end_of(&kept), Told::Ended(0));
    kept.reap();
}

#[test]
fn c9_a_stop_ends_what_ignores_term_after_the_grace_and_not_before() {
    let (kept, mut output) = start("trap '' TERM; echo $$; while :; do sleep 0.05; done");
    let program = line(&mut output);
    let begun = Instant::now();
    kept.control().unwrap().stop(Duration::from_millis(300));
    assert_eq!(end_of(&kept), Told::Ended(9));
    assert!(begun.elapsed() >= Duration::from_millis(299), "the grace was not given");
    assert!(!there(&program));
    kept.reap();
}

#[test]
fn c9_a_stop_lets_a_program_that_listens_end_itself() {
    let (kept, mut output) = start("trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.05; done");
    assert_eq!(line(&mut output), "ready");
    kept.control().unwrap().stop(LONG);
    assert_eq!(end_of(&kept), Told::Ended(3 << 8));
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("bye"), "{rest}");
    kept.reap();
}

#[test]
fn c9_processes_that_fork_and_exit_without_rest_are_caught_up_with() {
    let (kept, mut output) = start("again='sh -c \"$0\" \"$0\" &'; sh -c \"$again\" \"$again\"; sleep 0.3; echo $$");
    let program = line(&mut output);
    assert_eq!(end_of(&kept), Told::Ended(0));
    assert!(!there(&program));
    // The pipe ends only when the last of them is gone.
    let mut rest = Vec::new();
    output.read_to_end(&mut rest).unwrap();
    kept.reap();
}

#[test]
fn c3_the_host_is_made_no_subreaper_and_adopts_nobody() {
    let (kept, mut output) = start("(sleep 1000 & echo $!)& sleep 1000");
    let orphan = line(&mut output);
    let parent = || {
        let stat = std::fs::read_to_string(format!("/proc/{orphan}/stat")).unwrap();
        stat.rsplit_once(')').unwrap().1.split_whitespace().nth(1).unwrap().to_owned()
    };
    let end = Instant::now() + LONG;
    while parent() != kept.keeper_id().to_string() && Instant::now() < end {
        std::thread::yield_now();
    }
    assert_eq!(parent(), kept.keeper_id().to_string());
    kept.control().unwrap().kill();
    assert_eq!(end_of(&kept), Told::Ended(9));
    assert!(!there(&orphan));
    kept.reap();
}

#[test]
fn what_keeps_a_program_from_starting_is_told_by_code() {
    let null = std::fs::File::open("/dev/null").unwrap();
    let streams = [null.as_fd(), null.as_fd(), null.as_fd()];
    let keeper = Keeper::new().unwrap();
    let code = |plan: &ProgramPlan| keeper.start(plan, streams).unwrap_err().code;
    let missing = ProgramPlan { program: "/no/such/program".into(), ..shell("") };
    assert_eq!(code(&missing), ErrorCode::ProgramNotFound);
    let text = ProgramPlan { program: "/etc/passwd".into(), ..shell("") };
    assert_eq!(code(&text), ErrorCode::ProgramNotExecutable);
    let nowhere = ProgramPlan { directory: "/no/such/directory".into(), ..shell("") };
    assert_eq!(code(&nowhere), ErrorCode::RequestInvalid);
    let nul = ProgramPlan { variables: vec!["A=\0".to_owned()], ..shell("") };
    assert_eq!(code(&nul), ErrorCode::RequestInvalid);
}

#[test]
fn a_keeper_that_is_killed_takes_the_program_with_it_and_is_told_as_gone() {
    let (kept, mut output) = start("echo $$; exec sleep 1000");
    let program = line(&mut output);
    kill(Pid::from_raw(kept.keeper_id()), Signal::SIGKILL).unwrap();
    assert_eq!(end_of(&kept), Told::Gone);
    kept.reap();
    let end = Instant::now() + LONG;
    while there(&program) && Instant::now() < end {
        std::thread::yield_now();
    }
    assert!(!there(&program));
}
