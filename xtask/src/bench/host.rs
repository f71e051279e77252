//! What starting costs an embedding host: against a plain start, and whether it grows with the host's memory.

use crate::workspace::{built, output, run as tool, say};

/// Memory that the large host has touched, in MiB.
const LARGE: &str = "1024";

/// Starting from a large host may cost this much more than from a small one.
const MOST: f64 = 1.15;

pub(super) fn run(rounds: usize) -> Result<(), String> {
    tool("cargo", &["build", "--quiet", "--release", "--package", "cofferdam-tests", "--example", "start_cost"])?;
    let program = built("release/examples/start_cost");
    let told = output(&program, &[&rounds.to_string(), LARGE])?;
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    let mut small = None;
    say("| embedded start-to-exit of /bin/true | median µs | × plain | × small host |");
    say("| --- | --- | --- | --- |");
    for line in text.lines() {
        let numbers: Vec<f64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
        let [mebibytes, plain, boxed] = numbers.as_slice() else { return Err(format!("unexpected: {line}")) };
        // Whatever a larger host costs a plain start, too, is not the sandbox's.
        let ratio = boxed / plain;
        let grown = ratio / *small.get_or_insert(ratio);
        say(&format!("| host of {mebibytes} MiB | {boxed:.0} | {ratio:.2} | {grown:.2} |"));
        if grown > MOST {
            return Err(format!(
                "a large host pays {grown:.2} times what a small one does; at most {MOST} is promised"
            ));
        }
    }
    Ok(())
}
