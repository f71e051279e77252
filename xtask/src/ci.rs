//! What the continuous integration runs, and what a developer can run to know its answer beforehand.

use crate::workspace::run as tool;
use crate::{check_macos, contract, emulate, fuzz, test, tidy};

/// Runs everything; the tests come last, since their closing line is the run's.
pub(crate) fn run(_: &[String]) -> Result<(), String> {
    tool("cargo", &["fmt", "--all", "--check"])?;
    tool("cargo", &["clippy", "--quiet", "--workspace", "--all-features", "--all-targets", "--", "-D", "warnings"])?;
    // What stands in the place of features that are left out: nothing else here builds it.
    tool("cargo", &["check", "--quiet", "--package", "cofferdam-cli", "--no-default-features"])?;
    tool(
        "env",
        &["RUSTDOCFLAGS=-D warnings", "cargo", "doc", "--quiet", "--no-deps", "--workspace", "--all-features"],
    )?;
    contract::check()?;
    tidy::run(&[])?;
    check_macos::run(&[])?;
    emulate::run(&[])?;
    fuzz::run(&fuzz::IN_CI.map(str::to_owned))?;
    test::run(&[])
}
