//! The one object that `--json` prints.

use crate::escape;
use crate::failure::Failure;
use crate::terminal::questions::Told;
use crate::terminal::relay::Captured;
use crate::{base64, exit_code};
use cofferdam_bridge::enforcement::Enforcement;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::event::{ChangeSummary, ExecutionReport};
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_bridge::host_traffic::HostTraffic;
use cofferdam_bridge::own_process::OwnProcess;
use cofferdam_bridge::prompt::{PromptOutcome, PromptQuestion};
use cofferdam_bridge::published_port::PublishedPort;
use cofferdam_bridge::sandbox_event::SandboxEvent;
use cofferdam_bridge::usage::Usage;
use cofferdam_bridge::verdict::Denial;
use schemars::{JsonSchema, schema_for};
use serde::Serialize;

/// What was run, under what, and where.
pub(crate) struct Identity<'a> {
    pub(crate) program: &'a str,
    pub(crate) arguments: usize,
    pub(crate) policy: &'a str,
    pub(crate) plane: &'a str,
}

/// The result of `cofferdam run --json`.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RunResult<'a> {
    /// The version of this format: 1.
    version: u32,
    /// The program as it was named.
    program: &'a str,
    /// How many arguments it had; they may hold secrets, so they are not told.
    arguments_count: usize,
    /// The policy as it was named.
    policy: &'a str,
    /// The plane that it ran on; empty when none was reached.
    plane: &'a str,
    /// The command's exit code.
    exit_code: u8,
    /// Why the run ended; absent when it did not start.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'a ExitCause>,
    /// Standard output, when it is UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    stdout: Option<&'a str>,
    /// Standard output in base64, when it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    stdout_base64: Option<String>,
    /// Standard error, when it is UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    stderr: Option<&'a str>,
    /// Standard error in base64, when it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    stderr_base64: Option<String>,
    /// What the run used.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<&'a Usage>,
    /// What held.
    #[serde(skip_serializing_if = "Option::is_none")]
    enforcement: Option<&'a Enforcement>,
    /// What was refused.
    denials: Vec<Denial>,
    /// What was asked at the terminal, and what it came to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    prompts: Vec<Asked<'a>>,
    /// What the sandbox refused or ended the run for, in the words that hosts match on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sandbox_events: Vec<SandboxEvent>,
    /// Its own processes, those that lived long enough to be seen; `usage.tasks` tells how many there were in all.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    processes: &'a [OwnProcess],
    /// Files that other tools may execute later.
    executable_later: &'a [String],
    /// What the run changed, where changes are kept apart and there are some.
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<&'a ChangeSummary>,
    /// What the run did over the network, by host and port, where the policy names hosts.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    network: &'a [HostTraffic],
    /// Its ports that the host's loopback had, and what came there.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    published: &'a [PublishedPort],
    /// The sequence number of its start in the audit log, where it is recorded: `cofferdam audit show` shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    audit_sequence: Option<u64>,
    /// Why the run did not start.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a BridgeError>,
}

/// A question that was put.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Asked<'a> {
    /// What was asked.
    question: &'a PromptQuestion,
    /// What it came to; absent where the run ended first.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<PromptOutcome>,
}

impl<'a> RunResult<'a> {
    fn new(identity: &Identity<'a>, exit_code: u8) -> Self {
        Self {
            version: 1,
            program: identity.program,
            arguments_count: identity.arguments,
            policy: identity.policy,
            plane: identity.plane,
            exit_code,
            cause: None,
            stdout: None,
            stdout_base64: None,
            stderr: None,
            stderr_base64: None,
            usage: None,
            enforcement: None,
            denials: Vec::new(),
            prompts: Vec::new(),
            sandbox_events: Vec::new(),
            processes: &[],
            executable_later: &[],
            changes: None,
            network: &[],
            published: &[],
            audit_sequence: None,
            error: None,
        }
    }

    fn line(&self) -> String {
        // Texts, numbers and lists always have a JSON form.
        let mut line = escape::json(&serde_json::to_string(self).unwrap_or_default());
        line.push('\n');
        line
    }
}

/// The object of a run that ended.
pub(crate) fn of_report(
    identity: &Identity<'_>,
    report: &ExecutionReport,
    captured: &Captured,
    (asked, sandbox_events): (&[Told], Vec<SandboxEvent>),
) -> String {
    let mut result = RunResult::new(identity, exit_code::of_cause(&report.cause));
    (result.stdout, result.stdout_base64) = text(&captured.stdout);
    (result.stderr, result.stderr_base64) = text(&captured.stderr);
    result.cause = Some(&report.cause);
    result.usage = Some(&report.usage);
    result.enforcement = Some(&report.enforcement);
    result.denials.clone_from(&report.denials);
    result.prompts =
        asked.iter().map(|told| Asked { question: &told.prompt.question, outcome: told.outcome }).collect();
    result.sandbox_events = sandbox_events;
    result.processes = &report.processes;
    result.executable_later = &report.executable_later;
    result.changes = report.changes.as_ref();
    result.network = &report.network;
    result.published = &report.published;
    result.audit_sequence = captured.audit_sequence;
    result.line()
}

/// The object of a run that did not start.
pub(crate) fn of_failure(identity: &Identity<'_>, failure: &Failure) -> String {
    let mut result = RunResult::new(identity, failure.exit_code());
    result.denials.extend(failure.error().denial());
    result.error = Some(failure.error());
    result.audit_sequence = failure.error().details.get("audit_sequence").and_then(serde_json::Value::as_u64);
    result.line()
}

/// The JSON Schema of the object.
pub(crate) fn schema() -> String {
    let schema = schema_for!(RunResult<'_>);
    format!("{}\n", serde_json::to_string_pretty(&schema).unwrap_or_default())
}

fn text(bytes: &[u8]) -> (Option<&str>, Option<String>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Some(text), None),
        Err(_) => (None, Some(base64::encode(bytes))),
    }
}
