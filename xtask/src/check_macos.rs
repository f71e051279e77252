//! Type-checks code for systems that are not at hand: macOS, and Linux on AArch64.

use crate::workspace::{say, tool};
use std::process::Stdio;

/// Debian's compiler for other targets cannot be had here.
const NOT_TO_BE_HAD: i32 = 77;

/// What is tested on a Mac, too.
const TESTED_ON_MACOS: [&str; 3] = ["cofferdam-bridge", "cofferdam-kernel", "cofferdam-sandbox-macos"];

/// Checks both targets. Where no compiler for them can be had, it says so and lets pass.
pub(crate) fn run(_: &[String]) -> Result<(), String> {
    // All but the one crate that is Linux's own, which others depend on there alone.
    check("aarch64-apple-darwin", &["--workspace", "--exclude", "cofferdam-sandbox-linux"])?;
    // Tests and examples too: the one that verifies profiles runs on a Mac alone.
    let packages = TESTED_ON_MACOS.iter().flat_map(|name| ["--package", name]);
    check("aarch64-apple-darwin", &packages.chain(["--all-targets"]).collect::<Vec<_>>())?;
    check("aarch64-unknown-linux-gnu", &["--workspace"])
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
