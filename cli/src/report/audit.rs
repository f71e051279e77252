//! Records of the audit log, and what verifying it came to: for people, and for programs.

use crate::escape::{json, shown};
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_bridge::prompt::Remember;
use cofferdam_bridge::verdict::{RuleRef, Verdict};
use cofferdam_kernel::audit::{Event, ReadRecord, Record, Verified};
use schemars::schema_for;
use std::io::IsTerminal;

/// How records are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As they stand in the log, a line each.
    Json,
    /// A row each.
    Plain,
    /// A row each, refusals and failures in colour.
    Coloured,
}

impl Form {
    /// JSON where it is asked for; colours on a terminal whose user wants some.
    pub(crate) fn new(json: bool) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        match json {
            true => Self::Json,
            false if std::io::stdout().is_terminal() && !plain => Self::Coloured,
            false => Self::Plain,
        }
    }
}

/// Records under a head.
pub(crate) fn table<'a>(records: impl Iterator<Item = &'a ReadRecord>, form: Form) -> String {
    let head = if form == Form::Json {
        ""
    } else {
        "SEQUENCE  TIME (UTC)           KIND              RUN                          WHAT\n"
    };
    format!("{head}{}", rows(records, form))
}

/// Records, a line each.
pub(crate) fn rows<'a>(records: impl Iterator<Item = &'a ReadRecord>, form: Form) -> String {
    records.map(|read| row(read, form)).collect()
}

/// One record in full.
pub(crate) fn whole(read: &ReadRecord, form: Form) -> String {
    // By its type, whose fields stand in the order of the line.
    let record = read.record.as_ref().filter(|_| form != Form::Json);
    match record.and_then(|record| serde_json::to_string_pretty(record).ok()) {
        Some(pretty) => format!("{}\n", json(&pretty)),
        None => format!("{}\n", json(&read.line)),
    }
}

fn row(read: &ReadRecord, form: Form) -> String {
    if form == Form::Json {
        return format!("{}\n", json(&read.line));
    }
    let Some(record) = &read.record else {
        return paint(form, "31", "a line that is no record, or was changed: see cofferdam audit verify") + "\n";
    };
    let time = record.time.get(..19).unwrap_or(&record.time).replace('T', " ");
    let run = record.execution.as_ref().map(|id| id.as_str()).or(record.vm.as_ref().map(|id| id.as_str()));
    let run = shown(run.unwrap_or("-"));
    let kind = format!("{:<16}", record.event.kind());
    let kind = colour(record).map_or_else(|| kind.clone(), |colour| paint(form, colour, &kind));
    format!("{:>8}  {}  {kind}  {run:<27}  {}\n", record.seq, shown(&time), what(&record.event))
}

fn paint(form: Form, colour: &str, text: &str) -> String {
    if form == Form::Coloured { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
}

/// Red for what was refused or failed, yellow for what waits for somebody or was put right.
fn colour(record: &Record) -> Option<&'static str> {
    match (&record.event, record.event.verdict()) {
        (Event::Failed(_) | Event::ActionFailed(_), _) | (_, Some(Verdict::Deny)) => Some("31"),
        (Event::Recovered(_) | Event::Guard(_), _) | (_, Some(Verdict::Prompt)) => Some("33"),
        _ => None,
    }
}

