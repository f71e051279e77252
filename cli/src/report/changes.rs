//! What runs changed, for people: a letter and a path for each entry.

use super::human::counts;
use crate::escape::path;
use cofferdam_sandbox_linux::changes::{Change, ChangeKind, ChangeSet, Diff, Entry, EntryKind};
use std::path::Path;
use std::time::SystemTime;

/// All change sets, a line each.
pub(crate) fn list(sets: &[ChangeSet]) -> String {
    if sets.is_empty() {
        return "No changes are kept apart.\n".to_owned();
    }
    let mut text = String::new();
    for set in sets {
        let state = match set.summary() {
            _ if set.is_in_use() => "in use".to_owned(),
            Some(summary) => counts(summary),
            None => "the run was interrupted".to_owned(),
        };
        let (program, workspace) = (path(Path::new(set.program())), path(set.workspace()));
        text.push_str(&format!("{}  {}  {workspace}  {program}: {state}\n", set.id(), age(set.created())));
    }
    text
}

/// One change set.
pub(crate) fn show(set: &ChangeSet, diff: &Diff) -> String {
    let (program, workspace) = (path(Path::new(set.program())), path(set.workspace()));
    let mut text = format!("Changes {} of {workspace} by {program}, {} ago", set.id(), age(set.created()).trim_start());
    if !set.is_finished() {
        text.push_str("; the run was interrupted");
    }
    text.push_str(&format!("\n{}\n\n", counts(&diff.summary(&set.id()))));
    text.push_str(&lines(diff));
    text
}

/// The changes alone, a line each.
pub(crate) fn lines(diff: &Diff) -> String {
    let mut text: String = diff.changes.iter().map(line).collect();
    for socket in &diff.left_out {
        text.push_str(&format!("-  {} (a socket, left out by a commit)\n", path(socket)));
    }
    text
}

fn line(change: &Change) -> String {
    let entry = change.after.as_ref().or(change.before.as_ref());
    let ending = if entry.is_some_and(|entry| entry.kind == EntryKind::Directory) { "/" } else { "" };
    let own = if change.path.as_os_str().is_empty() { ".".to_owned() } else { path(&change.path) };
    let from = change.from.as_ref().map(|from| format!("{} -> ", path(from))).unwrap_or_default();
    format!("{}  {from}{own}{ending}{}\n", letter(change.kind), detail(change))
}

fn letter(kind: ChangeKind) -> char {
    match kind {
        ChangeKind::Created => 'A',
        ChangeKind::Changed => 'M',
        ChangeKind::Deleted => 'D',
        ChangeKind::Renamed => 'R',
        ChangeKind::ModeChanged => 'P',
        ChangeKind::Touched => 'T',
        _ => '?',
    }
}

/// What the letter does not say: modes, kinds, where a link leads.
fn detail(change: &Change) -> String {
    let mut parts = Vec::new();
    if let (Some(before), Some(after)) = (&change.before, &change.after) {
        if before.kind != after.kind {
            parts.push(format!("{} -> {}", kind(before), kind(after)));
        } else if before.mode != after.mode {
            parts.push(format!("{:o} -> {:o}", before.mode, after.mode));
        }
    } else if let Some(after) = &change.after {
        match after.kind {
            EntryKind::File if after.mode & 0o111 != 0 => parts.push("executable".to_owned()),
            EntryKind::Fifo => parts.push("a FIFO".to_owned()),
            _ => {}
        }
    }
    if let Some(target) = change.after.as_ref().and_then(|after| after.target.as_ref()) {
        parts.push(format!("link to {}", path(Path::new(target))));
    }
    if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) }
}

fn kind(entry: &Entry) -> &'static str {
    match entry.kind {
        EntryKind::File => "file",
        EntryKind::Directory => "directory",
        EntryKind::Link => "link",
        EntryKind::Fifo => "FIFO",
        EntryKind::Socket => "socket",
        _ => "device",
    }
}

/// How long ago, in the largest unit that fits, padded to one width.
fn age(when: SystemTime) -> String {
    let seconds = SystemTime::now().duration_since(when).unwrap_or_default().as_secs();
    let text = match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    };
    format!("{text:>7}")
}
