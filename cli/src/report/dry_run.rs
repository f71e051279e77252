//! What a run would come to: for people, and as the one object that `--dry-run --json` prints.

use super::json::Identity;
use crate::escape::{self, sentences, shown};
use crate::kept_changes::{self, Changed, Diff};
use crate::terminal::relay::Captured;
use cofferdam_bridge::descriptor::{PlaneDescriptor, Preflight};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::event::ExecutionReport;
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_bridge::verdict::Verdict;
use cofferdam_kernel::{Decided, DryRun};
use schemars::{JsonSchema, schema_for};
use serde::Serialize;

/// What was run, and with which exit code the command tells of it.
pub(crate) struct Ran<'a> {
    pub(crate) identity: Identity<'a>,
    pub(crate) exit_code: u8,
}

/// A program that was run in an overlay, which is discarded by now.
pub(crate) struct Tried<'a> {
    pub(crate) report: &'a ExecutionReport,
    pub(crate) captured: &'a Captured,
    pub(crate) diff: &'a Diff,
}

/// The result of `cofferdam run --dry-run --json`.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DryRunResult<'a> {
    /// The version of this format: 1.
    version: u32,
    /// Always true: nothing has happened.
    dry_run: bool,
    /// The program as it was named.
    program: &'a str,
    /// How many arguments it had; they may hold secrets, so they are not told.
    arguments_count: usize,
    /// The policy as it was named.
    policy: &'a str,
    /// The command's exit code.
    exit_code: u8,
    /// What the start would come to; absent where no plane here can enforce the policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<&'a DryRun>,
    /// Where no plane here can enforce the policy: what each says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    planes: Vec<Refusing<'a>>,
    /// Where no plane here can enforce the policy: the error that a run would end with.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a BridgeError>,
    /// With `--overlay`: what the program did, all of which is forgotten.
    #[serde(skip_serializing_if = "Option::is_none")]
    tried: Option<TriedResult<'a>>,
}

/// A plane that refuses the policy.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Refusing<'a> {
    /// Its name.
    plane: &'a str,
    /// What would hold, and what is missing.
    preflight: &'a Preflight,
}

/// What the program did in the overlay.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TriedResult<'a> {
    /// Why it ended.
    cause: &'a ExitCause,
    /// Standard output; what is no UTF-8 in it is replaced.
    stdout: String,
    /// Standard error; what is no UTF-8 in it is replaced.
    stderr: String,
    /// What it would change in the workspace, by path.
    changes: Vec<Changed>,
}

/// The object.
pub(crate) fn json(
    ran: &Ran<'_>,
    start: Option<&DryRun>,
    planes: &[(PlaneDescriptor, Preflight)],
    error: Option<&BridgeError>,
    tried: Option<&Tried<'_>>,
) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let result = DryRunResult {
        version: 1,
        dry_run: true,
        program: ran.identity.program,
        arguments_count: ran.identity.arguments,
        policy: ran.identity.policy,
        exit_code: ran.exit_code,
        start,
        planes: planes.iter().map(|(plane, preflight)| Refusing { plane: &plane.name, preflight }).collect(),
        error,
        tried: tried.map(|tried| TriedResult {
            cause: &tried.report.cause,
            stdout: text(&tried.captured.stdout),
            stderr: text(&tried.captured.stderr),
            changes: kept_changes::changes(tried.diff),
        }),
    };
    // Texts, numbers and lists always have a JSON form.
    let mut line = escape::json(&serde_json::to_string(&result).unwrap_or_default());
    line.push('\n');
    line
}

/// The JSON Schema of the object.
pub(crate) fn schema() -> String {
    format!("{}\n", serde_json::to_string_pretty(&schema_for!(DryRunResult<'_>)).unwrap_or_default())
}

/// The whole for a person. `name`: the program as it was named.
pub(crate) fn text(name: &str, told: &DryRun, tried: Option<&Tried<'_>>) -> String {
    let name = shown(name);
    let mut text = match (tried, &told.refusal) {
        (Some(_), _) => format!("{name} was run with its changes kept apart, and they are discarded.\n"),
        (None, None) if told.would_start => format!("{name} would be started; nothing was.\n"),
        (None, None) => format!("{name} would not be started: this machine cannot enforce the policy.\n"),
        (None, Some(error)) => format!("{name} would not be started: {}\n", sentences(&error.message)),
    };
    let tier = serde_json::to_value(told.preflight.enforcement.tier).unwrap_or_default();
    let tier = tier.as_str().unwrap_or_default();
    text.push_str(&format!("\nplane        {} (tier {tier})\n", shown(&told.plane)));
    text.push_str(&format!("policy       {}\n", shown(&told.profile.name)));
    if let Some(program) = &told.program {
        text.push_str(&format!("program      {}\n", shown(program)));
    }
    text.push_str(&format!("starts in    {}\n", shown(&told.working_directory)));
    let names: Vec<_> = told.environment.iter().map(|name| shown(name)).collect();
    text.push_str(&format!("environment  {}\n\n", names.join(", ")));
    told.decisions.iter().for_each(|decided| text.push_str(&decision(decided)));
    text.push_str(&missing(&told.preflight));
    if let Some(tried) = tried {
        text.push_str(&format!("\nIt would change: {}\n", kept_changes::counts(tried.diff)));
        text.push_str(&kept_changes::lines(tried.diff));
    }
    text
}

/// What each plane that refuses the policy says.
pub(crate) fn shortfalls(planes: &[(PlaneDescriptor, Preflight)]) -> String {
    planes.iter().map(|(plane, preflight)| format!("{}:\n{}", shown(&plane.name), missing(preflight))).collect()
}

fn decision(decided: &Decided) -> String {
    let verdict = match decided.verdict {
        Verdict::Allow => "allow",
        Verdict::Prompt => "ask",
        _ => "deny",
    };
    let by = decided.rule.as_ref().map(|rule| format!("  # {} ({})", shown(&rule.text), shown(&rule.place())));
    format!("{verdict:<6} {:<17} {}{}\n", decided.access, shown(&decided.subject), by.unwrap_or_default())
}

fn missing(preflight: &Preflight) -> String {
    let mut text = String::new();
    for shortfall in &preflight.shortfalls {
        let word = if shortfall.blocking { "missing" } else { "weaker" };
        text.push_str(&format!("{word}: {}\n", sentences(&shortfall.message)));
        if let Some(fix) = &shortfall.fix {
            text.push_str(&format!("  to mend it: {}\n", sentences(fix)));
        }
    }
    text
}
