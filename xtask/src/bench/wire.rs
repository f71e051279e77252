//! What the wire protocol costs against as many bytes over the same kind of socket, to another process too, with nothing read into them.

use super::rounds::quartiles;
use super::table::{Cell, Table};
use crate::workspace::{built, output, run as tool};

/// Runs of each kind, in each of which all three ways take turns.
const TURNS: usize = 9;

/// Reads of a mebibyte are so much dearer than small calls that fewer will do.
const SMALL_FOR_EACH_READ: usize = 50;

/// A way to go, and how often the cost of the bare bytes it may cost at most.
type Way = (&'static str, Option<f64>);

/// What is measured, its name, and the ways in the order in which they are told.
const KINDS: [(&str, &str, [Way; 3]); 3] = [
    ("small", "a small call", [("json", Some(2.5)), ("cbor", Some(1.8)), ("bare", None)]),
    ("running", "a small call while a program runs", [("json", None), ("cbor", None), ("bare", None)]),
    // As much throughput as 0.6 of the bare bytes'.
    ("read", "1 MiB read", [("json", None), ("cbor", Some(1.0 / 0.6)), ("bare", None)]),
];

pub(super) fn run(rounds: usize) -> Result<(), String> {
    tool("cargo", &["build", "--quiet", "--release", "--package", "cofferdam-wire-plane", "--example", "wire_cost"])?;
    let head = ["calls", "how", "median ns", "p25–p75", "× bare", "its p25–p75", "aim", "share of bare"];
    let mut table =
        Table::new("wire", "Round trips to another process over the wire, ns each, and against bare bytes", &head);
    for (what, name, ways) in KINDS {
        let rounds = if what == "read" { (rounds / SMALL_FOR_EACH_READ).max(20) } else { rounds };
        // The first warms up.
        let turns: Vec<[f64; 3]> =
            (0..=TURNS).map(|_| once(what, rounds)).collect::<Result<Vec<_>, _>>()?.into_iter().skip(1).collect();
        for (at, (how, aim)) in ways.into_iter().enumerate() {
            let figure = |turn: &[f64; 3]| turn.get(at).copied().unwrap_or_default();
            let [low, median, high] = quartiles(&turns.iter().map(figure).collect::<Vec<_>>());
            // Each turn against its own turn: what the machine did meanwhile, both had to bear.
            let ratios: Vec<f64> = turns.iter().map(|turn| figure(turn) / turn[2].max(1.0)).collect();
            let [least, ratio, most] = quartiles(&ratios);
            table.row(vec![
                name.into(),
                how.into(),
                Cell::Number(median, 0),
                Cell::Spread(low, high, 0),
                Cell::Number(ratio, 2),
                Cell::Spread(least, most, 2),
                aim.map_or(Cell::None, |aim| Cell::Number(aim, 2)),
                Cell::Number(1.0 / ratio.max(f64::MIN_POSITIVE), 2),
            ]);
        }
    }
    table.emit()
}

/// Nanoseconds in JSON, in CBOR, and bare.
fn once(what: &str, rounds: usize) -> Result<[f64; 3], String> {
    let (program, rounds) = (built("release/examples/wire_cost"), rounds.to_string());
    // All on one processor. Left to itself the scheduler keeps two processes wherever they happened to begin, and on two processors that
    // both fall asleep between calls, waking them takes ten times as long as all that is compared here.
    let told = output("taskset", &["--cpu-list", &own_processor()?, &program, what, &rounds])?;
    let text = String::from_utf8_lossy(&told.stdout);
    let figures: Vec<f64> = text.split_whitespace().filter_map(|figure| figure.parse().ok()).collect();
    let complain = || format!("it printed `{}`: {}", text.trim(), String::from_utf8_lossy(&told.stderr));
    figures.try_into().map_err(|_| complain())
}

/// The first processor that this process may use.
fn own_processor() -> Result<String, String> {
    let status = std::fs::read_to_string("/proc/self/status").map_err(|error| format!("/proc/self/status: {error}"))?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap_or_default().trim();
    let first: String = list.chars().take_while(char::is_ascii_digit).collect();
    if first.is_empty() { Err("no processor is named in /proc/self/status".to_owned()) } else { Ok(first) }
}
