//! The verbs of `cofferdam session` that speak to a host.

use super::session_open::time;
use super::session_print::{guest_words, json, line, or_failure, stream};
use super::session_streams::Streams;
use crate::escape;
use crate::failure::{Failure, io};
use crate::guest_text::GuestText;
use crate::report::human;
use crate::session::attach::{Left, attach};
use crate::session::client::Client;
use crate::session::{Answer, CommandReport, Places, Request, SessionName};
use crate::{exit_code, session};
use clap::Args;
use cofferdam_bridge::error_code::ErrorCode;
use serde_json::Value;
use std::io::{IsTerminal, Read};
use std::time::Duration;

/// The key that leaves an attached terminal: Ctrl-].
const DETACH: &str = "^]";

/// Most bytes of standard input that are handed on.
const MOST_INPUT: u64 = 16 << 20;

/// Which command of which session.
#[derive(Debug, Args)]
pub(crate) struct Named {
    /// The session.
    session: SessionName,
    /// The command.
    command: String,
}

/// Lists open sessions, or the commands of one.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// The session.
    session: Option<SessionName>,
    /// Tell it as one JSON object.
    #[arg(long)]
    json: bool,
}

/// Runs a one-shot to its end and prints its value.
#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    named: Named,
    /// Hand standard input to it.
    #[arg(long)]
    stdin: bool,
    /// Hand on to a terminal, too, whatever characters stand in its value.
    #[arg(long, conflicts_with = "json")]
    raw: bool,
    /// End it after this time, such as 30s, whatever its declaration says.
    #[arg(long, value_name = "TIME", value_parser = time)]
    timeout: Option<Duration>,
    /// Tell everything as one JSON object.
    #[arg(long)]
    json: bool,
}

/// Starts a persistent command, unless it runs.
#[derive(Debug, Args)]
pub(crate) struct Start {
    #[command(flatten)]
    named: Named,
    /// Wait until it is ready.
    #[arg(long)]
    wait: bool,
}

/// Tells how a persistent command fares, and the last 64 KiB of what it printed.
#[derive(Debug, Args)]
pub(crate) struct Status {
    #[command(flatten)]
    named: Named,
    /// Tell it as one JSON object.
    #[arg(long)]
    json: bool,
}

/// Prints what a persistent command prints, from what is kept of it on, until it ends.
///
/// At a terminal, characters that would steer it are shown by their numbers; where output goes into a file or a pipe it is handed on as it is.
#[derive(Debug, Args)]
pub(crate) struct Follow {
    #[command(flatten)]
    named: Named,
    /// Hand on to a terminal, too, whatever the command prints.
    #[arg(long, conflicts_with = "json")]
    raw: bool,
    /// Tell each piece as one JSON object.
    #[arg(long)]
    json: bool,
}

/// Writes standard input to a persistent command.
#[derive(Debug, Args)]
pub(crate) struct Write {
    #[command(flatten)]
    named: Named,
    /// Close its standard input afterwards.
    #[arg(long)]
    close: bool,
}

/// Stops a persistent command: SIGTERM, its grace, SIGKILL; comes back when nothing of it is left.
#[derive(Debug, Args)]
pub(crate) struct Stop {
    #[command(flatten)]
    named: Named,
}

/// Waits until a persistent command is ready.
#[derive(Debug, Args)]
pub(crate) struct WaitReady {
    #[command(flatten)]
    named: Named,
}

/// Gives you the terminal of a persistent command, until you type the key that detaches.
#[derive(Debug, Args)]
pub(crate) struct Attach {
    #[command(flatten)]
    named: Named,
    /// The key that detaches.
    #[arg(long, value_name = "^KEY", default_value = DETACH, value_parser = control_key)]
    detach_key: u8,
}

/// Closes a session: stops everything in it, and comes back when nothing is left.
#[derive(Debug, Args)]
pub(crate) struct Close {
    /// The session.
    session: SessionName,
}

/// Prints the JSON Schema of session files.
#[derive(Debug, Args)]
pub(crate) struct Schema {}

