//! Runs that want too much are ended by the right limit, which is named; the host goes on.

use cofferdam_tests::command::{run, text};
use cofferdam_tests::observe;
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;
use std::time::{Duration, Instant};

/// Runs with `--json` and a policy made of `limits`, and answers cause and exit code.
fn limited(limits: &str, program: &[&str]) -> (serde_json::Value, i32) {
    let scratch = Scratch::new();
    let policy = scratch.write("policy.toml", &format!("version = 1\nextends = \"dev\"\n[limits]\n{limits}\n"));
    let output = run(scratch.path(), &["--json", "--policy", &policy.display().to_string()], program).output().unwrap();
    let value: serde_json::Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (value["cause"].clone(), output.status.code().unwrap_or(-1))
}

#[test]
fn res_01_a_fork_bomb_is_ended_by_the_limit_on_processes() {
    let marker = format!("bomb{}", std::process::id());
    let bomb = format!("b() {{ b {marker} | b & }}; b; sleep 60");
    let (cause, _) = limited("processes = 64\nwall = \"20s\"", &["bash", "-c", &bomb]);
    assert_eq!(cause["limit"], "processes", "{cause}");
    assert!(observe::within(Duration::from_secs(1), || observe::processes_with(&marker).is_empty()));
}

#[test]
fn res_03_a_memory_bomb_is_ended_by_the_limit_on_memory() {
    if skip::program("python3").is_none() {
        return;
    }
    let (cause, _) = limited(
        "memory = \"64MiB\"\nwall = \"20s\"",
        &["python3", "-c", "x = []\nwhile True: x.append(bytearray(1 << 20))"],
    );
    assert_eq!(cause["limit"], "memory", "{cause}");
}

#[test]
fn res_03_memory_counts_for_the_whole_tree() {
    if skip::program("python3").is_none() {
        return;
    }
    let script = "import os, time\nfor _ in range(8):\n\tif os.fork() == 0:\n\t\tx = bytearray(16 << 20); time.sleep(30); os._exit(0)\ntime.sleep(30)";
    let (cause, _) = limited("memory = \"64MiB\"\nwall = \"20s\"", &["python3", "-c", script]);
    assert_eq!(cause["limit"], "memory", "{cause}");
}

#[test]
fn res_08_endless_output_is_ended_by_its_limit() {
    let (cause, _) = limited("stdout = \"1MiB\"\nwall = \"20s\"", &["yes"]);
    assert_eq!(cause["limit"], "stdout", "{cause}");
    let (cause, _) = limited("stderr = \"1MiB\"\nwall = \"20s\"", &["sh", "-c", "yes >&2"]);
    assert_eq!(cause["limit"], "stderr", "{cause}");
}

#[test]
fn res_07_ten_thousand_open_files_are_ended_by_their_limit() {
    if skip::program("python3").is_none() {
        return;
    }
    let script = "import os\nopened = []\nwhile True:\n\ttry:\n\t\topened.append(os.open('/dev/null', 0))\n\texcept OSError: pass\n";
    let (cause, _) = limited("open_files = 200\nwall = \"20s\"", &["python3", "-c", script]);
    assert_eq!(cause["limit"], "open_files", "{cause}");
}

#[test]
fn res_14_processor_time_counts_for_all_processes() {
    let (cause, _) =
        limited("cpu = \"1s\"\nwall = \"20s\"", &["sh", "-c", "while :; do :; done & while :; do :; done & wait"]);
    assert_eq!(cause["limit"], "cpu", "{cause}");
}

#[test]
fn res_05_a_file_past_the_disk_limit_ends_the_run() {
    let (cause, _) = limited("disk = \"1MiB\"\nwall = \"20s\"", &["sh", "-c", "exec head -c 8000000 /dev/zero > big"]);
    assert_eq!(cause["limit"], "disk", "{cause}");
}

#[test]
fn res_13_a_program_that_ignores_sigterm_is_ended_by_the_wall_limit() {
    let started = Instant::now();
    let (cause, code) = limited("wall = \"500ms\"", &["sh", "-c", "trap '' TERM INT HUP; while :; do sleep 1; done"]);
    assert_eq!((cause["cause"].as_str(), code), (Some("timed_out"), 124), "{cause}");
    assert!(started.elapsed() >= Duration::from_millis(500));
}

#[test]
fn the_result_names_what_held_each_limit() {
    let scratch = Scratch::new();
    let output = run(scratch.path(), &["--json"], &["true"]).output().unwrap();
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let mechanisms = value["enforcement"]["mechanisms"].as_array().unwrap();
    let by = |name: &str| {
        mechanisms
            .iter()
            .find(|one| one["mechanism"] == name)
            .map(|one| text(one["by"].as_str().unwrap_or_default().as_bytes()))
    };
    for limit in ["memory_limit", "processes_limit", "open_files_limit", "disk_limit", "output_limit"] {
        assert!(by(limit).is_some_and(|by| !by.is_empty()), "{limit}: {value}");
    }
}

#[test]
fn what_a_run_used_is_counted_by_the_kernel_in_every_tier() {
    let scratch = Scratch::new();
    let line = "head -c 3000000 /dev/zero | cat > written; for i in 1 2 3; do true; /bin/true; done";
    for tier in ["full", "landlock"] {
        let output = run(scratch.path(), &["--json", "--isolation", tier], &["sh", "-c", line]).output().unwrap();
        let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let number = |name: &str| value["usage"][name].as_u64().unwrap_or_else(|| panic!("no {name}: {value}"));
        // Twice through a pipe: head reads and writes, cat reads and writes.
        assert!((6_000_000..7_000_000).contains(&number("read_bytes")), "{value}");
        assert!((6_000_000..6_100_000).contains(&number("written_bytes")), "{value}");
        assert_eq!(number("tasks"), 6, "{value}");
        assert!(number("peak_memory_bytes") > 100_000, "{value}");
        assert!(number("user_us") + number("system_us") > 0, "{value}");
    }
}

#[test]
fn res_03_a_name_that_is_no_text_hides_no_process_from_its_limits() {
    if skip::program("python3").is_none() {
        return;
    }
    // Each stays below what it may use by itself (rlimit), and all together use far more than the limit.
    let script = "import ctypes, os, time\nctypes.CDLL(None).prctl(15, b'\\xff\\xfe', 0, 0, 0)\nfor _ in range(8):\n\tif os.fork() == 0:\n\t\tx = bytearray(b'x' * (40 << 20)); time.sleep(30); os._exit(0)\ntime.sleep(30)";
    let (cause, _) = limited("memory = \"64MiB\"\nwall = \"20s\"", &["python3", "-c", script]);
    assert_eq!(cause["limit"], "memory", "{cause}");
}
