//! What a decision costs, and that it hardly grows with the policy: `cargo xtask bench decide`.

use super::table::{Cell, Table};
use crate::workspace::{built, output, run as tool};

/// Rules in the policies.
const SIZES: [&str; 4] = ["10", "100", "1000", "10000"];

/// A decision under a thousand rules takes at most this many nanoseconds, in the median.
const MOST: f64 = 1000.0;

/// The dearest policy may cost this many times what the cheapest does.
const MOST_GROWTH: f64 = 3.0;

pub(super) fn run(rounds: usize) -> Result<(), String> {
    tool("cargo", &["build", "--quiet", "--release", "--package", "cofferdam-tests", "--example", "decision_cost"])?;
    let rounds = rounds.to_string();
    let arguments: Vec<&str> = [rounds.as_str()].into_iter().chain(SIZES).collect();
    let told = output(&built("release/examples/decision_cost"), &arguments)?;
    let text = String::from_utf8_lossy(&told.stdout);
    if !told.status.success() {
        return Err(format!("{text}{}", String::from_utf8_lossy(&told.stderr)));
    }
    let head = ["rules", "median", "p25–p75", "each rule in turn", "× in turn"];
    let mut table = Table::new("decide", "A decision under a policy of many rules, ns", &head);
    let (mut least, mut most, mut thousand) = (f64::MAX, 0.0_f64, None);
    for line in text.lines() {
        let numbers: Vec<f64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
        let [rules, median, low, high, in_turn] = numbers.as_slice() else { return Err(format!("unexpected: {line}")) };
        (least, most) = (least.min(*median), most.max(*median));
        if *rules == 1000.0 {
            thousand = Some(*median);
        }
        table.row(vec![
            Cell::Number(*rules, 0),
            Cell::Number(*median, 0),
            Cell::Spread(*low, *high, 0),
            Cell::Number(*in_turn, 0),
            Cell::Number(median / in_turn.max(1.0), 3),
        ]);
    }
    table.emit()?;
    let thousand = thousand.ok_or("no figure for a thousand rules")?;
    if thousand > MOST {
        return Err(format!("a decision under 1,000 rules takes {thousand:.0} ns; at most {MOST:.0} are promised"));
    }
    let growth = most / least.max(1.0);
    if growth > MOST_GROWTH {
        return Err(format!(
            "the largest policy costs {growth:.1} times the cheapest; at most {MOST_GROWTH} is promised"
        ));
    }
    Ok(())
}
