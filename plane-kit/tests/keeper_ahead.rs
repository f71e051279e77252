//! A keeper that was prepared keeps like any other, and one that waits outlives nobody.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_plane_kit::held_program::HeldProgram;
use cofferdam_plane_kit::keeper::{Keeper, Kept, ProgramPlan, Told};
use cofferdam_plane_kit::wakeup::readable;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Gid, Pid, Uid, getuid, setgroups, setresuid};
use std::io::{BufRead, BufReader, PipeReader, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(20);

/// What a host of its own is to do.
const ROLE: &str = "COFFERDAM_TEST_HOST";

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

fn start(keeper: &Keeper, plan: &ProgramPlan) -> (Kept, PipeReader) {
    let (read, write) = std::io::pipe().unwrap();
    let null = std::fs::File::open("/dev/null").unwrap();
    (keeper.start(plan, [null.as_fd(), write.as_fd(), write.as_fd()]).unwrap(), read)
}

/// All that is printed, and how it ended.
fn whole(keeper: &Keeper, plan: &ProgramPlan) -> (String, Told) {
    let (kept, mut output) = start(keeper, plan);
    let mut text = String::new();
    output.read_to_string(&mut text).unwrap();
    let told = end_of(&kept);
    kept.reap();
    (text, told)
}

fn end_of(kept: &Kept) -> Told {
    loop {
        assert!(readable(kept.waits_on(), Some(LONG)).unwrap(), "the keeper tells no end");
        if let Some(told @ (Told::Ended(_) | Told::Gone)) = kept.told() {
            return told;
        }
    }
}

/// Whether it is there and not merely waiting to be reaped.
fn alive(pid: i32) -> bool {
    let Ok(stat) = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")) else { return false };
    stat.rsplit_once(')').is_none_or(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

fn ends(pid: i32) -> bool {
    let end = Instant::now() + LONG;
    while alive(pid) && Instant::now() < end {
        std::thread::yield_now();
    }
    !alive(pid)
}

/// This program again, as a host of its own that plays `role` in the test `name`; what it told, and the rest of its output.
fn host(name: &str, role: &str) -> (Child, String, impl Sized) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([name, "--exact", "--nocapture"]).env(ROLE, role).stdout(Stdio::piped());
    let mut host = command.spawn().unwrap();
    let mut lines = BufReader::new(host.stdout.take().unwrap()).lines();
    let line = lines.find_map(|line| line.unwrap().split_once("told: ").map(|(_, told)| told.to_owned())).unwrap();
    (host, line, lines)
}

fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

#[test]
fn c3_what_was_prepared_keeps_as_any_other_and_is_used_once() {
    let keeper = Keeper::new().unwrap();
    // The thread that prepares it ends, which a keeper is told as the end of its host may be.
    std::thread::scope(|scope| scope.spawn(|| keeper.prepare()).join().unwrap());
    let waiting = keeper.prepared_id().unwrap();
    keeper.prepare();
    assert_eq!(keeper.prepared_id(), Some(waiting), "one is enough");
    let daemon = "setsid sh -c 'setsid sleep 1000 >/dev/null 2>&1 & echo $!'; cut -d' ' -f4,5,6 /proc/$$/stat; echo $$ /proc/$$/fd/*; exit 7";
    let (text, told) = whole(&keeper, &shell(daemon));
    let lines: Vec<&str> = text.lines().collect();
    let [daemon, ids, own] = lines.as_slice() else { panic!("{text}") };
    let own: Vec<&str> = own.split(' ').collect();
    let ids: Vec<&str> = ids.split(' ').collect();
    let waited = waiting.to_string();
    assert_eq!(ids, [waited.as_str(), own[0], waited.as_str()], "parent, group and session");
    // The shell itself holds the directory open while it lists it.
    assert!(own.len() <= 5 && own[1..4].iter().all(|name| name.contains("/fd/")), "{text}");
    assert_eq!(told, Told::Ended(7 << 8));
    assert!(!alive(daemon.parse().unwrap()) && !alive(waiting));
    assert_eq!(keeper.prepared_id(), None);
    assert_eq!(whole(&keeper, &shell("echo again")), ("again\n".to_owned(), Told::Ended(0)));
}

#[test]
fn x2_a_held_program_and_its_scripts_come_to_their_places() {
    let folder = std::env::temp_dir().join(format!("cofferdam-ahead-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let write = |name: &str, text: &str| {
        std::fs::write(folder.join(name), text).unwrap();
        std::fs::set_permissions(folder.join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    write("inner", "#!/bin/sh\n. \"$1\"\n");
    write("outer", &format!("#!{}\necho held /proc/$$/fd/*\n", folder.join("inner").display()));
    let held = HeldProgram::open(&folder.join("outer"), &|_| Ok(())).unwrap();
    // What the names lead to now is not what was opened.
    for name in ["inner", "outer"] {
        std::fs::remove_file(folder.join(name)).unwrap();
        write(name, "#!/bin/sh\necho exchanged\n");
    }
    let arguments = ProgramPlan::held_arguments(&held, "outer".to_owned(), Vec::new());
    let plan = ProgramPlan { held: Some(held), arguments, ..shell("") };
    let keeper = Keeper::new().unwrap();
    keeper.prepare();
    let (text, told) = whole(&keeper, &plan);
    assert!(text.starts_with("held ") && told == Told::Ended(0), "{text} {told:?}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_plan_too_long_to_be_sent_gets_a_keeper_of_its_own_and_one_with_many_arguments_does_not() {
    let keeper = Keeper::new().unwrap();
    keeper.prepare();
    let waiting = keeper.prepared_id();
    let mut long = shell("echo ${#LONG}");
    long.variables.push(format!("LONG={}", "x".repeat(100_000)));
    assert_eq!(whole(&keeper, &long), ("100000\n".to_owned(), Told::Ended(0)));
    assert_eq!(keeper.prepared_id(), waiting, "it waits for the next");
    let mut many = shell("echo $#");
    many.arguments.extend(std::iter::repeat_n("a".to_owned(), 5000));
    assert_eq!(whole(&keeper, &many), ("4999\n".to_owned(), Told::Ended(0)));
    assert_eq!(keeper.prepared_id(), None);
}

#[test]
fn c3_a_program_that_kills_its_keeper_is_told_as_having_run_and_ends() {
    let keeper = Keeper::new().unwrap();
    keeper.prepare();
    for _ in 0..2 {
        let (kept, mut output) = start(&keeper, &shell("echo $$; kill -9 $PPID; exec sleep 1000"));
        assert_eq!(end_of(&kept), Told::Gone);
        let mut text = String::new();
        output.read_to_string(&mut text).unwrap();
        assert_eq!(text.trim().parse(), Ok(kept.program_id()));
        assert!(ends(text.trim().parse().unwrap()));
        kept.reap();
    }
}

#[test]
fn what_keeps_a_program_from_starting_is_told_by_a_prepared_keeper_too() {
    let null = std::fs::File::open("/dev/null").unwrap();
    let keeper = Keeper::new().unwrap();
    keeper.prepare();
    let waiting = keeper.prepared_id().unwrap();
    let missing = ProgramPlan { program: "/no/such/program".into(), ..shell("") };
    let error = keeper.start(&missing, [null.as_fd(), null.as_fd(), null.as_fd()]).unwrap_err();
    assert_eq!(error.code, ErrorCode::ProgramNotFound);
    assert!(ends(waiting));
}

#[test]
fn one_that_was_killed_or_stopped_while_it_waited_costs_no_run() {
    let keeper = Keeper::new().unwrap();
    keeper.prepare();
    let killed = keeper.prepared_id().unwrap();
    kill(Pid::from_raw(killed), Signal::SIGKILL).unwrap();
    assert!(ends(killed));
    assert_eq!(whole(&keeper, &shell("echo on")), ("on\n".to_owned(), Told::Ended(0)));
    keeper.prepare();
    kill(Pid::from_raw(keeper.prepared_id().unwrap()), Signal::SIGSTOP).unwrap();
    assert_eq!(whole(&keeper, &shell("echo on")), ("on\n".to_owned(), Told::Ended(0)));
}

#[test]
fn one_that_is_killed_with_a_plan_it_has_not_read_costs_no_run() {
    let keeper = Keeper::new().unwrap();
    for _ in 0..10 {
        keeper.prepare();
        let waiting = Pid::from_raw(keeper.prepared_id().unwrap());
        kill(waiting, Signal::SIGSTOP).unwrap();
        std::thread::scope(|scope| {
            let killer = scope.spawn(|| {
                while keeper.prepared_id().is_some() {
                    std::thread::yield_now();
                }
                // It was taken. The plan is sent within this time, and a stopped one is looked after later.
                std::thread::sleep(Duration::from_millis(20));
                kill(waiting, Signal::SIGKILL)
            });
            assert_eq!(whole(&keeper, &shell("echo on")), ("on\n".to_owned(), Told::Ended(0)));
            killer.join().unwrap().unwrap();
        });
    }
}

#[test]
fn c9_one_that_waits_ends_with_its_owner_also_when_stopped() {
    let keeper = Keeper::new().unwrap();
    keeper.prepare();
    let waiting = keeper.prepared_id().unwrap();
    kill(Pid::from_raw(waiting), Signal::SIGSTOP).unwrap();
    drop(keeper);
    assert!(!alive(waiting));
}

#[test]
fn c9_one_that_waits_ends_with_a_host_that_is_killed() {
    if role().is_some() {
        let keeper = Keeper::new().unwrap();
        keeper.prepare();
        println!("told: {}", keeper.prepared_id().unwrap());
        loop {
            std::thread::park();
        }
    }
    let (mut host, waiting, _output) = host("c9_one_that_waits_ends_with_a_host_that_is_killed", "wait");
    let waiting = waiting.parse().unwrap();
    assert!(alive(waiting));
    host.kill().unwrap();
    host.wait().unwrap();
    assert!(ends(waiting), "it outlived its host");
}

#[test]
fn what_was_prepared_under_another_user_starts_nothing() {
    const NOBODY: u32 = 65534;
    if role().is_some() {
        let keeper = Keeper::new().unwrap();
        keeper.prepare();
        let waiting = keeper.prepared_id().unwrap();
        setresuid(Uid::from_raw(NOBODY), Uid::from_raw(NOBODY), Uid::from_raw(NOBODY)).unwrap();
        let (text, _) = whole(&keeper, &shell("cut -d' ' -f4 /proc/$$/stat; id -u"));
        println!("told: {waiting} {}", text.replace('\n', " "));
        return;
    }
    if !getuid().is_root() {
        println!("skipped: only root can become somebody else");
        return;
    }
    let (mut host, told, _output) = host("what_was_prepared_under_another_user_starts_nothing", "change");
    host.wait().unwrap();
    let words: Vec<&str> = told.split_whitespace().collect();
    let [waiting, parent, user] = words.as_slice() else { panic!("{told}") };
    assert_ne!(waiting, parent, "the keeper of another user was used");
    assert_eq!(*user, NOBODY.to_string());
    assert!(ends(waiting.parse().unwrap()));
}

#[test]
fn what_was_prepared_with_more_groups_starts_nothing() {
    const GROUP: u32 = 54321;
    if role().is_some() {
        setgroups(&[Gid::from_raw(GROUP)]).unwrap();
        let keeper = Keeper::new().unwrap();
        keeper.prepare();
        setgroups(&[]).unwrap();
        let (text, _) = whole(&keeper, &shell("echo groups $(id -G)"));
        println!("told: {text}");
        return;
    }
    if !getuid().is_root() {
        println!("skipped: only root can have other groups");
        return;
    }
    let (mut host, told, _output) = host("what_was_prepared_with_more_groups_starts_nothing", "change");
    host.wait().unwrap();
    assert!(told.starts_with("groups ") && !told.contains(&GROUP.to_string()), "a group that its host gave up: {told}");
}
