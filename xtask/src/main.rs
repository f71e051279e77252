//! Developer commands: `cargo xtask` lists them.

mod bench;
mod ci;
mod contract;
mod dist;
mod fuzz;
mod soak;
mod test;
mod tidy;
mod workspace;

use std::io::Write;
use std::process::ExitCode;

/// Name, what it does, and the function that does it.
type Task = (&'static str, &'static str, fn(&[String]) -> Result<(), String>);

const TASKS: [Task; 8] = [
    ("test", "installs what tests need, builds once, runs every test, as root also as an unprivileged user", test::run),
    ("tidy", "checks layers, unsafe code, file lengths, comments, names, links", tidy::run),
    ("ci", "what the continuous integration runs: format, lints, documents, tidy, fuzz, test", ci::run),
    (
        "contract",
        "`generate`, `check`: the contract's schemas on disk, written from the types or held against them",
        contract::run,
    ),
    (
        "bench",
        "all benchmarks, or one: start, embedded, throughput, idle, crowd, steady, calls, decide; tables also in target/bench",
        bench::run,
    ),
    (
        "soak",
        "[--starts N] [--at-once N]: a hundred thousand starts in a row and a thousand sandboxes at once, and what grows",
        soak::run,
    ),
    (
        "fuzz",
        "[NAME] [--seconds N]: all fuzz targets, or one, for a minute each; what they find is in target/fuzz/found",
        fuzz::run,
    ),
    ("dist", "builds the command as it is installed, statically linked, and tells where it is", dist::run),
];

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next();
    let rest: Vec<String> = arguments.collect();
    let Some((_, _, task)) = TASKS.iter().find(|(own, _, _)| Some(*own) == name.as_deref()) else {
        for (name, what, _) in TASKS {
            workspace::say(&format!("cargo xtask {name:<8} {what}"));
        }
        return if name.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    };
    match task(&rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            // Not on standard output, whose last line is the count of the tests.
            let _ = writeln!(std::io::stderr(), "xtask: {why}");
            ExitCode::FAILURE
        }
    }
}
