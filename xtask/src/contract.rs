//! The contract's schemas: written from the types, or held against them.

use crate::workspace::run as tool;

/// Runs `generate` or `check`.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    match arguments {
        [what] if what == "generate" => schemas(&[]),
        [what] if what == "check" => check(),
        _ => Err("cargo xtask contract generate|check".to_owned()),
    }
}

/// Whether the schemas on disk are those of the types.
pub(crate) fn check() -> Result<(), String> {
    schemas(&["--check"])
}

fn schemas(options: &[&str]) -> Result<(), String> {
    let mut command = vec!["run", "--quiet", "--package", "cofferdam-contract", "--example", "schemas", "--"];
    command.extend(options);
    command.push("contract/v1/schema");
    tool("cargo", &command)
}
