//! How answers of a session's host are shown.

use crate::escape;
use crate::failure::Failure;
use crate::report::human;
use crate::session::{Answer, CommandReport};
use cofferdam_bridge::error::BridgeError;
use cofferdam_kernel::session::CommandState;

/// One line of JSON, in which nothing steers a terminal.
pub(super) fn json(answer: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(answer).unwrap_or_default();
    super::print(&format!("{}\n", escape::json(&text)))
}

/// What an answer that is a failure comes to; others come back as they are.
pub(super) fn or_failure(answer: Answer) -> Result<Answer, Failure> {
    match answer {
        Answer::Failed { error, .. } => Err(error.into()),
        other => Ok(other),
    }
}

/// A command in one line.
pub(super) fn line(report: &CommandReport) -> String {
    let name = &report.name;
    if !report.persistent {
        return format!("{name}  one-shot");
    }
    let what = match report.state {
        CommandState::Running => {
            let pid = report.pid.map(|pid| format!(" as process {pid}")).unwrap_or_default();
            let ready = if report.ready { "ready" } else { "not ready yet" };
            let at = report.published.iter().map(human::published).collect::<String>();
            format!("running{pid} for {} ms, {ready}{at}", report.uptime_ms)
        }
        CommandState::Restarting => format!("{}, about to be started again", ended(report)),
        CommandState::Ended => ended(report),
        _ => "not started".to_owned(),
    };
    let again = if report.restarts > 0 { format!(", started again {} times", report.restarts) } else { String::new() };
    format!("{name}  {what}{again}")
}

fn ended(report: &CommandReport) -> String {
    match (report.exit_code, report.exit_signal, &report.ended_by) {
        (Some(code), ..) => format!("ended with exit code {code}"),
        (None, _, Some(why)) if why != "cancelled" => format!("ended by {why}"),
        (None, Some(signal), _) => format!("ended by signal {signal}"),
        _ => "ended".to_owned(),
    }
}

/// The last part of a stream, named and line by line, so that it can be told from our own words.
pub(super) fn stream(name: &str, bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return String::new();
    }
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<String> = text.lines().map(|line| format!("  {}", escape::line(line))).collect();
    format!("{name}:\n{}\n", lines.join("\n"))
}

/// What a command said at last, marked as its own words.
pub(super) fn guest_words(command: &str, error: &BridgeError, words: &str) {
    human::note(&error.message);
    for line in words.lines() {
        human::note(&format!("{command} says: {}", escape::line(line)));
    }
}
