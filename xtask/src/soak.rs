//! A long life of one embedding host: many starts in a row, many sandboxes at once, and what is held before and after.

use crate::workspace::{built, run as tool};

/// Starts in a row, unless said otherwise.
const STARTS: &str = "100000";

/// Sandboxes at once, unless said otherwise.
const AT_ONCE: &str = "1000";

/// Builds and runs the host; fails when something of its own grew.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let given = |name: &str| arguments.iter().skip_while(|one| *one != name).nth(1).map(String::as_str);
    tool("cargo", &["build", "--quiet", "--release", "--package", "cofferdam-tests", "--example", "soak"])?;
    let (starts, at_once) = (given("--starts").unwrap_or(STARTS), given("--at-once").unwrap_or(AT_ONCE));
    tool(&built("release/examples/soak"), &[starts, at_once])
}
