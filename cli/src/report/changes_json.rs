//! What `cofferdam changes --json` prints. Paths are lossless: as text where they are UTF-8, else in base64.

use crate::base64;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::event::ChangeSummary;
use cofferdam_sandbox_linux::changes::{Change, ChangeKind, ChangeSet, Diff, Entry, EntryKind};
use schemars::{JsonSchema, schema_for};
use serde::Serialize;
use std::ffi::OsStr;
use std::path::Path;
use std::time::UNIX_EPOCH;

/// A change set, as `list` and `show` tell it.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Set {
    /// Its id.
    id: String,
    /// The workspace that the run saw.
    workspace: String,
    /// The program that ran.
    program: String,
    /// When the run began, in milliseconds since 1970.
    created_ms: u64,
    /// Whether the run's end was seen.
    finished: bool,
    /// How many changes there are of each kind; absent while the run is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<ChangeSummary>,
}

/// The result of `cofferdam changes list --json`.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListResult {
    /// The version of this format: 1.
    version: u32,
    /// The sets, the newest first.
    sets: Vec<Set>,
}

/// The result of `cofferdam changes show --json`.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ShowResult {
    /// The version of this format: 1.
    version: u32,
    /// The change set.
    set: Set,
    /// The changes, by path.
    changes: Vec<Changed>,
    /// Sockets, which a commit leaves out.
    left_out: Vec<Name>,
}

/// A path or a link's target: one of both fields is there.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Name {
    /// As text, where it is UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// In base64, where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_base64: Option<String>,
}

/// One change.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Changed {
    /// Where, relative to the workspace.
    #[serde(flatten)]
    name: Name,
    /// `created`, `changed`, `deleted`, `renamed`, `mode_changed` or `touched`.
    kind: &'static str,
    /// The name that a renamed entry had.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Name>,
    /// What was there.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Stands>,
    /// What is there now.
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Stands>,
}

/// What stands at a path.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Stands {
    /// `file`, `directory`, `link`, `fifo`, `socket` or `device`.
    kind: &'static str,
    /// Permission bits in octal digits.
    mode: String,
    /// Length in bytes.
    size: u64,
    /// Where a symbolic link leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<Name>,
}

/// The result of `cofferdam changes commit --json`.
#[derive(Serialize)]
struct CommitResult<'a> {
    version: u32,
    committed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<&'a ChangeSummary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a BridgeError>,
}

/// All change sets.
pub(crate) fn list(sets: &[ChangeSet]) -> String {
    line(&ListResult { version: 1, sets: sets.iter().map(|one| set(one, one.summary().cloned())).collect() })
}

/// One change set.
pub(crate) fn show(one: &ChangeSet, diff: &Diff) -> String {
    line(&ShowResult {
        version: 1,
        set: set(one, Some(diff.summary(&one.id()))),
        changes: diff.changes.iter().map(changed).collect(),
        left_out: diff.left_out.iter().map(|path| name(path.as_os_str())).collect(),
    })
}

/// The changes alone, as a part of another result.
pub(crate) fn changes(diff: &Diff) -> Vec<Changed> {
    diff.changes.iter().map(changed).collect()
}

/// A commit that was made.
pub(crate) fn committed(summary: &ChangeSummary) -> String {
    line(&CommitResult { version: 1, committed: true, summary: Some(summary), error: None })
}

/// A commit that was not made.
pub(crate) fn failed(error: &BridgeError) -> String {
    line(&CommitResult { version: 1, committed: false, summary: None, error: Some(error) })
}

/// The JSON Schema of what `show` prints.
pub(crate) fn schema() -> String {
    format!("{}\n", serde_json::to_string_pretty(&schema_for!(ShowResult)).unwrap_or_default())
}

fn line(value: &impl Serialize) -> String {
    // Texts, numbers and lists always have a JSON form.
    let mut line = serde_json::to_string(value).unwrap_or_default();
    line.push('\n');
    line
}

fn set(set: &ChangeSet, summary: Option<ChangeSummary>) -> Set {
    let created = set.created().duration_since(UNIX_EPOCH).unwrap_or_default();
    Set {
        id: set.id(),
        // A policy knows only workspaces whose paths are text.
        workspace: set.workspace().to_string_lossy().into_owned(),
        program: set.program().to_owned(),
        created_ms: u64::try_from(created.as_millis()).unwrap_or(u64::MAX),
        finished: set.is_finished(),
        summary,
    }
}

fn changed(change: &Change) -> Changed {
    let kind = match change.kind {
        ChangeKind::Created => "created",
        ChangeKind::Changed => "changed",
        ChangeKind::Deleted => "deleted",
        ChangeKind::Renamed => "renamed",
        ChangeKind::ModeChanged => "mode_changed",
        _ => "touched",
    };
    Changed {
        name: name(change.path.as_os_str()),
        kind,
        from: change.from.as_deref().map(Path::as_os_str).map(name),
        before: change.before.as_ref().map(stands),
        after: change.after.as_ref().map(stands),
    }
}

fn stands(entry: &Entry) -> Stands {
    let kind = match entry.kind {
        EntryKind::File => "file",
        EntryKind::Directory => "directory",
        EntryKind::Link => "link",
        EntryKind::Fifo => "fifo",
        EntryKind::Socket => "socket",
        _ => "device",
    };
    let target = entry.target.as_deref().map(name);
    Stands { kind, mode: format!("{:o}", entry.mode), size: entry.size, target }
}

fn name(name: &OsStr) -> Name {
    match name.to_str() {
        Some(text) => Name { path: Some(text.to_owned()), path_base64: None },
        None => Name { path: None, path_base64: Some(base64::encode(name.as_encoded_bytes())) },
    }
}
