//! `cargo xtask bench audit`: what recording costs: appends against what the disk can do, and a start with and without a record.

use super::rounds::{COMPARED, Subject, compare, measure, quartiles};
use super::start::{built_command, once};
use super::table::{Cell, Table};
use crate::workspace::{built, fresh_folder, output, run as tool};
use std::path::Path;

/// Writers that each wait for a record before the next.
const WRITERS: &str = "64";

/// Group-committed appends reach at least this share of what bare batches of the same size reach.
const LEAST: f64 = 0.5;

/// Starts that are not counted.
const WARM_UP: usize = 20;

/// Runs the benchmark.
pub(super) fn run(rounds: usize) -> Result<(), String> {
    tool("cargo", &["build", "--quiet", "--release", "--package", "cofferdam-tests", "--example", "audit_cost"])?;
    let binary = built_command()?;
    let folder = fresh_folder("bench-audit")?;
    let outcome =
        appends(&folder, rounds / 10 + 1).and_then(|reached| starts(&folder, &binary, rounds).map(|()| reached));
    let _ = std::fs::remove_dir_all(&folder);
    let reached = outcome?;
    if reached < LEAST {
        return Err(format!("appends reach {reached:.2} of what the disk can do; {LEAST} is promised"));
    }
    Ok(())
}

/// Answers the median share.
fn appends(folder: &Path, rounds: usize) -> Result<f64, String> {
    let told =
        output(&built("release/examples/audit_cost"), &[&folder.to_string_lossy(), &rounds.to_string(), WRITERS])?;
    if !told.status.success() {
        return Err(String::from_utf8_lossy(&told.stderr).into_owned());
    }
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    let lines = text.lines().map(|line| line.split(' ').filter_map(|word| word.parse().ok()).collect::<Vec<f64>>());
    let rounds: Vec<[f64; 4]> = lines.filter_map(|line| line.try_into().ok()).collect();
    let column = |at: usize| rounds.iter().filter_map(|round| round.get(at).copied()).collect::<Vec<f64>>();
    let shares: Vec<f64> = rounds.iter().map(|[own, bare, ..]| own / bare.max(1.0)).collect();
    let head =
        ["subject", "records a second", "p25–p75", "× bare", "its p25–p75", "records in a batch", "bytes in a batch"];
    let mut table = Table::new(
        "audit_appends",
        format!(
            "Appends of {WRITERS} writers, each made sure of, and bare write(2) and fdatasync(2) of batches as large"
        ),
        &head,
    );
    let [low, median, high] = quartiles(&column(0));
    let [low_share, share, high_share] = quartiles(&shares);
    table.row(vec![
        "recorder".into(),
        Cell::Number(median, 0),
        Cell::Spread(low, high, 0),
        Cell::Number(share, 2),
        Cell::Spread(low_share, high_share, 2),
        Cell::Number(quartiles(&column(2))[1], 0),
        Cell::Number(quartiles(&column(3))[1], 0),
    ]);
    let [low, median, high] = quartiles(&column(1));
    table.row(vec![
        "bare".into(),
        Cell::Number(median, 0),
        Cell::Spread(low, high, 0),
        Cell::Number(1.0, 2),
        Cell::None,
        Cell::None,
        Cell::None,
    ]);
    table.emit()?;
    Ok(share)
}

/// A start that is recorded, and one that is not, in turn.
fn starts(folder: &Path, binary: &str, rounds: usize) -> Result<(), String> {
    let log = format!("COFFERDAM_AUDIT={}", folder.join("starts").display());
    let line = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let subjects = [
        // The name that others are compared with.
        ("plain", line(&["env", &log, binary, "run", "--no-audit", "--", "/bin/true"])),
        ("recorded", line(&["env", &log, binary, "run", "--", "/bin/true"])),
    ];
    let subject = |(name, line): &(&str, Vec<String>)| {
        let (line, folder) = (line.clone(), folder.to_owned());
        Subject::new(*name, move || once(&line, &folder).map(|time| time as f64))
    };
    let figures = measure(subjects.iter().map(subject).collect(), rounds, WARM_UP)?;
    let mut table = Table::new(
        "audit_start",
        "Start-to-exit of `/bin/true` by `cofferdam run`, without a record (plain) and with one, µs",
        &COMPARED,
    );
    compare(&mut table, &figures, 0);
    table.emit()
}
