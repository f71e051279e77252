//! Finds policies: built in by name, or files by path.

use crate::failure::Failure;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_kernel::policy::{Policy, PolicySource};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Reads what policies extend: paths are relative to the file that names them.
#[derive(Debug, Default)]
struct Files {
    /// Where the files lie whose names as written have been read so far.
    read: RefCell<BTreeMap<String, PathBuf>>,
}

impl PolicySource for Files {
    fn read(&self, path: &str, from: &str) -> Result<String, BridgeError> {
        let from = self.read.borrow().get(from).cloned().unwrap_or_else(|| PathBuf::from(from));
        let found = from.parent().unwrap_or(Path::new("")).join(path);
        let text = text_of(&found)?;
        self.read.borrow_mut().insert(path.to_owned(), found);
        Ok(text)
    }
}

/// What lines of the command line are called where they are refused.
const COMMAND_LINE: &str = "command line";

/// The policy of that name or in that file. A file in the current directory can be told from a name by `./`.
pub(crate) fn find(name: &str) -> Result<Policy, Failure> {
    if Policy::builtin_text(name).is_some() {
        return Ok(Policy::builtin(name)?);
    }
    is_there(name)?;
    Ok(from_file(name)?)
}

/// The same with `lines` of the command line, where there are some: it is judged with them.
pub(crate) fn find_with(name: &str, lines: Option<&str>) -> Result<Policy, Failure> {
    let Some(lines) = lines else { return find(name) };
    if Policy::builtin_text(name).is_some() {
        return Ok(Policy::builtin(name)?.with_lines(lines, COMMAND_LINE)?);
    }
    is_there(name)?;
    let text = text_of(Path::new(name))?;
    Ok(Policy::parse_with_lines(&text, name, &Files::default(), (lines, COMMAND_LINE))?)
}

fn is_there(name: &str) -> Result<(), Failure> {
    if !Path::new(name).exists() {
        let known: Vec<_> = Policy::builtin_names().collect();
        let sentence = format!("there is no policy `{name}`: it is neither built in nor a file");
        return Err(
            Failure::new(ErrorCode::PolicyNotFound, sentence).hint(format!("built in are {}", known.join(", ")))
        );
    }
    Ok(())
}

/// The policy in that file.
pub(crate) fn from_file(path: &str) -> Result<Policy, BridgeError> {
    parse(&text_of(Path::new(path))?, path)
}

/// The policy that `text` is, as if it stood in the file `name`.
pub(crate) fn parse(text: &str, name: &str) -> Result<Policy, BridgeError> {
    Policy::parse(text, name, &Files::default())
}

fn text_of(path: &Path) -> Result<String, BridgeError> {
    std::fs::read_to_string(path).map_err(|error| {
        let sentence = format!("the policy `{}` cannot be read: {error}", path.display());
        BridgeError::new(ErrorCode::PolicyNotFound, sentence)
    })
}
