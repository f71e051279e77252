//! A session file, read and checked: keys, types, units, each mistake with line and column as policies have it.

use super::command_spec::{CommandSpec, Program, check_variable};
use super::persistence::Persistence;
use super::readiness::{LinePattern, Readiness};
use super::spec::SessionSpec;
use crate::output::{InvalidUtf8, OutputMode};
use crate::policy::document::{items, table, text_of, unknown};
use crate::policy::quantity::milliseconds;
use crate::policy::tree::{Kind, Node, Place, invalid, read};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::network_scope::NetworkScope;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// Keys, section by section, as the schema has them.
pub(super) const SESSION: [&str; 7] = ["version", "policy", "network", "shell", "idle", "most_running", "commands"];
pub(super) const COMMAND: [&str; 15] = [
    "shell",
    "argv",
    "cwd",
    "pass",
    "set",
    "timeout",
    "output",
    "invalid_utf8",
    "persistent",
    "ready",
    "ready_within",
    "restart",
    "terminal",
    "stdin",
    "grace",
];
pub(super) const READY: [&str; 2] = ["port", "line"];
pub(super) const RESTART: [&str; 4] = ["when", "delay", "longest", "most"];

impl SessionSpec {
    /// Reads a session file: TOML, or JSON with the same keys. `source` is what messages call it, usually its path.
    ///
    /// ```
    /// use cofferdam_kernel::session::SessionSpec;
    /// let text = "version = 1\n[commands.count]\nargv = [\"wc\", \"-l\"]\noutput = \"json\"\n";
    /// assert_eq!(SessionSpec::parse(text, "mine.toml")?.commands().count(), 1);
    /// # Ok::<(), cofferdam_bridge::error::BridgeError>(())
    /// ```
    ///
    /// # Errors
    /// `session_invalid` with file, line and column.
    pub fn parse(text: &str, source: &str) -> Result<Self, BridgeError> {
        File { source }.session(text).map_err(|mut error| {
            error.code = ErrorCode::SessionInvalid;
            error.category = error.code.category();
            error
        })
    }
}

/// A file that is being read.
struct File<'a> {
    source: &'a str,
}

