//! Fuzzing: each parser gets input that grows by what it makes the parser do, until one is a fault.
//!
//! The targets are the files of `fuzz/targets`; their first inputs lie in `fuzz/corpus`. libFuzzer (the crate libfuzzer-sys, which needs a
//! C++ compiler) drives them. Coverage is counted by LLVM's own pass, which stable compilers have, too: neither a nightly
//! one nor another tool is needed.

use crate::workspace::{built, output, root, run as tool, say, target};
use std::path::PathBuf;

/// Seconds for each target, unless said otherwise.
const SECONDS: u64 = 60;

/// What the continuous integration asks for: little time, and the same beginning each time, so that a change fails for what it does.
pub(crate) const IN_CI: [&str; 5] = ["--seconds", "10", "--seed", "1", QUICK];
/// Built in less time than it takes the optimizer, for those who do not run them for long.
const QUICK: &str = "--quick";

/// What makes the compiler count (clang's SanitizerCoverage).
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing";

/// Builds all targets, and runs the one that is named, or all.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let seconds = number(arguments, "--seconds")?.unwrap_or(SECONDS);
    let seed = number(arguments, "--seed")?;
    let name = arguments.first().filter(|name| !name.starts_with("--"));
    let all = targets()?;
    if let Some(name) = name.filter(|name| !all.contains(name)) {
        return Err(format!(
            "there is no target `{name}`; there are {}; each takes [--seconds N] [--seed N] [--quick]",
            all.join(", ")
        ));
    }
    let folder = build(arguments.iter().any(|one| one == QUICK))?;
    let wanted: Vec<_> = all.iter().filter(|target| name.is_none_or(|name| name == *target)).collect();
    // Each takes one processor.
    let at_once = std::thread::available_parallelism().map_or(1, usize::from);
    for together in wanted.chunks(at_once) {
        std::thread::scope(|scope| {
            let started: Vec<_> =
                together.iter().map(|target| scope.spawn(|| fuzz(&folder, target, seconds, seed))).collect();
            let outcomes =
                started.into_iter().map(|one| one.join().unwrap_or_else(|_| Err("a thread ended".to_owned())));
            outcomes.fold(Ok(()), Result::and)
        })?;
    }
    Ok(())
}

/// The number after an option, if it is there.
fn number(arguments: &[String], option: &str) -> Result<Option<u64>, String> {
    let text = arguments.iter().skip_while(|one| *one != option).nth(1);
    text.map(|text| text.parse().map_err(|_| format!("`{option} {text}` is no number"))).transpose()
}

/// The targets, by name.
fn targets() -> Result<Vec<String>, String> {
    let folder = root().join("fuzz/targets");
    let entries = std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter_map(|name| name.strip_suffix(".rs").map(str::to_owned)).collect();
    names.sort();
    Ok(names)
}

/// Builds them beside everything else, so that neither makes the other be built anew; answers where they are.
fn build(quick: bool) -> Result<PathBuf, String> {
    if !output("c++", &["--version"]).is_ok_and(|told| told.status.success()) {
        tool("scripts/setup.sh", &[])?;
    }
    let host = output("rustc", &["-vV"])?;
    let host = String::from_utf8_lossy(&host.stdout).into_owned();
    let triple = host.lines().find_map(|line| line.strip_prefix("host: ")).ok_or("rustc does not tell its host")?;
    let (flags, folder) = (format!("RUSTFLAGS={FLAGS}"), target().join("fuzz"));
    let own_target = format!("CARGO_TARGET_DIR={}", folder.display());
    let level = if quick { "CARGO_PROFILE_RELEASE_OPT_LEVEL=1" } else { "CARGO_PROFILE_RELEASE_OPT_LEVEL=3" };
    // With a target that is named, build scripts and macros are built without counters.
    let cargo = ["cargo", "build", "--quiet", "--release", "--manifest-path", "fuzz/Cargo.toml", "--target", triple];
    tool("env", &[&[flags.as_str(), own_target.as_str(), level], cargo.as_slice()].concat())?;
    Ok(folder.join(triple).join("release"))
}

fn fuzz(folder: &std::path::Path, name: &str, seconds: u64, seed: Option<u64>) -> Result<(), String> {
    // What is found goes where nobody commits it by accident; the first inputs are read and stay as they are.
    let (grown, found) = (built(&format!("fuzz/corpus/{name}")), built("fuzz/found"));
    for folder in [&grown, &found] {
        std::fs::create_dir_all(folder).map_err(|error| format!("{folder}: {error}"))?;
    }
    let program = folder.join(name).to_string_lossy().into_owned();
    let (time, prefix) = (format!("-max_total_time={seconds}"), format!("-artifact_prefix={found}/{name}-"));
    let first = format!("fuzz/corpus/{name}");
    // 0 is a seed of nobody's choice.
    let seed = format!("-seed={}", seed.unwrap_or(0));
    let arguments = [time.as_str(), prefix.as_str(), &seed, "-timeout=10", "-rss_limit_mb=2048", &grown, &first];
    let told = output(&program, &arguments)?;
    let text = String::from_utf8_lossy(&told.stderr).into_owned();
    let done = text.lines().rev().find(|line| line.starts_with("Done ")).unwrap_or("it did not come to its end");
    let coverage = text.lines().rev().find_map(|line| line.split(" cov: ").nth(1)).unwrap_or("-");
    let coverage = coverage.split(' ').next().unwrap_or("-");
    say(&format!("fuzz {name}: {done}, {coverage} places reached"));
    if told.status.success() && text.contains("\nDone ") {
        return Ok(());
    }
    say(&text);
    Err(format!("the target {name} found a fault; the input is in {found}"))
}
