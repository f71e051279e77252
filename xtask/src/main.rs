//! Developer commands: `cargo xtask` lists them.

mod bench;
mod check_macos;
mod ci;
mod contract;
mod dist;
mod emulate;
mod fuzz;
mod kills;
mod meaning;
mod soak;
mod test;
mod tidy;
mod workspace;

use std::io::Write;
use std::process::ExitCode;

/// Name, what it does, and the function that does it.
type Task = (&'static str, &'static str, fn(&[String]) -> Result<(), String>);

const TASKS: [Task; 12] = [
    ("test", "installs what tests need, builds once, runs every test, as root also as an unprivileged user", test::run),
    ("tidy", "checks layers, unsafe code, file lengths, comments, names, links", tidy::run),
    (
        "ci",
        "what the continuous integration runs: format, lints, documents, tidy, types elsewhere, fuzz, test",
        ci::run,
    ),
    (
        "contract",
        "`generate`, `check`, `freeze`: schemas, vectors and reference, written from the types, held against them and the baseline",
        contract::run,
    ),
    (
        "bench",
        "all benchmarks, or one: start, audit, embedded, throughput, idle, crowd, steady, calls, network, decide, oneshot, wire; tables also in target/bench",
        bench::run,
    ),
    (
        "soak",
        "[--starts N] [--at-once N]: a hundred thousand starts in a row and a thousand sandboxes at once, and what grows",
        soak::run,
    ),
    (
        "check-macos",
        "type-checks what is built for macOS, and what processors differ in for Linux on AArch64, with Debian's compiler for other targets",
        check_macos::run,
    ),
    (
        "emulate",
        "runs the raw calls of keeper and launcher for AArch64 under an emulator, where it can be had",
        emulate::run,
    ),
    (
        "meaning",
        "[--cases N] [--runs N]: generated policies, held against the decision function, the Linux plane and macOS profiles",
        meaning::run,
    ),
    (
        "fuzz",
        "[NAME] [--seconds N] [--seed N] [--quick]: all fuzz targets, or one, for a minute each; what they find is in target/fuzz/found",
        fuzz::run,
    ),
    (
        "kills",
        "[COUNT]: a thousand recorded runs that are ended by SIGKILL at any moment, and the log verified after each",
        kills::run,
    ),
    ("dist", "builds the command as it is installed, statically linked, and tells where it is", dist::run),
];

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next();
    let rest: Vec<String> = arguments.collect();
    let Some((_, _, task)) = TASKS.iter().find(|(own, _, _)| Some(*own) == name.as_deref()) else {
        for (name, what, _) in TASKS {
            workspace::say(&format!("cargo xtask {name:<11} {what}"));
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