/// A control character as `^X`.
fn control_key(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        [b'^', key @ b'@'..=b'_'] => Ok(key & 0x1f),
        [b'^', key @ b'a'..=b'z'] => Ok(key & 0x1f),
        _ => Err("a key is written ^A to ^Z, or ^[, ^\\, ^], ^^ and ^_".to_owned()),
    }
}

fn client(name: &SessionName) -> Result<Client, Failure> {
    Client::connect(&Places::of_user()?.of(name)?)
}

fn ask(name: &SessionName, request: &Request) -> Result<Answer, Failure> {
    or_failure(client(name)?.ask(request)?)
}

/// An answer that does not fit its question.
fn strange() -> Failure {
    Failure::new(ErrorCode::SessionUnreachable, "the session's host gave an answer that fits nothing that was asked")
}

impl List {
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        let Some(name) = &self.session else { return self.sessions() };
        let Answer::Commands(reports) = ask(name, &Request::List {})? else { return Err(strange()) };
        if self.json {
            json(&serde_json::json!({ "version": 1, "session": name.as_str(), "commands": reports }))?;
        } else {
            reports.iter().try_for_each(|report| super::print(&format!("{}\n", line(report))))?;
        }
        Ok(0)
    }

    fn sessions(&self) -> Result<u8, Failure> {
        let places = Places::of_user()?;
        let mut found = Vec::new();
        for name in places.names() {
            let answer = Client::connect(&places.of(&name)?).and_then(|mut client| client.ask(&Request::Hello {}));
            if let Ok(Answer::Hello { session, pid, .. }) = answer {
                found.push((session, pid));
            }
        }
        if self.json {
            let sessions: Vec<Value> =
                found.iter().map(|(name, pid)| serde_json::json!({ "session": name, "pid": pid })).collect();
            json(&serde_json::json!({ "version": 1, "sessions": sessions }))?;
        } else {
            found.iter().try_for_each(|(name, pid)| super::print(&format!("{name}  process {pid}\n")))?;
        }
        Ok(0)
    }
}

impl Run {
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        let stdin = if self.stdin { Some(session::Bytes(input()?)) } else { None };
        let timeout_ms = self.timeout.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        let command = self.named.command.clone();
        let answer = client(&self.named.session)?.ask(&Request::Run { command, stdin, timeout_ms })?;
        if self.json {
            json(&answer)?;
        }
        match answer {
            Answer::Value(_) if self.json => Ok(0),
            Answer::Value(Value::Null) => Ok(0),
            Answer::Value(Value::String(text)) if self.raw || !std::io::stdout().is_terminal() => {
                super::print(&format!("{text}\n")).map(|()| 0)
            }
            Answer::Value(Value::String(text)) => {
                let mut guest = GuestText::default();
                let (shown, rest) = (guest.shown(text.as_bytes()), guest.end());
                super::print(&format!("{shown}{rest}\n")).map(|()| 0)
            }
            // Escaped, it is the same JSON.
            Answer::Value(value) => super::print(&format!("{}\n", escape::json(&value.to_string()))).map(|()| 0),
            Answer::Failed { error, failure } => {
                let known = failure.as_ref().map(|failure| (failure.exit_code, failure.signal));
                let code = match known {
                    _ if error.code == ErrorCode::WallTimeExceeded => exit_code::TIMED_OUT,
                    Some((Some(code), _)) if code != 0 => u8::try_from(code & 0xff).unwrap_or(u8::MAX),
                    Some((_, Some(signal))) => u8::try_from(128 + (signal & 0x7f)).unwrap_or(u8::MAX),
                    _ => exit_code::of_error(error.code),
                };
                match failure {
                    _ if self.json => {}
                    Some(failure) => guest_words(&self.named.command, &error, &failure.guest_stderr_tail),
                    None => return Err(error.into()),
                }
                Ok(code)
            }
            _ => Err(strange()),
        }
    }
}

/// All of standard input.
fn input() -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().take(MOST_INPUT + 1).read_to_end(&mut bytes);
    read.map_err(|error| io("standard input cannot be read", &error))?;
    if bytes.len() as u64 > MOST_INPUT {
        let sentence =
            format!("standard input holds more than {MOST_INPUT} bytes; let the command read a file instead");
        return Err(Failure::new(ErrorCode::InputLimitExceeded, sentence));
    }
    Ok(bytes)
}

