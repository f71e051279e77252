//! How the contents of changed text files differ, in the unified format. Bounded, and safe to show: what could steer a terminal is
//! escaped, so it is for reading and not for patch(1).

use crate::escape::{line, path};
use crate::failure::Failure;
use cofferdam_sandbox_linux::changes::{Change, ChangeKind, ChangeSet, Diff, EntryKind, Side};
use similar::TextDiff;
use std::path::Path;
use std::time::Duration;

/// Largest file that is compared, and most that is shown of all together, in bytes.
const LARGEST: u64 = 1 << 20;
const MOST: usize = 4 << 20;

/// Longest time for one file: what is found by then is shown, if not as briefly as could be.
const LONGEST: Duration = Duration::from_secs(2);

/// The differences of all files in `diff`.
pub(crate) fn of(set: &ChangeSet, diff: &Diff) -> Result<String, Failure> {
    let mut text = String::new();
    for change in &diff.changes {
        if text.len() > MOST {
            text.push_str("\nMore is not shown; `cofferdam changes show` lists it all.\n");
            break;
        }
        text.push_str(&one(set, change)?);
    }
    Ok(text)
}

fn one(set: &ChangeSet, change: &Change) -> Result<String, Failure> {
    let is_file = |entry: &Option<cofferdam_sandbox_linux::changes::Entry>| {
        entry.as_ref().is_some_and(|entry| entry.kind == EntryKind::File)
    };
    let (before, after) = (is_file(&change.before), is_file(&change.after));
    if !(before || after) || matches!(change.kind, ChangeKind::ModeChanged | ChangeKind::Touched | ChangeKind::Renamed)
    {
        return Ok(String::new());
    }
    let side = |there: bool, side: Side| -> Result<Text, Failure> {
        if !there {
            return Ok(Text::Of(String::new()));
        }
        Ok(match set.contents(side, &change.path, LARGEST + 1)? {
            None => Text::Of(String::new()),
            Some(bytes) => Text::new(bytes),
        })
    };
    let (old, new) = match (side(before, Side::Before)?, side(after, Side::After)?) {
        (Text::Of(old), Text::Of(new)) => (old, new),
        (Text::TooLarge, _) | (_, Text::TooLarge) => return Ok(note(&change.path, "is too large to compare")),
        _ => return Ok(note(&change.path, "is no text")),
    };
    let label = |there: bool, with: &str| {
        if there { format!("{with}/{}", path(&change.path)) } else { "/dev/null".to_owned() }
    };
    let compared = TextDiff::configure().timeout(LONGEST).diff_lines(&old, &new);
    let unified = compared.unified_diff().header(&label(before, "a"), &label(after, "b")).to_string();
    let lines: Vec<_> = unified.lines().map(line).collect();
    Ok(if lines.is_empty() { String::new() } else { format!("\n{}\n", lines.join("\n")) })
}

fn note(what: &Path, why: &str) -> String {
    format!("\n{} {why}\n", path(what))
}

/// What a file holds.
enum Text {
    Of(String),
    TooLarge,
    Binary,
}

impl Text {
    fn new(bytes: Vec<u8>) -> Self {
        if bytes.len() as u64 > LARGEST {
            return Self::TooLarge;
        }
        match String::from_utf8(bytes) {
            Ok(text) if !text.contains('\0') => Self::Of(text),
            _ => Self::Binary,
        }
    }
}
