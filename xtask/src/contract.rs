//! What is made from the contract's types: written anew, held against them and against the baseline, or frozen as one.

use crate::workspace::{built, run as tool};

/// Runs `generate`, `check` or `freeze`.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    match arguments {
        [what] if what == "generate" => schemas(&[]),
        [what] if what == "check" => check(),
        [what] if what == "freeze" => schemas(&["--freeze"]),
        [what, option, version] if what == "freeze" && option == "--release" => {
            schemas(&["--freeze", "--release", version])
        }
        _ => Err("cargo xtask contract generate|check|freeze [--release VERSION]".to_owned()),
    }
}

/// Whether what is on disk is what the types make, and no change breaks who was built for the baseline.
pub(crate) fn check() -> Result<(), String> {
    schemas(&["--check"])
}

fn schemas(options: &[&str]) -> Result<(), String> {
    // The selection of the tests, so that what they are built of is not built for this alone.
    tool("cargo", &["build", "--quiet", "--workspace", "--all-features", "--example", "schemas"])?;
    tool(&built("debug/examples/schemas"), &[options, &["contract"]].concat())
}
