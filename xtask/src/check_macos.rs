//! Type-checks code for systems that are not at hand: macOS, and Linux on AArch64.

use crate::workspace::{say, tool};
use std::process::Stdio;

/// Debian's compiler for other targets cannot be had here.
const NOT_TO_BE_HAD: i32 = 77;

/// What runs and is tested on a Mac. The rest needs Linux.
const ON_MACOS: [&str; 3] = ["cofferdam-bridge", "cofferdam-kernel", "cofferdam-sandbox-macos"];

/// Checks both targets. Where no compiler for them can be had, it says so and lets pass.
pub(crate) fn run(_: &[String]) -> Result<(), String> {
    let packages = ON_MACOS.iter().flat_map(|name| ["--package", name]);
    // Tests and examples too: the one that verifies profiles runs on a Mac alone.
    check("aarch64-apple-darwin", &packages.chain(["--all-targets"]).collect::<Vec<_>>())?;
    // Its tests hold planes of Linux against the kit.
    check("aarch64-apple-darwin", &["--package", "cofferdam-contract"])?;
    // Where the code for a machine is. The command itself needs a compiler of C for the other machine, too.
    let planes = ["cofferdam-exec-plane", "cofferdam-sandbox-linux", "cofferdam-wire-plane"];
    check("aarch64-unknown-linux-gnu", &planes.iter().flat_map(|name| ["--package", name]).collect::<Vec<_>>())
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
