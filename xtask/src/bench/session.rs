//! What commands of a session cost: `cargo xtask bench session`.

use super::table::{Cell, Table};
use crate::workspace::{built, output, run as tool};

const HEAD: [&str; 4] = ["subject", "median", "p25–p75", "× one-shot without a session"];

const SUBJECTS: [&str; 3] = ["one-shot without a session", "one-shot in a session", "start and stop of one that stays"];

/// One table: the runs of a session join its network, where others have one of their own.
pub(super) fn run(rounds: usize) -> Result<(), String> {
    tool("cargo", &["build", "--quiet", "--release", "--package", "cofferdam-tests", "--example", "session_cost"])?;
    let told = output(&built("release/examples/session_cost"), &[rounds.to_string().as_str()])?;
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let (figures, rest) = numbers.as_chunks::<3>();
    let Some([peer, ..]) = figures.first().filter(|_| figures.len() == SUBJECTS.len() && rest.is_empty()) else {
        return Err(format!("session_cost: {text}{}", String::from_utf8_lossy(&told.stderr)));
    };
    let mut table = Table::new("session", "Commands of a session in the Linux plane under dev, µs", &HEAD);
    for (subject, [median, low, high]) in SUBJECTS.into_iter().zip(figures) {
        let ratio = Cell::Number(median / peer.max(f64::MIN_POSITIVE), 2);
        table.row(vec![subject.into(), Cell::Number(*median, 0), Cell::Spread(*low, *high, 0), ratio]);
    }
    table.emit()
}