/// What happened, in one line.
fn what(event: &Event) -> String {
    match event {
        Event::Started(started) => {
            let arguments = match &started.arguments.redacted {
                Some(arguments) => arguments.iter().map(|one| format!(" {}", shown(one))).collect(),
                None if started.arguments.count == 0 => String::new(),
                None => format!(" (and {} arguments)", started.arguments.count),
            };
            format!(
                "{}{arguments} under {}{}",
                shown(&started.program),
                shown(&started.policy),
                by(started.rule.as_ref())
            )
        }
        Event::Completed(ended) | Event::Failed(ended) => {
            let tasks = ended.usage.tasks.map(|tasks| format!(", {tasks} tasks")).unwrap_or_default();
            let changes = ended.changes.as_ref().map(|own| format!(", changes {}", shown(&own.id))).unwrap_or_default();
            format!("of {}: {}{tasks}{changes}", ended.started, cause(&ended.cause))
        }
        Event::ActionStarted(begun) => format!("{} as {}", shown(&begun.action), shown(&begun.job)),
        Event::ActionCompleted(ended) | Event::ActionFailed(ended) => {
            let why = ended.code.map_or("done", ErrorCode::as_str);
            format!("of {}: {} {why} in {} ms", ended.started, shown(&ended.action), ended.elapsed_ms)
        }
        Event::Refused(refused) => format!("{}: {}", shown(&refused.subject), shown(&refused.message)),
        Event::Decision(decided) => {
            let said = verdict(decided.verdict);
            format!("{said} {} of {}{}", shown(&decided.access), shown(&decided.subject), by(decided.rule.as_ref()))
        }
        Event::Prompted(asked) => {
            let by = by(asked.rule.as_ref());
            format!("{} {} of {}{by}", shown(&asked.prompt), shown(&asked.access), shown(&asked.subject))
        }
        Event::Answered(answered) => {
            let lasts = answered.lasts.map(|lasts| format!(", {}", lasting(lasts))).unwrap_or_default();
            format!(
                "{} {} {} of {} by {} after {} ms{lasts}",
                shown(&answered.prompt),
                verdict(answered.verdict),
                shown(&answered.access),
                shown(&answered.subject),
                shown(&answered.by),
                answered.waited_ms
            )
        }
        Event::Granted(grant) => format!(
            "{} for {} of {}, {}",
            shown(&grant.grant),
            shown(&grant.access),
            shown(&grant.subject),
            lasting(grant.lasts)
        ),
        Event::GrantUsed(used) => {
            format!("{} for {} of {}", shown(&used.grant), shown(&used.access), shown(&used.subject))
        }
        Event::Revoked(grant) => {
            format!(
                "{} for {} of {}: {}",
                shown(&grant.grant),
                shown(&grant.access),
                shown(&grant.subject),
                shown(&grant.why)
            )
        }
        Event::Guard(seen) => {
            format!("{}: {} of {}, {}", shown(&seen.figure), seen.observed, seen.limit, shown(&seen.outcome))
        }
        Event::ChangesCommitting(made) | Event::ChangesCommitted(made) | Event::ChangesDiscarded(made) => {
            format!("{} of {}", shown(&made.changes.id), shown(&made.workspace))
        }
        Event::Note(note) => format!("{}: {}", shown(&note.code), shown(&note.message)),
        Event::Recovered(recovered) => match recovered.sync_failed {
            true => "the disk failed to make sure of what stands before".to_owned(),
            false => format!("{} bytes that a crash had left were cut", recovered.cut_bytes),
        },
        Event::Retired(retired) => format!("{} to {} were removed, being the oldest", retired.first, retired.last),
        Event::Checkpoint(_) => "signed".to_owned(),
        _ => String::new(),
    }
}

fn by(rule: Option<&RuleRef>) -> String {
    rule.map(|rule| format!(" by `{}` ({})", shown(&rule.text), shown(&rule.place()))).unwrap_or_default()
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "allow",
        Verdict::Deny => "deny",
        Verdict::Prompt => "prompt",
        _ => "?",
    }
}

fn lasting(lasts: Remember) -> &'static str {
    match lasts {
        Remember::Once => "once",
        Remember::Session => "for the session",
        Remember::Always => "until revoked or expired",
        _ => "?",
    }
}

fn cause(cause: &ExitCause) -> String {
    match cause {
        ExitCause::Exited { code } => format!("exited with {code}"),
        ExitCause::Signalled { signal, .. } => format!("ended by signal {signal}"),
        other => other.code().map_or_else(|| "ended".to_owned(), |code| code.to_string()),
    }
}

/// What verifying came to.
pub(crate) fn verified(verified: &Verified) -> String {
    let Verified { records, first, last, segments, recoveries, .. } = verified;
    let mut text = String::new();
    for fault in &verified.faults {
        text.push_str(&format!("fault: {}\n", shown(&fault.to_string())));
    }
    if *records == 0 {
        text.push_str("The log is empty.\n");
        return text;
    }
    let state = if verified.faults.is_empty() { "whole" } else { "not whole" };
    text.push_str(&format!("The log is {state}: {records} records, {first} to {last}, in {segments} segments"));
    if *recoveries > 0 {
        text.push_str(&format!("; put right after a crash {recoveries} times"));
    }
    if let Some(signed) = verified.signed {
        text.push_str(&format!("; signed up to {signed}"));
    }
    text.push_str(&format!("\nhead: {last}:{}\n", verified.head));
    text
}

/// The same as one JSON object.
pub(crate) fn verified_json(verified: &Verified) -> String {
    // Numbers, texts and lists always have a JSON form.
    format!("{}\n", json(&serde_json::to_string(verified).unwrap_or_default()))
}

/// The JSON Schema of that object.
pub(crate) fn verified_schema() -> String {
    format!("{}\n", serde_json::to_string_pretty(&schema_for!(Verified)).unwrap_or_default())
}
