//! Generated policies and accesses, in any number: whether every plane means by them what the decision function says.

use crate::workspace::run as tool;

/// As many as a developer's loop takes; the tests themselves take fewer.
const CASES: u64 = 100_000;
/// Of real runs, each of which is a sandbox with some fifty accesses.
const RUNS: u64 = 200;

/// `[--cases N] [--runs N]`: cases for the model of Seatbelt, real runs on the Linux plane.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let number = |name: &str, otherwise: u64| match arguments.iter().position(|argument| argument == name) {
        None => Ok(otherwise),
        Some(at) => {
            let value = arguments.get(at + 1).and_then(|text| text.parse().ok());
            value.ok_or_else(|| format!("`{name}` takes a number"))
        }
    };
    let cases = format!("COFFERDAM_MEANING_CASES={}", number("--cases", CASES)?);
    let runs = format!("COFFERDAM_MEANING_RUNS={}", number("--runs", RUNS)?);
    let model = ["test", "--package", "cofferdam-sandbox-macos", "--test", "generated"];
    tool("env", &[&[cases.as_str(), "cargo"][..], &model].concat())?;
    tool("cargo", &["build", "--quiet", "--package", "cofferdam-cli"])?;
    let real = ["test", "--package", "cofferdam-tests", "--test", "all", "meaning::"];
    tool("env", &[&[runs.as_str(), "cargo"][..], &real].concat())
}
