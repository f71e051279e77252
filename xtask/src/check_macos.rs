//! Type-checks code for systems that are not at hand: macOS, and Linux on AArch64.

use crate::workspace::{say, tool};
use std::process::Stdio;

/// Debian's compiler for other targets cannot be had here.
const NOT_TO_BE_HAD: i32 = 77;

/// What macOS is not asked about: the crate that is Linux's own, on which others depend there alone, and what tests it.
const NOT_OF_MACOS: [&str; 3] = ["cofferdam-sandbox-linux", "cofferdam-tests", "cofferdam-example-rust-minimal"];

/// What differs between processors: parts of its own for each, or the integers of C as libc has them.
const OF_A_PROCESSOR: [&str; 3] = ["cofferdam-plane-kit", "cofferdam-exec-plane", "cofferdam-sandbox-linux"];

/// Checks both targets. Where no compiler for them can be had, it says so and lets pass.
pub(crate) fn run(_: &[String]) -> Result<(), String> {
    let but = NOT_OF_MACOS.iter().flat_map(|name| ["--exclude", name]);
    check("aarch64-apple-darwin", &["--workspace"].into_iter().chain(but).collect::<Vec<_>>())?;
    // Its tests and examples too: the one that verifies profiles runs on a Mac alone.
    check("aarch64-apple-darwin", &["--package", "cofferdam-sandbox-macos", "--all-targets"])?;
    let packages = OF_A_PROCESSOR.iter().flat_map(|name| ["--package", name]);
    check("aarch64-unknown-linux-gnu", &packages.chain(["--all-features"]).collect::<Vec<_>>())
}

fn check(target: &str, arguments: &[&str]) -> Result<(), String> {
    say(&format!("$ scripts/check-target.sh {target} {}", arguments.join(" ")));
    let script = [&["scripts/check-target.sh", target], arguments].concat();
    let status = tool("bash", &script).stdin(Stdio::null()).status().map_err(|error| format!("bash: {error}"))?;
    if status.code() == Some(NOT_TO_BE_HAD) {
        say(&format!("SKIPPED: {target} is not checked: Debian's compiler for it cannot be had here"));
        return Ok(());
    }
    if status.success() { Ok(()) } else { Err(format!("the workspace does not check for {target}")) }
}