/// What a command may say only when it is persistent, or only when it is not, and where that was said.
#[derive(Default)]
struct Said {
    persistent: Option<bool>,
    only_persistent: Vec<(&'static str, Option<Place>)>,
    only_one_shot: Vec<(&'static str, Option<Place>)>,
}

impl File<'_> {
    fn session(&self, text: &str) -> Result<SessionSpec, BridgeError> {
        let (mut spec, mut version) = (SessionSpec::default(), false);
        for (key, place, node) in table(read(text, self.source)?, self.source)? {
            let at = node.place;
            match key.as_str() {
                "version" => {
                    version = matches!(node.kind, Kind::Whole(1));
                    if !version {
                        return Err(self.wrong(at, "this version of session files is not known; write `version = 1`"));
                    }
                }
                "policy" => spec.policy = Some(self.text(node)?),
                "network" => {
                    spec.network = match self.text(node)?.as_str() {
                        "shared" => NetworkScope::Context,
                        "separate" => NetworkScope::Execution,
                        _ => return Err(self.wrong(at, "`network` is \"shared\" or \"separate\"")),
                    }
                }
                "shell" => spec.shell = self.text(node)?,
                "idle" => spec.idle = Some(self.time(node)?),
                "most_running" => spec.most_running = self.count(node)?,
                "commands" => {
                    for (name, place, node) in table(node, self.source)? {
                        let command = self.command(&name, place, node)?;
                        // Neither TOML nor this reader of JSON lets a key stand twice.
                        drop(spec.commands.insert(name, command));
                    }
                }
                other => return Err(unknown(self.source, place, other, &SESSION)),
            }
        }
        if !version {
            return Err(self.wrong(None, "`version = 1` is missing"));
        }
        spec.check().map_err(|error| self.wrong(None, &error.message))?;
        Ok(spec)
    }

    fn command(&self, name: &str, at: Option<Place>, node: Node) -> Result<CommandSpec, BridgeError> {
        let mut command = CommandSpec::shell(name, "");
        let (mut program, mut said, mut kept) = (None, Said::default(), Persistence::default());
        for (key, place, node) in table(node, self.source)? {
            match key.as_str() {
                "shell" | "argv" if program.is_some() => {
                    return Err(self.wrong(place, "a command has either `shell` or `argv`"));
                }
                "shell" => program = Some(Program::Shell(self.text(node)?)),
                "argv" => program = Some(self.argv(node)?),
                "cwd" => command.directory = Some(self.text(node)?),
                "pass" => {
                    for item in items(node, self.source)? {
                        let at = item.place;
                        let variable = self.text(item)?;
                        check_variable(name, &variable).map_err(|error| self.wrong(at, &error.message))?;
                        command.pass.push(variable);
                    }
                }
                "set" => {
                    for (variable, place, node) in table(node, self.source)? {
                        check_variable(name, &variable).map_err(|error| self.wrong(place, &error.message))?;
                        drop(command.set.insert(variable, self.text(node)?));
                    }
                }
                "timeout" => command.timeout = Some(self.time(node)?),
                "persistent" => said.persistent = Some(self.truth(node)?),
                "output" | "invalid_utf8" => self.shape(&key, node, &mut command, &mut said, place)?,
                "ready" | "ready_within" | "restart" | "terminal" | "stdin" | "grace" => {
                    self.persistence(&key, node, &mut kept, &mut said, place)?;
                }
                other => return Err(unknown(self.source, place, other, &COMMAND)),
            }
        }
        command.program = program.ok_or_else(|| self.wrong(at, &format!("`{name}` has neither `shell` nor `argv`")))?;
        self.consistent(name, &said)?;
        command.persistence = (said.persistent == Some(true)).then_some(kept);
        command.check().map_err(|error| self.wrong(at, &error.message))?;
        Ok(command)
    }

    fn argv(&self, node: Node) -> Result<Program, BridgeError> {
        let place = node.place;
        let mut words = Vec::new();
        for item in items(node, self.source)? {
            words.push(self.text(item)?);
        }
        let mut words = words.into_iter();
        let program = words.next().ok_or_else(|| self.wrong(place, "`argv` is empty; name a program"))?;
        Ok(Program::Argv { program, arguments: words.collect() })
    }

    fn shape(
        &self,
        key: &str,
        node: Node,
        command: &mut CommandSpec,
        said: &mut Said,
        place: Option<Place>,
    ) -> Result<(), BridgeError> {
        if key == "output" {
            command.shape.mode = self.word::<OutputMode>(node, "\"text\", \"json\" or \"lines\"")?;
            said.only_one_shot.push(("output", place));
        } else {
            command.shape.invalid_utf8 = self.word::<InvalidUtf8>(node, "\"refuse\" or \"replace\"")?;
            said.only_one_shot.push(("invalid_utf8", place));
        }
        Ok(())
    }

    fn persistence(
        &self,
        key: &str,
        node: Node,
        kept: &mut Persistence,
        said: &mut Said,
        place: Option<Place>,
    ) -> Result<(), BridgeError> {
        let name = match key {
            "ready" => {
                kept.readiness = Some(self.ready(node)?);
                "ready"
            }
            "ready_within" => {
                kept.ready_within = self.time(node)?;
                "ready_within"
            }
            "restart" => {
                self.restart(node, kept)?;
                "restart"
            }
            "terminal" => {
                kept.terminal = self.truth(node)?;
                "terminal"
            }
            "stdin" => {
                kept.stdin = self.word(node, "\"null\" or \"open\"")?;
                "stdin"
            }
            _ => {
                kept.grace = self.time(node)?;
                "grace"
            }
        };
        said.only_persistent.push((name, place));
        Ok(())
    }

    fn ready(&self, node: Node) -> Result<Readiness, BridgeError> {
        let (at, mut found) = (node.place, None);
        for (key, place, node) in table(node, self.source)? {
            let value = node.place;
            if found.is_some() {
                return Err(self.wrong(place, "a command is ready by a port or by a line, not by both"));
            }
            found = Some(match key.as_str() {
                "port" => {
                    let port = if let Kind::Whole(port) = node.kind { u16::try_from(port).ok() } else { None };
                    let port = port.filter(|port| *port > 0);
                    Readiness::Port(port.ok_or_else(|| self.wrong(value, "a port is a number from 1 to 65535"))?)
                }
                "line" => {
                    let pattern = LinePattern::new(&self.text(node)?);
                    Readiness::Line(pattern.map_err(|error| self.wrong(value, &error.message))?)
                }
                other => return Err(unknown(self.source, place, other, &READY)),
            });
        }
        found.ok_or_else(|| self.wrong(at, "say by what the command is ready: `port` or `line`"))
    }

    fn restart(&self, node: Node, kept: &mut Persistence) -> Result<(), BridgeError> {
        const WHEN: &str = "\"never\", \"on-failure\" or \"always\"";
        if matches!(node.kind, Kind::Text(_)) {
            kept.restart.when = self.word(node, WHEN)?;
            return Ok(());
        }
        let mut policy = kept.restart;
        for (key, place, node) in table(node, self.source)? {
            match key.as_str() {
                "when" => policy.when = self.word(node, WHEN)?,
                "delay" => policy.delay = self.time(node)?,
                "longest" => policy.longest = self.time(node)?,
                "most" => policy.most = Some(u32::try_from(self.count(node)?).unwrap_or(u32::MAX)),
                other => return Err(unknown(self.source, place, other, &RESTART)),
            }
        }
        kept.restart = policy.pauses(policy.delay, policy.longest);
        Ok(())
    }

    fn consistent(&self, name: &str, said: &Said) -> Result<(), BridgeError> {
        let persistent = said.persistent == Some(true);
        let wrong = if persistent { &said.only_one_shot } else { &said.only_persistent };
        let Some((key, place)) = wrong.first() else { return Ok(()) };
        let why = if persistent {
            format!("`{key}` is for one-shots, and `{name}` is persistent: follow its output instead")
        } else {
            format!("`{key}` is for persistent commands; write `persistent = true` for `{name}`")
        };
        Err(self.wrong(*place, &why))
    }

    fn text(&self, node: Node) -> Result<String, BridgeError> {
        text_of(node, self.source)
    }

    fn truth(&self, node: Node) -> Result<bool, BridgeError> {
        match node.kind {
            Kind::Truth(truth) => Ok(truth),
            other => Err(self.wrong(node.place, &format!("true or false is needed here, not {}", other.name()))),
        }
    }

    fn count(&self, node: Node) -> Result<usize, BridgeError> {
        let count = if let Kind::Whole(count) = node.kind { usize::try_from(count).ok() } else { None };
        count.filter(|count| *count > 0).ok_or_else(|| self.wrong(node.place, "a whole number above 0 is needed here"))
    }

    fn time(&self, node: Node) -> Result<Duration, BridgeError> {
        let place = node.place;
        match milliseconds(&self.text(node)?) {
            Ok(Some(time)) => Ok(Duration::from_millis(time)),
            Ok(None) => Err(self.wrong(place, "a time is needed here; leave the key out for none")),
            Err(why) => Err(self.wrong(place, &why)),
        }
    }

    fn word<T: DeserializeOwned>(&self, node: Node, known: &str) -> Result<T, BridgeError> {
        let place = node.place;
        let text = self.text(node)?;
        serde_json::from_value(serde_json::Value::String(text.clone()))
            .map_err(|_| self.wrong(place, &format!("`{text}` is not known here; write {known}")))
    }

    fn wrong(&self, place: Option<Place>, what: &str) -> BridgeError {
        invalid(self.source, place, what)
    }
}
