//! What the wire protocol costs against as many bytes over the same kind of socket with nothing read into them.

use super::rounds::{Subject, measure as turns, quartiles};
use super::table::{Cell, Table};
use crate::workspace::{built, output, run as tool};

/// Turns of each subject, whose medians' quartiles are told.
const TURNS: usize = 9;

/// Reads of a mebibyte are so much dearer than small calls that fewer will do.
const SMALL_FOR_EACH_READ: usize = 20;

pub(super) fn run(rounds: usize) -> Result<(), String> {
    tool("cargo", &["build", "--quiet", "--release", "--package", "cofferdam-wire-plane", "--example", "wire_cost"])?;
    let head = ["calls", "how", "median ns", "p25–p75", "× bare", "share of bare"];
    let mut table =
        Table::new("wire", "Round trips over the wire, ns each, and against bare bytes over such a socket", &head);
    for (what, rounds) in [("small", rounds), ("read", (rounds / SMALL_FOR_EACH_READ).max(1))] {
        let subject = |how: &'static str| Subject::new(how, move || once(what, how, rounds));
        let all = turns(vec![subject("bare"), subject("json"), subject("cbor")], TURNS, 1)?;
        let bare = all.first().map(|figures| figures.rounds.clone()).unwrap_or_default();
        for own in &all {
            let [low, median, high] = quartiles(&own.rounds);
            // Each turn against its own turn: what the machine did meanwhile, both had to bear.
            let ratios: Vec<f64> = own.rounds.iter().zip(&bare).map(|(one, bare)| one / bare.max(1.0)).collect();
            let [_, ratio, _] = quartiles(&ratios);
            let what = if what == "small" { "a small call" } else { "1 MiB read" };
            table.row(vec![
                what.into(),
                own.name.as_str().into(),
                Cell::Number(median, 0),
                Cell::Spread(low, high, 0),
                Cell::Number(ratio, 2),
                Cell::Number(1.0 / ratio.max(f64::MIN_POSITIVE), 2),
            ]);
        }
    }
    table.emit()
}

fn once(what: &str, how: &str, rounds: usize) -> Result<f64, String> {
    let told = output(&built("release/examples/wire_cost"), &[what, how, &rounds.to_string()])?;
    let text = String::from_utf8_lossy(&told.stdout).trim().to_owned();
    text.parse().map_err(|_| format!("it printed `{text}`: {}", String::from_utf8_lossy(&told.stderr)))
}
