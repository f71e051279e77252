//! What starting costs an embedding host: `cargo xtask bench embedded` and `crowd`.

use super::table::{Cell, Table};
use crate::workspace::{built, output, run as tool};

/// Memory that the large host has touched, in MiB.
const LARGE: &str = "1024";

/// Starting from a large host may cost this much more than from a small one.
const MOST: f64 = 1.15;

/// Sandboxes that live beside those that are started.
const CROWDS: [usize; 3] = [1, 100, 1000];

/// How the program that is measured names its subjects, in the order in which it tells them.
const SUBJECTS: [&str; 3] = ["plain", "embedded, cold", "embedded, from a pool"];

const HEAD: [&str; 6] = ["host", "subject", "median", "p25–p75", "× plain", "× first host"];

/// The program that embeds the kernel, called with `arguments`.
pub(super) fn program(arguments: &[&str]) -> Result<String, String> {
    let told = output(&built("release/examples/embedded_cost"), arguments)?;
    if !told.status.success() {
        return Err(format!("{}: {}", arguments.join(" "), String::from_utf8_lossy(&told.stderr)));
    }
    Ok(String::from_utf8_lossy(&told.stdout).trim().to_owned())
}

/// Builds that program.
pub(super) fn build() -> Result<(), String> {
    tool("cargo", &["build", "--quiet", "--release", "--package", "cofferdam-tests", "--example", "embedded_cost"])
}

/// A small host and a large one.
pub(super) fn run(rounds: usize) -> Result<(), String> {
    build()?;
    let text = program(&["start", &rounds.to_string(), LARGE])?;
    let hosts: Vec<(String, &str)> = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(size, figures)| (format!("{size} MiB touched"), figures))
        .collect();
    let mut table = Table::new("embedded", "Start-to-exit of `/bin/true` in a host that embeds the kernel, µs", &HEAD);
    let most = rows(&mut table, &hosts)?;
    table.emit()?;
    if most > MOST {
        return Err(format!("a large host pays {most:.2} times what a small one does; at most {MOST} is promised"));
    }
    Ok(())
}

/// A host with few sandboxes, and with many.
pub(super) fn crowd(rounds: usize) -> Result<(), String> {
    build()?;
    let mut hosts = Vec::new();
    for live in CROWDS {
        hosts.push((format!("{live} live"), program(&["crowd", &live.to_string(), &rounds.to_string()])?));
    }
    let hosts: Vec<(String, &str)> = hosts.iter().map(|(name, text)| (name.clone(), text.as_str())).collect();
    let mut table = Table::new("crowd", "Start-to-exit of `/bin/true` beside sandboxes that live, µs", &HEAD);
    rows(&mut table, &hosts)?;
    table.emit()
}

/// Adds a row for each host and subject; answers the most that a later host pays for the cold start, in the first one's ratios.
fn rows(table: &mut Table, hosts: &[(String, &str)]) -> Result<f64, String> {
    let mut first: Option<Vec<f64>> = None;
    let mut most = 0.0_f64;
    for (host, text) in hosts {
        let numbers: Vec<f64> = text.split(' ').filter_map(|word| word.parse().ok()).collect();
        let [plain, ..] = numbers.as_slice() else { return Err(format!("unexpected: {text}")) };
        let plain = plain.max(1.0);
        let ratios: Vec<f64> =
            numbers.chunks(3).filter_map(|three| three.first()).map(|median| median / plain).collect();
        let before = first.get_or_insert_with(|| ratios.clone());
        for (at, (name, three)) in SUBJECTS.iter().zip(numbers.chunks(3)).enumerate() {
            let [median, low, high] = three else { return Err(format!("unexpected: {text}")) };
            // Whatever a larger host costs a plain start, too, is not the sandbox's.
            let (ratio, grown) =
                (median / plain, ratios.get(at).zip(before.get(at)).map_or(1.0, |(now, then)| now / then));
            if at == 1 {
                most = most.max(grown);
            }
            table.row(vec![
                host.as_str().into(),
                (*name).into(),
                Cell::Number(*median, 0),
                Cell::Spread(*low, *high, 0),
                Cell::Number(ratio, 2),
                Cell::Number(grown, 2),
            ]);
        }
    }
    Ok(most)
}