impl Start {
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        let (name, command) = (&self.named.session, self.named.command.clone());
        let Answer::Started { pid } = ask(name, &Request::Start { command: command.clone() })? else {
            return Err(strange());
        };
        if self.wait {
            ask(name, &Request::WaitReady { command: command.clone() })?;
        }
        let pid = pid.map(|pid| format!(" as process {pid}")).unwrap_or_default();
        let ready = if self.wait { ", and is ready" } else { "" };
        super::print(&format!("{command} runs{pid}{ready}\n"))?;
        Ok(0)
    }
}

impl Status {
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        let command = self.named.command;
        let Answer::Status(report) = ask(&self.named.session, &Request::Status { command })? else {
            return Err(strange());
        };
        if self.json {
            json(&report)?;
            return Ok(0);
        }
        super::print(&format!("{}\n", line(&report)))?;
        let of = |bytes: &Option<session::Bytes>| bytes.as_ref().map(|bytes| bytes.0.clone()).unwrap_or_default();
        super::print(&stream("its standard output", &of(&report.stdout)))?;
        super::print(&stream("its standard error", &of(&report.stderr)))?;
        Ok(0)
    }
}

impl Follow {
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        let mut client = client(&self.named.session)?;
        client.say(&Request::Follow { command: self.named.command.clone() })?;
        let mut streams = Streams::to_terminals_unless(self.raw);
        while let Some(answer) = client.next()? {
            let answer = or_failure(answer)?;
            if self.json {
                json(&answer)?;
            }
            match answer {
                Answer::Ended(report) => {
                    if !self.json {
                        human::note(&line(&report));
                    }
                    return Ok(0);
                }
                Answer::Output { stream, lost, bytes } if !self.json => {
                    if lost > 0 {
                        human::note(&format!("{lost} bytes of {stream} came too fast and are left out"));
                    }
                    if !streams.hand_on(&stream, &bytes.0)? {
                        return Ok(0);
                    }
                }
                _ => {}
            }
        }
        human::note("the session was closed");
        Ok(0)
    }
}

impl Write {
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        let bytes = session::Bytes(input()?);
        ask(&self.named.session, &Request::Write { command: self.named.command, bytes, close: self.close })?;
        Ok(0)
    }
}

impl Stop {
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        let command = self.named.command;
        let Answer::Status(report) = ask(&self.named.session, &Request::Stop { command })? else {
            return Err(strange());
        };
        super::print(&format!("{}\n", line(&report)))?;
        Ok(0)
    }
}

impl WaitReady {
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        ask(&self.named.session, &Request::WaitReady { command: self.named.command })?;
        Ok(0)
    }
}

impl Attach {
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        let Named { session, command } = &self.named;
        let left = attach(client(session)?, command, self.detach_key)?;
        if left == Left::Signalled {
            return Ok(0);
        }
        if left == Left::Detached {
            human::note(&format!("you have left {command}, which goes on"));
            return Ok(0);
        }
        let Answer::Status(report) = ask(session, &Request::Status { command: command.clone() })? else {
            return Err(strange());
        };
        human::note(&line(&report));
        Ok(code_of(&report))
    }
}

/// The exit code of whoever stayed to the end.
fn code_of(report: &CommandReport) -> u8 {
    match (report.exit_code, report.exit_signal) {
        (Some(code), _) => u8::try_from(code & 0xff).unwrap_or(u8::MAX),
        (None, Some(signal)) => u8::try_from(128 + (signal & 0x7f)).unwrap_or(u8::MAX),
        _ => 0,
    }
}

impl Close {
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        ask(&self.session, &Request::Close {})?;
        Ok(0)
    }
}

impl Schema {
    pub(crate) fn execute(self) -> Result<u8, Failure> {
        super::print(&format!("{:#}\n", cofferdam_kernel::session::schema()))?;
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::control_key;

    #[test]
    fn a_key_is_a_control_character() {
        assert_eq!(control_key("^]"), Ok(0x1d));
        assert_eq!((control_key("^A"), control_key("^a")), (Ok(1), Ok(1)));
        for text in ["", "a", "^", "^1", "^ab"] {
            assert!(control_key(text).is_err(), "{text}");
        }
    }
}
