//! What programs as functions cost on the host plane: `cargo xtask bench oneshot`.

use super::table::{Cell, Table};
use crate::workspace::{built, output, run as tool};

/// A one-shot may take this much longer than by `tokio::process` alone.
const MOST: f64 = 1.15;

/// Captured output comes at least at this part of the speed of `cat | wc -c`.
const LEAST: f64 = 0.8;

const COPY: &str = "import json, sys; json.dump(json.load(sys.stdin), sys.stdout)";

/// What is run: the cheapest program there is, and what such programs are written in.
const JOBS: [(&str, &[&str]); 2] = [("cat", &["/bin/cat"]), ("python3", &["/usr/bin/env", "python3", "-c", COPY])];

const HEAD: [&str; 5] = ["job", "subject", "median", "p25–p75", "× peer"];

/// Both tables. The aim is held by a plane that holds a keeper ready, as hosts that start many programs ask for; what a start costs that makes
/// its own is told beside it. The price is the same for every job (a keeper above the program), so it is the cheapest that shows it whole.
pub(super) fn run(rounds: usize) -> Result<(), String> {
    tool("cargo", &["build", "--quiet", "--release", "--package", "cofferdam-tests", "--example", "one_shot_cost"])?;
    let mut table = Table::new("oneshot", "A JSON one-shot on the host plane, from request to answer, µs", &HEAD);
    let mut most = 0.0_f64;
    for (name, line) in JOBS {
        let rounds = rounds.to_string();
        rows(&mut table, name, ["tokio::process", "exec"], &[&["start", rounds.as_str()], line].concat())?;
        let subjects = ["tokio::process", "exec, prepared"];
        most = most.max(rows(&mut table, name, subjects, &[&["prepared", rounds.as_str()], line].concat())?);
    }
    table.emit()?;
    let mut table = Table::new("oneshot-capture", "Capture of 1 GiB of output, MB/s; more is better", &HEAD);
    let speed = rows(&mut table, "1 GiB", ["cat | wc -c", "host plane"], &["capture", "7"])?;
    table.emit()?;
    match (most > MOST, speed < LEAST) {
        (true, _) => Err(format!(
            "a one-shot under a prepared keeper takes up to {most:.2} times as long as by the runtime alone; the aim is {MOST}"
        )),
        (_, true) => Err(format!("output is captured at {speed:.2} of the speed of a pipe; the aim is {LEAST}")),
        _ => Ok(()),
    }
}

/// Adds a row for the peer and one for us; answers ours in the peer's.
fn rows(table: &mut Table, job: &str, subjects: [&str; 2], arguments: &[&str]) -> Result<f64, String> {
    let told = output(&built("release/examples/one_shot_cost"), arguments)?;
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [peer, peer_low, peer_high, own, own_low, own_high] = numbers.as_slice() else {
        return Err(format!("{}: {text}{}", arguments.join(" "), String::from_utf8_lossy(&told.stderr)));
    };
    let ratio = own / peer.max(f64::MIN_POSITIVE);
    let figures = [(*peer, *peer_low, *peer_high, Cell::None), (*own, *own_low, *own_high, Cell::Number(ratio, 2))];
    for (subject, (median, low, high, ratio)) in subjects.into_iter().zip(figures) {
        table.row(vec![job.into(), subject.into(), Cell::Number(median, 0), Cell::Spread(low, high, 0), ratio]);
    }
    Ok(ratio)
}
