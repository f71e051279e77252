//! Rules of the project that a program can check.

mod layers;
mod sources;

use crate::workspace::{files, root, say};

/// Checks every rule and lists what breaks one.
pub(crate) fn run(_: &[String]) -> Result<(), String> {
    let mut faults = layers::check()?;
    for path in files()? {
        let text = std::fs::read_to_string(root().join(&path)).unwrap_or_default();
        faults.extend(sources::check(&path, &text));
    }
    for fault in &faults {
        say(fault);
    }
    if faults.is_empty() { Ok(()) } else { Err(format!("{} rules are broken", faults.len())) }
}
