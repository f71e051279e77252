//! A thousand runs that are ended by SIGKILL at any moment while others record in the same log, which is verified after each.

use crate::workspace::run as tool;

/// Kills, unless said otherwise.
const KILLS: &str = "1000";

/// Builds the command and runs the test.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let kills = arguments.first().map_or(KILLS, String::as_str);
    tool("cargo", &["build", "--quiet", "--package", "cofferdam-cli"])?;
    let kills = format!("COFFERDAM_KILLS={kills}");
    let test = [
        "cargo",
        "test",
        "--quiet",
        "--package",
        "cofferdam-tests",
        "--test",
        "all",
        "--",
        "--nocapture",
        "audit_crash::",
    ];
    tool("env", &[&[kills.as_str()][..], &test].concat())
}
