//! `cargo xtask bench start`: start-to-exit of `/bin/true`, plain, in bubblewrap and in cofferdam, one after the other in turn.
//!
//! Machines are shared and noisy, so figures are ratios of medians from one interleaved run.

use crate::workspace::{fresh_folder, say};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

pub(super) const BUBBLEWRAP: [&str; 14] = [
    "bwrap",
    "--unshare-all",
    "--ro-bind",
    "/",
    "/",
    "--proc",
    "/proc",
    "--dev",
    "/dev",
    "--tmpfs",
    "/tmp",
    "--cap-drop",
    "ALL",
    "--die-with-parent",
];

/// Starts that are not counted.
const WARM_UP: usize = 20;

/// Runs the benchmark.
pub(super) fn run(rounds: usize) -> Result<(), String> {
    let binary = built_command()?;
    let folder = fresh_folder("bench")?;
    let outcome = measure(&binary, &folder, rounds);
    let _ = std::fs::remove_dir_all(&folder);
    outcome
}

/// The command as it is installed.
pub(super) fn built_command() -> Result<String, String> {
    crate::dist::build()
}

fn measure(binary: &str, folder: &Path, rounds: usize) -> Result<(), String> {
    let own = |arguments: &[&str]| {
        [&[binary, "run"], arguments, &["--", "/bin/true"]].concat().into_iter().map(str::to_owned).collect()
    };
    let mut subjects: Vec<(&str, Vec<String>)> = vec![("plain", vec!["/bin/true".to_owned()])];
    if Command::new("bwrap").arg("--version").output().is_ok() {
        let line = BUBBLEWRAP.iter().copied().chain(["/bin/true"]).map(str::to_owned).collect();
        subjects.push(("bubblewrap", line));
    } else {
        say("bubblewrap is not installed: no comparison with it");
    }
    subjects.push(("cofferdam run", own(&[])));
    subjects.push(("cofferdam run --workspace", own(&["--workspace", "."])));
    let mut times: Vec<Vec<u128>> = vec![Vec::with_capacity(rounds); subjects.len()];
    for round in 0..rounds + WARM_UP {
        // The kernel clears up after each sandbox behind the next one's back, so nobody always follows the same one.
        for turn in 0..subjects.len() {
            let at = (turn + round) % subjects.len();
            let (Some((name, line)), Some(times)) = (subjects.get(at), times.get_mut(at)) else { continue };
            let time = once(line, folder).map_err(|why| format!("{name}: {why}"))?;
            if round >= WARM_UP {
                times.push(time);
            }
        }
    }
    report(&subjects, &mut times);
    Ok(())
}

fn once(line: &[String], folder: &Path) -> Result<u128, String> {
    let (program, arguments) = line.split_first().ok_or("nothing to run")?;
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null());
    let start = Instant::now();
    let status = command.status().map_err(|error| error.to_string())?;
    let time = start.elapsed().as_micros();
    if status.success() { Ok(time) } else { Err(format!("ended with {status}")) }
}

fn report(subjects: &[(&str, Vec<String>)], times: &mut [Vec<u128>]) {
    let at = |times: &[u128], share: usize| times.get(times.len() * share / 100).copied().unwrap_or(0) as f64;
    times.iter_mut().for_each(|times| times.sort_unstable());
    let median = |name: &str| {
        let place = subjects.iter().position(|(own, _)| *own == name)?;
        times.get(place).map(|times| at(times, 50))
    };
    let plain = median("plain").unwrap_or(1.0);
    say("| start-to-exit of /bin/true | median µs | p25–p75 | p95 | × plain | × bubblewrap |");
    say("| --- | --- | --- | --- | --- | --- |");
    for ((name, _), times) in subjects.iter().zip(times.iter()) {
        let own = at(times, 50);
        let peer = median("bubblewrap").map_or_else(|| "–".to_owned(), |peer| format!("{:.2}", own / peer));
        let (low, high, late) = (at(times, 25), at(times, 75), at(times, 95));
        say(&format!("| {name} | {own:.0} | {low:.0}–{high:.0} | {late:.0} | {:.2} | {peer} |", own / plain));
    }
}
