//! The test command: everything that can be tested here, and a plain word about what cannot.

use crate::workspace::{fresh_folder, output, root, run as tool, say};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// The unprivileged user as whom root runs the end-to-end tests once more.
const USER: &str = "tester";

/// What has nothing to do with explaining: no guest is judged there by what it asks for, or explaining is what is tested.
const NOT_EXPLAINED: [&str; 17] = [
    "audit_crash",
    "changes_crash",
    "changes_property",
    "doctor",
    "exec",
    "exec_held",
    "exec_load",
    "exec_race",
    "exec_secrets",
    "explain",
    "explained_effects",
    "learn",
    "registries",
    "session_containment",
    "session_host",
    "session_terminal",
    "wire_planes",
];

/// What is the same for every user, and takes long: machines of others answer it.
const OF_NO_USER: [&str; 1] = ["registries"];

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
    skipped: u64,
}

/// Installs what is missing, builds, and runs.
pub(crate) fn run(_: &[String]) -> Result<(), String> {
    tool("bash", &["scripts/setup.sh"])?;
    let folder = fresh_folder("skips")?;
    let log = folder.join("log");
    fs::write(&log, "").map_err(|error| error.to_string())?;
    // The other user's tests write there, too.
    let _ = tool("chmod", &["666", &log.to_string_lossy()]);
    let outcome = run_all(&log);
    let skipped = fs::read_to_string(&log).unwrap_or_default();
    let _ = fs::remove_dir_all(&folder);
    let mut tally = outcome?;
    for line in skipped.lines() {
        say(line);
    }
    let skips = skipped.lines().count() as u64;
    tally.skipped += skips;
    tally.passed = tally.passed.saturating_sub(skips);
    say(&format!("{} passed, {} failed, {} skipped", tally.passed, tally.failed, tally.skipped));
    if tally.failed == 0 { Ok(()) } else { Err("tests failed".to_owned()) }
}

fn run_all(log: &Path) -> Result<Tally, String> {
    // The selection of the tests, so that both are built of the same libraries.
    tool("cargo", &["build", "--quiet", "--workspace", "--all-features", "--bin", "cofferdam"])?;
    let mut tally = Tally::default();
    let log = format!("COFFERDAM_SKIP_LOG={}", log.display());
    add(&mut tally, &[&log, "cargo", "test", "--workspace", "--all-features", "--no-fail-fast"])?;
    let (tests, command) = end_to_end()?;
    explained(&mut tally, &log, &tests, &command)?;
    if is_root()? {
        unprivileged(&mut tally, &log, &tests, &command)?;
    } else {
        say("note: run by root, the end-to-end tests are run once more as an unprivileged user; here they ran as you");
    }
    Ok(tally)
}

/// The end-to-end tests as they were built, and the command that they test.
fn end_to_end() -> Result<(PathBuf, PathBuf), String> {
    let built = output(
        "cargo",
        &["test", "--workspace", "--all-features", "--test", "all", "--no-run", "--message-format=json"],
    )?;
    let tests = String::from_utf8_lossy(&built.stdout)
        .lines()
        .filter_map(executable)
        .next_back()
        .ok_or("the tests were not built")?;
    let command = tests.ancestors().nth(2).map(|folder| folder.join("cofferdam")).ok_or("no target folder")?;
    Ok((tests, command))
}

/// The end-to-end tests once more with every run explained, which must change no outcome.
fn explained(tally: &mut Tally, log: &str, tests: &Path, command: &Path) -> Result<(), String> {
    let command = format!("COFFERDAM_BIN={}", command.display());
    let (tests, skips) = (tests.display().to_string(), without(&NOT_EXPLAINED));
    let skips: Vec<_> = skips.iter().map(String::as_str).collect();
    add(tally, &[&["--chdir=tests", log, &command, "COFFERDAM_EXPLAIN=1", &tests], skips.as_slice()].concat())
}

/// The toolchain may lie where the other user cannot go, so command and tests are copied to where everybody can.
fn unprivileged(tally: &mut Tally, log: &str, tests: &Path, command: &Path) -> Result<(), String> {
    let folder = fresh_folder("as-user")?;
    let place = folder.to_string_lossy().into_owned();
    let outcome = copy_and_run(tally, log, &place, tests, command);
    let _ = fs::remove_dir_all(&folder);
    outcome
}

fn copy_and_run(tally: &mut Tally, log: &str, place: &str, tests: &Path, command: &Path) -> Result<(), String> {
    for file in [tests, command] {
        tool("install", &["-m", "755", &file.to_string_lossy(), place])?;
    }
    let name = tests.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let without = without(&OF_NO_USER).join(" ");
    let line = format!("cd /tmp && {log} COFFERDAM_BIN={place}/cofferdam exec {place}/{name} {without}");
    add(tally, &["su", USER, "-c", &line])
}

/// The options of the test harness that leave out the tests of these modules.
fn without(modules: &[&str]) -> Vec<String> {
    modules.iter().flat_map(|name| ["--skip".to_owned(), format!("{name}::")]).collect()
}

/// Where the end-to-end tests begin.
const END_TO_END: &str = "tests/tests/all/main.rs";

/// The executable of the end-to-end tests, if a message of cargo names it.
fn executable(line: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    let source = message.get("target")?.get("src_path")?.as_str()?;
    message.get("executable")?.as_str().filter(|_| source.ends_with(END_TO_END)).map(PathBuf::from)
}

/// Runs a command that prints results of tests, shows them, and adds them up.
fn add(tally: &mut Tally, arguments: &[&str]) -> Result<(), String> {
    say(&format!("$ {}", arguments.join(" ")));
    let ran = crate::workspace::tool("env", arguments)
        .env(THREADS, threads())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&ran.stdout).into_owned();
    say(&text);
    let seen = count(&text);
    tally.passed += seen.passed;
    tally.failed += seen.failed;
    tally.skipped += seen.skipped;
    if !ran.status.success() && seen.failed == 0 {
        // It did not get as far as a count: that is no success either.
        tally.failed += 1;
    }
    Ok(())
}

/// What the test harness reads.
const THREADS: &str = "RUST_TEST_THREADS";

/// How many tests run at once, where nobody has said: half as many again as there are processors, since they often wait for what they started.
fn threads() -> String {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    std::env::var(THREADS).unwrap_or_else(|_| (processors + processors / 2).to_string())
}

/// Adds up the lines `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
fn count(text: &str) -> Tally {
    let mut tally = Tally::default();
    for line in text.lines().filter_map(|line| line.trim().strip_prefix("test result:")) {
        let number = |name: &str| {
            let before = line.split_once(name).map(|(before, _)| before.trim_end()).unwrap_or_default();
            before.rsplit(' ').next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0)
        };
        tally.passed += number("passed");
        tally.failed += number("failed");
        tally.skipped += number("ignored");
    }
    tally
}

fn is_root() -> Result<bool, String> {
    Ok(output("id", &["-u"])?.stdout.starts_with(b"0\n") && root().exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_added_up() {
        let text = "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured\nx\ntest result: FAILED. 10 passed; 2 failed; 0 ignored;";
        assert_eq!(count(text), Tally { passed: 13, failed: 2, skipped: 1 });
    }
}
