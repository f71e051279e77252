//! A host at its limits: each run is a right one or a clear refusal with a code; never a hang, a panic, or less than was asked for.

use cofferdam_tests::command::{binary, text};
use cofferdam_tests::observe::within;
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;
use serde_json::Value;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

const TIERS: [&str; 2] = ["full", "landlock"];

/// What is run: it tells that it ran, and looks for what it may not see.
fn line(outside: &Scratch) -> String {
    format!("cat {}/canary; echo ran", outside.path().display())
}

/// The arguments of a run in `workspace` that asks for `tier`.
fn arguments(workspace: &Path, tier: &str, line: &str) -> Vec<String> {
    let run = [
        "run",
        "--no-audit",
        "--json",
        "--workspace",
        workspace.to_str().unwrap(),
        "--isolation",
        tier,
        "--",
        "sh",
        "-c",
        line,
    ];
    std::iter::once(binary().display().to_string()).chain(run.map(str::to_owned)).collect()
}

/// It ran right, or it was refused with a code and a sentence. Answers whether it ran.
#[track_caller]
fn assert_right_or_told(what: &str, tier: &str, output: &Output) -> bool {
    let said = text(&output.stderr);
    // A program that is refused memory for itself is ended by the runtime of its language, with a word on why; with it ends the run.
    // Where its stack cannot grow the kernel ends it without one (setrlimit(2), RLIMIT_AS).
    let by_stack = output.status.signal() == Some(nix::libc::SIGSEGV) && output.stdout.is_empty();
    let ended = output.status.code().is_none() && (by_stack || said.to_lowercase().contains("memory"));
    if ended && what.starts_with("as ") {
        return false;
    }
    // The runtime panics by itself where a new thread finds no memory for its signal stack; what started the thread tells of it.
    let by_runtime = |line: &str| what.starts_with("as ") && line.contains("/unix/stack_overflow.rs:");
    let panicked = said.lines().any(|line| line.contains("panicked") && !by_runtime(line));
    assert!(!panicked && !text(&output.stdout).contains("SECRET"), "{what}: {output:?}");
    let told: Result<Value, _> = serde_json::from_slice(&output.stdout);
    let Ok(result) = told else {
        // Not even the loader had what it needs, or the one object could not be written: then nothing ran.
        assert!(matches!(output.status.code(), Some(125..=127)) && !said.is_empty(), "{what}: {output:?}");
        return false;
    };
    let Some(error) = result["error"].as_object() else {
        let cause = &result["cause"];
        let held = result["enforcement"]["tier"].as_str().unwrap_or_default();
        assert!(held == "full" || held == tier, "{what}: less than was asked for: {result}");
        if cause["cause"] == "plane_fault" {
            assert!(cause["error"]["code"].as_str().is_some_and(|code| !code.is_empty()), "{what}: {result}");
            return false;
        }
        // A guest that finds no memory or no process for its own program ends by itself, and so is told.
        if cause["code"] == 0 {
            assert_eq!(result["stdout"], "ran\n", "{what}: {result}");
        }
        return cause["code"] == 0;
    };
    let named = |key: &str| error.get(key).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
    assert!(named("code") && named("message"), "{what}: {result}");
    assert_eq!(output.status.code(), Some(125), "{what}: {result}");
    false
}

/// Runs under `prlimit` with each of `limits`, in each tier. Answers how many runs there were, and how many ran.
#[track_caller]
fn under_limits(option: &str, limits: &[u64]) -> (usize, usize) {
    let (outside, inside) = (Scratch::new(), Scratch::new());
    outside.write("canary", "SECRET-CANARY");
    let mut ran = 0;
    for tier in TIERS {
        for limit in limits {
            let mut command = Command::new("timeout");
            command.args(["-k", "1", "20", "prlimit", &format!("--{option}={limit}:{limit}")]);
            let output = command.args(arguments(inside.path(), tier, &line(&outside))).output().unwrap();
            ran += usize::from(assert_right_or_told(&format!("{option} {limit} {tier}"), tier, &output));
        }
    }
    (limits.len() * TIERS.len(), ran)
}

#[test]
fn few_descriptors_are_told() {
    let (runs, ran) = under_limits("nofile", &[3, 4, 5, 6, 8, 10, 12, 14, 16, 18, 20, 24, 28, 32, 48, 64]);
    assert!(0 < ran && ran < runs, "control: {ran} of {runs} ran, so that the limit was never or always met");
}

#[test]
fn few_processes_are_told() {
    if nix::unistd::geteuid().is_root() {
        return skip::skipped("no limit on processes binds root");
    }
    let (runs, ran) = under_limits("nproc", &[0, 1, 2, 3, 4, 5, 6, 8, 10, 50_000]);
    assert!(0 < ran && ran < runs, "control: {ran} of {runs} ran");
}

#[test]
fn little_memory_is_told() {
    // Below this the kernel cannot even map the command, and ends it by a signal before its first instruction (execve(2)).
    let maps = |quarter: &u64| {
        let mut command = Command::new("prlimit");
        let output = command.arg(format!("--as={}", quarter << 18)).arg(binary()).arg("--version").output().unwrap();
        output.status.signal().is_none()
    };
    let least = (8..400).find(maps).unwrap();
    // From where the loader finds too little, in small steps to where everything has enough.
    let steps = (least..least + 12).map(|quarter| quarter << 18);
    let sizes: Vec<u64> = steps.chain([(least << 18) + (8 << 20), 64 << 20, 512 << 20]).collect();
    let (runs, ran) = under_limits("as", &sizes);
    assert!(0 < ran && ran < runs, "control: {ran} of {runs} ran");
}

