//! `cofferdam policy check`: tells what is wrong with policies, and where.

use crate::compose::Places;
use crate::failure::Failure;
use crate::{escape, exit_code, policy_file};
use clap::Args;
use cofferdam_bridge::error::BridgeError;
use std::collections::BTreeMap;
use std::io::Write;

/// Checks policies; a fault is shown with its line.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit code 0 when all are right, else 125.\n\nExample:\n  cofferdam policy check cofferdam.toml ci/*.toml"
)]
pub(crate) struct Check {
    /// The policies.
    #[arg(required = true)]
    files: Vec<String>,
}

impl Check {
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        let mut code = 0;
        for file in &self.files {
            match checked(file) {
                Ok(_) => super::print(&format!("{}: right\n", escape::shown(file)))?,
                Err(error) => {
                    code = exit_code::REFUSED;
                    let text = std::fs::read_to_string(file).unwrap_or_default();
                    // When standard error cannot be written, the exit code still tells.
                    let _ = std::io::stderr().write_all(shown(&error, file, &text).as_bytes());
                }
            }
        }
        Ok(code)
    }
}

/// Reads a policy, and compiles it for the current directory: what placeholders mean is part of what can be wrong.
fn checked(file: &str) -> Result<(), BridgeError> {
    let policy = policy_file::from_file(file)?;
    let mut places = Places::find(None).unwrap_or_else(|_| Places::without_workspace()).placeholders();
    places.workspace.get_or_insert_with(|| "/workspace".to_owned());
    policy.compile(&places, &BTreeMap::new()).map(drop)
}

/// The fault's sentence and, where it stands in `file`, its line with a caret.
fn shown(error: &BridgeError, file: &str, text: &str) -> String {
    let mut shown = format!("{}\n", escape::sentences(&error.message));
    let number = |name: &str| error.details.get(name).and_then(serde_json::Value::as_u64);
    let own = error.details.get("source").is_some_and(|source| source == file);
    if let (true, Some(line), Some(column)) = (own, number("line"), number("column")) {
        let at = usize::try_from(line).unwrap_or(0).saturating_sub(1);
        let before = usize::try_from(column).unwrap_or(0).saturating_sub(1);
        if let Some(source) = text.lines().nth(at) {
            // A tab is one column in the message, so it is shown as one.
            let source = escape::sentences(&source.replace('\t', " "));
            shown.push_str(&format!("  {line} | {source}\n  {0:1$} | {0:2$}^\n", "", line.to_string().len(), before));
        }
    }
    shown
}
