//! Every limit is hit for real wherever something else holds it: by a cgroup where one may be made, by rlimits and the supervisor's look
//! where none may, in the tier without namespaces. As another user, the same tests run once more.

use cofferdam_tests::command::{audit_place, binary, run, run_without_namespaces};
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Where something is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    AsItIs,
    /// Nobody finds a cgroup.
    WithoutCgroups,
    WithoutNamespaces,
}

const PLACES: [Place; 3] = [Place::AsItIs, Place::WithoutCgroups, Place::WithoutNamespaces];

/// Hides the cgroups of the machine from what it starts.
const HIDE: &str = "mount -t tmpfs none /sys/fs/cgroup && exec \"$@\"";

/// The command in its place; `None`: it cannot be made here.
fn command(place: Place, workspace: &Path, policy: &str, program: &[&str]) -> Option<Command> {
    let options = ["--json", "--policy", policy];
    match place {
        Place::AsItIs => Some(run(workspace, &options, program)),
        Place::WithoutNamespaces => {
            Some(run_without_namespaces(workspace, &[&options[..], &["--isolation", "landlock"]].concat(), program))
        }
        // Only root has any to hide.
        Place::WithoutCgroups if !nix::unistd::geteuid().is_root() => None,
        Place::WithoutCgroups => {
            let mut command = Command::new("unshare");
            command
                .env("COFFERDAM_AUDIT", audit_place())
                .args(["--mount", "sh", "-c", HIDE, "sh"])
                .arg(binary())
                .arg("run")
                .arg("--workspace")
                .arg(workspace);
            command.args(options).arg("--").args(program).current_dir(workspace);
            Some(command)
        }
    }
}

/// Runs under `limits` in every place; calls `look` with the place and its result.
fn everywhere(limits: &str, program: &[&str], look: impl Fn(Place, &Value)) {
    for place in PLACES {
        let scratch = Scratch::new();
        let wall = if limits.contains("wall") { "" } else { "wall = \"30s\"\n" };
        let text = format!("version = 1\nextends = \"dev\"\n[limits]\n{wall}{limits}\n");
        let policy = scratch.write("policy.toml", &text).display().to_string();
        let Some(mut command) = command(place, scratch.path(), &policy, program) else { continue };
        let output = command.output().unwrap();
        let result: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{place:?}: {error}: {}", String::from_utf8_lossy(&output.stderr)));
        look(place, &result);
    }
}

/// Runs into the limit `name` in every place: the cause names it, its value, and who held it.
fn hit(name: &str, limits: &str, program: &[&str], by_cgroup: &str) {
    everywhere(limits, program, |place, result| {
        let cause = &result["cause"];
        assert_eq!((&cause["cause"], &cause["limit"]), (&"limit".into(), &name.into()), "{place:?}: {result}");
        let by = cause["held_by"].as_str().unwrap_or_default();
        assert!(!by.is_empty(), "{place:?}: {cause}");
        let in_cgroup = place != Place::WithoutCgroups && nix::unistd::geteuid().is_root() && !by_cgroup.is_empty();
        if in_cgroup && result["enforcement"]["mechanisms"].to_string().contains(by_cgroup) {
            assert!(by.contains("cgroup"), "{place:?}: {cause}");
        } else {
            assert!(!by.contains("cgroup"), "{place:?}: {cause}");
        }
    });
}

#[test]
fn memory_of_one_process() {
    if skip::program("python3").is_some() {
        let eat = "x = []\nwhile True: x.append(bytearray(1 << 20))";
        hit("memory", "memory = \"64MiB\"", &["python3", "-c", eat], "cgroup v1 memory");
    }
}

#[test]
fn memory_of_many_processes() {
    if skip::program("python3").is_some() {
        let eat = "import os, time\nfor _ in range(8):\n\tif os.fork() == 0:\n\t\tx = bytearray(16 << 20); time.sleep(30)\ntime.sleep(30)";
        hit("memory", "memory = \"64MiB\"", &["python3", "-c", eat], "cgroup v1 memory");
    }
}

#[test]
fn processes() {
    let fork = "i=0; while [ $i -lt 300 ]; do sleep 30 & i=$((i+1)); done 2> /dev/null; wait";
    hit("processes", "processes = 40", &["sh", "-c", fork], "cgroup v1 pids");
}

#[test]
fn processor_time_of_all_processes() {
    let spin = "for i in 1 2 3; do while :; do :; done & done; wait";
    hit("cpu", "cpu = \"500ms\"", &["sh", "-c", spin], "");
}

#[test]
fn processor_time_of_many_short_children() {
    let spin = "while :; do /bin/true; done";
    hit("cpu", "cpu = \"300ms\"", &["sh", "-c", spin], "");
}

#[test]
fn open_files() {
    if skip::program("python3").is_some() {
        let open = "import os\nx = []\nwhile True:\n\ttry: x.append(os.open('/dev/null', 0))\n\texcept OSError: pass";
        hit("open_files", "open_files = 100", &["python3", "-c", open], "");
    }
}

#[test]
fn one_file_that_is_too_long() {
    hit("disk", "disk = \"1MiB\"", &["sh", "-c", "exec head -c 8000000 /dev/zero > big"], "");
}

#[test]
fn res_05_many_files_that_are_too_much_together() {
    let fill = "i=0; while [ $i -lt 64 ]; do head -c 1000000 /dev/zero > f$i; i=$((i+1)); done; sleep 30";
    everywhere("disk = \"8MiB\"", &["sh", "-c", fill], |place, result| {
        assert_eq!(result["cause"]["limit"], "disk", "{place:?}: {result}");
    });
}

#[test]
fn a_file_that_is_written_over_and_over_takes_no_more_than_itself() {
    // Far more than what the tests beside this one take of the same file system meanwhile.
    let write = "i=0; while [ $i -lt 60 ]; do head -c 5000000 /dev/zero > same; i=$((i+1)); done";
    everywhere("disk = \"256MiB\"", &["sh", "-c", write], |place, result| {
        assert_eq!(result["cause"]["cause"], "exited", "{place:?}: {result}");
    });
}

#[test]
fn wall_time() {
    everywhere("wall = \"300ms\"", &["sleep", "30"], |place, result| {
        assert_eq!(result["cause"]["cause"], "timed_out", "{place:?}: {result}");
    });
}

#[test]
fn output_of_either_kind() {
    hit("stdout", "stdout = \"64KiB\"", &["yes"], "");
    hit("stderr", "stderr = \"64KiB\"", &["sh", "-c", "exec yes >&2"], "");
}

#[test]
fn a_run_within_its_limits_is_not_touched() {
    let limits = "memory = \"64MiB\"\nprocesses = 40\ncpu = \"5s\"\nopen_files = 100\ndisk = \"8MiB\"";
    let line = "head -c 1000000 /dev/zero > one; for i in 1 2 3 4 5; do cat one > /dev/null & done; wait; echo well";
    everywhere(limits, &["sh", "-c", line], |place, result| {
        assert_eq!(
            (&result["cause"]["cause"], &result["stdout"]),
            (&"exited".into(), &"well\n".into()),
            "{place:?}: {result}"
        );
    });
}