/// Runs in mounts of the test's own, made by `make`, which finds the workspace as `$1`.
#[track_caller]
fn with_mounts(what: &str, make: &str, control: &str) {
    for tier in TIERS {
        let (outside, inside) = (Scratch::new(), Scratch::new());
        outside.write("canary", "SECRET-CANARY");
        // The lower tier is met where no further namespaces can be made.
        let none = if tier == "landlock" { "echo 0 > /proc/sys/user/max_user_namespaces || exit 77\n" } else { "" };
        let script = format!("{none}({make}) >&2 || exit 77\n{control} >&2 || exit 78\nshift; exec \"$@\"");
        let mut command = Command::new("timeout");
        command.args(["-k", "1", "20", "unshare", "-Urm", "sh", "-c", &script, "sh", inside.path().to_str().unwrap()]);
        let output = command.args(arguments(inside.path(), tier, &line(&outside))).output().unwrap();
        if output.status.code() == Some(77) {
            return skip::skipped(&format!("{what} cannot be made here: {}", text(&output.stderr).trim()));
        }
        assert_ne!(output.status.code(), Some(78), "{what} {tier}: the control failed: {output:?}");
        assert_right_or_told(&format!("{what} {tier}"), tier, &output);
    }
}

#[test]
fn a_full_disk_is_told() {
    with_mounts(
        "a full disk",
        "mount -t tmpfs -o size=64k none $1 && cd $1 && ! head -c 1000000 /dev/zero > full",
        "! sh -c 'echo more words > $1/more' sh $1",
    );
    // Where temporary storage would be made, and every write to it fails.
    with_mounts(
        "a full temporary directory",
        "mkdir $1/t && mount -t tmpfs -o size=16k,nr_inodes=2 none $1/t && touch $1/t/last && export TMPDIR=$1/t",
        "! touch $1/t/more 2>/dev/null",
    );
}

#[test]
fn a_read_only_temporary_directory_is_told() {
    with_mounts(
        "a read-only /tmp",
        "mount --bind /tmp /tmp && mount -o remount,bind,ro /tmp",
        "! touch /tmp/cofferdam-made 2>/dev/null",
    );
}

#[test]
fn a_machine_without_proc_is_told() {
    with_mounts("no /proc", "mount -t tmpfs none /proc", "! test -e /proc/self");
}

#[test]
fn a_machine_with_hardly_any_devices_is_told() {
    let make = "mount -t tmpfs none /mnt && for d in null zero urandom; do touch /mnt/$d && mount --bind /dev/$d /mnt/$d || exit 1; done && \
                mount --bind /mnt /dev";
    with_mounts("no /dev/shm", make, "! test -e /dev/shm");
    with_mounts("an empty /dev", "mount -t tmpfs -o ro none /dev", "! test -e /dev/null");
}

#[test]
fn a_machine_without_cgroups_is_told() {
    with_mounts("no cgroups", "mount -t tmpfs -o ro none /sys", "! test -e /sys/fs/cgroup");
}

#[test]
fn a_workspace_that_is_gone_or_shut_is_told() {
    for tier in TIERS {
        let inside = Scratch::new();
        let gone = inside.join("gone");
        let run = |place: &Path| {
            let arguments = arguments(place, tier, "echo ran");
            Command::new(&arguments[0]).args(&arguments[1..]).current_dir("/").output().unwrap()
        };
        assert!(!assert_right_or_told("a workspace that is gone", tier, &run(&gone)));
        std::fs::write(&gone, "").unwrap();
        assert!(!assert_right_or_told("a workspace that is a file", tier, &run(&gone)));
        std::fs::remove_file(&gone).unwrap();
        std::fs::create_dir(&gone).unwrap();
        std::fs::set_permissions(&gone, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
        assert_right_or_told("a workspace that is shut", tier, &run(&gone));
        std::fs::set_permissions(&gone, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    }
}

/// A run that sends a datagram to nobody once its host has as few descriptors as `few` leaves it. Until then nothing is there to look.
fn asks_late(few: bool) -> Output {
    let place = Scratch::new();
    let program = "import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
open('began', 'w').close()
sys.stdin.read()
s.sendto(b'?', ('192.0.2.1', 9))
time.sleep(2)
print('went on')
sys.exit(3)";
    let mut command = Command::new(binary());
    command.args(["run", "--no-audit", "--isolation", "full", "--no-tty", "--workspace"]).arg(place.path());
    command.args(["--allow-net", "api.test:80", "--", "python3", "-c", program]);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    assert!(within(Duration::from_secs(30), || place.path().join("began").exists()), "it did not begin");
    if few {
        let taken = |number: &u32| Path::new(&format!("/proc/{}/fd/{number}", child.id())).exists();
        let free = (0..).find(|number| !taken(number)).unwrap();
        let (pid, most) = (child.id().to_string(), format!("--nofile={free}:"));
        assert!(Command::new("prlimit").args(["--pid", &pid, &most]).status().unwrap().success());
    }
    // With the end of its input it goes on.
    child.wait_with_output().unwrap()
}

#[test]
fn a_network_that_cannot_begin_ends_its_run_and_says_so() {
    if skip::program("python3").is_none() {
        return;
    }
    let output = asks_late(false);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(3), "went on\n"), "control: {output:?}");
    assert!(text(&output.stderr).contains("192.0.2.1"), "control: {output:?}");
    let output = asks_late(true);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(125), ""), "{output:?}");
    assert!(text(&output.stderr).contains("what the run asked of its network"), "{output:?}");
}
