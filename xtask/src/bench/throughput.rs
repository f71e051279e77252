//! `cargo xtask bench throughput`: starts per second with one, two and four workers that start one `/bin/true` after the other.

use super::embedded;
use super::rounds::{COMPARED, Subject, compare, measure};
use super::start::{once, subjects};
use super::table::Table;
use crate::workspace::fresh_folder;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const WORKERS: [usize; 3] = [1, 2, 4];

/// How long each subject has in a round.
const SLICE: Duration = Duration::from_millis(600);

/// What the embedding program calls its ways to start, and what they are called here.
const EMBEDDED: [(&str, &str); 3] = [
    ("cold", "embedded, cold"),
    ("pooled", "embedded, pool under steady load"),
    ("burst", "embedded, pool in a burst"),
];

pub(super) fn run(rounds: usize) -> Result<(), String> {
    embedded::build()?;
    let lines = subjects()?;
    let folder = fresh_folder("throughput")?;
    let outcome = WORKERS.iter().try_for_each(|workers| with(*workers, &lines, &folder, rounds));
    let _ = std::fs::remove_dir_all(&folder);
    outcome
}

fn with(workers: usize, lines: &[(String, Vec<String>)], folder: &Path, rounds: usize) -> Result<(), String> {
    let mut all: Vec<Subject<'_>> = lines
        .iter()
        .map(|(name, line)| Subject::new(name.clone(), move || per_second(workers, line, folder)))
        .collect();
    for (how, name) in EMBEDDED {
        all.push(Subject::new(name, move || {
            let (workers, time) = (workers.to_string(), SLICE.as_millis().to_string());
            let text = embedded::program(&["throughput", how, &workers, &time])?;
            text.parse().map_err(|_| format!("it printed `{text}`"))
        }));
    }
    let figures = measure(all, rounds, 1)?;
    let (name, what) = match workers {
        1 => ("throughput-1", "one worker"),
        2 => ("throughput-2", "two workers"),
        _ => ("throughput-4", "four workers"),
    };
    let mut table = Table::new(name, format!("Starts per second of `/bin/true`, {what}; more is better"), &COMPARED);
    compare(&mut table, &figures, 0);
    table.emit()
}

fn per_second(workers: usize, line: &[String], folder: &Path) -> Result<f64, String> {
    let done = AtomicU64::new(0);
    let begun = Instant::now();
    let outcomes: Vec<Result<(), String>> = std::thread::scope(|scope| {
        let worker = || {
            while begun.elapsed() < SLICE {
                once(line, folder)?;
                done.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        };
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
        let ended = threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err("a worker died".to_owned())));
        ended.collect()
    });
    outcomes.into_iter().collect::<Result<Vec<()>, String>>()?;
    Ok(done.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64())
}
