//! A policy file, read and checked on its own: keys, types, units. What it extends is not looked at here.

use super::http_rule::{self, http_rule};
use super::listen_rule::{ListenRule, listen_rule};
use super::network_rule::{HostRule, asked_rule, datagram_rule, host_rule};
use super::quantity;
use super::tree::{Kind, Node, Place, invalid, read};
use cofferdam_bridge::enforcement::{Mechanism, Tier};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::limits::Limits;
use cofferdam_bridge::profile::{CallProfile, Changes, HttpRule, NetworkMode, TlsCheck};
use cofferdam_bridge::prompt::Remember;
use cofferdam_bridge::verdict::RuleRef;
use serde::de::DeserializeOwned;

/// One entry of a list and the line it stands in.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) text: String,
    pub(super) rule: RuleRef,
    pub(super) place: Option<Place>,
}

/// What a file says. Lists hold what stands there; `None` is what it leaves open. Values of variables are in it: it has no `Debug`.
#[derive(Clone, Default)]
pub(super) struct Document {
    pub(super) source: String,
    pub(super) extends: Option<Entry>,
    pub(super) include: Vec<Entry>,
    pub(super) read: Vec<Entry>,
    pub(super) write: Vec<Entry>,
    pub(super) deny: Vec<Entry>,
    pub(super) protect: Vec<Entry>,
    pub(super) unprotect: Vec<Entry>,
    pub(super) changes: Option<Changes>,
    pub(super) network_mode: Option<NetworkMode>,
    pub(super) network_allow: Vec<(HostRule, Entry)>,
    pub(super) network_datagrams: Vec<(HostRule, Entry)>,
    pub(super) listen: Vec<(ListenRule, Entry)>,
    pub(super) tls: Option<TlsCheck>,
    pub(super) http: Vec<(HttpRule, Entry)>,
    /// The files of its certificate and its key.
    pub(super) http_authority: Option<[Entry; 2]>,
    pub(super) commands_allow: Vec<Entry>,
    pub(super) commands_deny: Vec<Entry>,
    pub(super) calls: Option<CallProfile>,
    pub(super) pass: Vec<Entry>,
    pub(super) set: Vec<(String, String)>,
    pub(super) limits: Vec<(&'static str, Option<u64>)>,
    pub(super) require: Option<Tier>,
    pub(super) allow_degraded: Vec<Mechanism>,
    pub(super) prompt: Vec<(String, Entry)>,
    pub(super) prompt_network: Vec<(HostRule, Entry)>,
    pub(super) remember: Option<Remember>,
}

/// Keys, section by section, as the schema has them.
pub(super) const SECTIONS: [&str; 10] = [
    "version",
    "extends",
    "include",
    "filesystem",
    "network",
    "commands",
    "environment",
    "limits",
    "isolation",
    "prompt",
];

pub(super) const FILESYSTEM: [&str; 6] = ["read", "write", "deny", "protect", "unprotect", "changes"];
pub(super) const NETWORK: [&str; 6] = ["mode", "allow", "listen", "tls", "http", "http_authority"];
pub(super) const COMMANDS: [&str; 3] = ["allow", "deny", "calls"];
pub(super) const ENVIRONMENT: [&str; 2] = ["pass", "set"];
pub(super) const ISOLATION: [&str; 2] = ["require", "allow_degraded"];
pub(super) const PROMPT: [&str; 4] = ["network", "filesystem", "commands", "remember"];

/// Names of limits with how their values are written.
pub(super) const TIMES: [&str; 2] = ["wall", "cpu"];
pub(super) const SIZES: [&str; 5] = ["memory", "disk", "stdin", "stdout", "stderr"];
pub(super) const COUNTS: [&str; 2] = ["processes", "open_files"];

impl Document {
    /// Reads a policy file.
    pub(super) fn parse(text: &str, source: &str) -> Result<Self, BridgeError> {
        let mut document = Self { source: source.to_owned(), ..Self::default() };
        let mut version = false;
        for (key, place, node) in table(read(text, source)?, source)? {
            match key.as_str() {
                "version" => {
                    version = matches!(node.kind, Kind::Whole(1));
                    if !version {
                        return Err(invalid(
                            source,
                            node.place,
                            "this version of policies is not known; write `version = 1`",
                        ));
                    }
                }
                "extends" => document.extends = Some(document.entry(node, "extends")?),
                "include" => document.include = document.list(node, "include")?,
                "filesystem" => document.filesystem(node)?,
                "network" => document.network(node)?,
                "commands" => document.commands(node)?,
                "environment" => document.environment(node)?,
                "limits" => document.limits(node)?,
                "isolation" => document.isolation(node)?,
                "prompt" => document.prompt(node)?,
                other => return Err(unknown(source, place, other, &SECTIONS)),
            }
        }
        if version { Ok(document) } else { Err(invalid(source, None, "`version = 1` is missing")) }
    }

    fn filesystem(&mut self, node: Node) -> Result<(), BridgeError> {
        for (key, place, node) in table(node, &self.source)? {
            match key.as_str() {
                "read" => self.read = self.list(node, "filesystem.read")?,
                "write" => self.write = self.list(node, "filesystem.write")?,
                "deny" => self.deny = self.list(node, "filesystem.deny")?,
                "protect" => self.protect = self.list(node, "filesystem.protect")?,
                "unprotect" => self.unprotect = self.list(node, "filesystem.unprotect")?,
                "changes" => self.changes = Some(self.word(node, "\"direct\" or \"overlay\"")?),
                other => {
                    return Err(unknown(&self.source, place, other, &FILESYSTEM));
                }
            }
        }
        Ok(())
    }

    fn network(&mut self, node: Node) -> Result<(), BridgeError> {
        for (key, place, node) in table(node, &self.source)? {
            match key.as_str() {
                "mode" => self.network_mode = Some(self.word(node, "\"deny\", \"allowlist\" or \"inherit\"")?),
                "tls" => self.tls = Some(self.word(node, "\"match-name\", \"match-if-named\" or \"opaque\"")?),
                "allow" => {
                    for entry in self.list(node, "network.allow")? {
                        let datagrams = datagram_rule(&entry.text);
                        let list =
                            if datagrams.is_some() { &mut self.network_datagrams } else { &mut self.network_allow };
                        let rule = datagrams.unwrap_or_else(|| host_rule(&entry.text));
                        list.push((rule.map_err(|why| invalid(&self.source, entry.place, &why))?, entry));
                    }
                }
                "http" => {
                    for entry in self.list(node, "network.http")? {
                        let rule = http_rule(&entry.text, entry.rule.clone());
                        self.http.push((rule.map_err(|why| invalid(&self.source, entry.place, &why))?, entry));
                    }
                }
                "http_authority" => self.http_authority = Some(http_rule::authority(self, node)?),
                "listen" => {
                    for mut item in items(node, &self.source)? {
                        // The same port outside is a number, others are text.
                        item.kind = match item.kind {
                            Kind::Whole(port) => Kind::Text(port.to_string()),
                            Kind::Text(text) => Kind::Text(text),
                            other => Kind::Text(other.name().to_owned()),
                        };
                        let entry = self.entry(item, "network.listen")?;
                        let rule = listen_rule(&entry.text).map_err(|why| invalid(&self.source, entry.place, &why))?;
                        self.listen.push((rule, entry));
                    }
                }
                other => return Err(unknown(&self.source, place, other, &NETWORK)),
            }
        }
        Ok(())
    }

    fn commands(&mut self, node: Node) -> Result<(), BridgeError> {
        for (key, place, node) in table(node, &self.source)? {
            match key.as_str() {
                "allow" => self.commands_allow = self.list(node, "commands.allow")?,
                "deny" => self.commands_deny = self.list(node, "commands.deny")?,
                "calls" => self.calls = Some(self.word(node, "\"usual\", \"no-exec\" or \"compute\"")?),
                other => return Err(unknown(&self.source, place, other, &COMMANDS)),
            }
        }
        Ok(())
    }

    fn environment(&mut self, node: Node) -> Result<(), BridgeError> {
        for (key, place, node) in table(node, &self.source)? {
            match key.as_str() {
                "pass" => self.pass = self.list(node, "environment.pass")?,
                "set" => {
                    for (name, place, node) in table(node, &self.source)? {
                        if name.is_empty() || name.contains(['=', '\0']) {
                            return Err(invalid(&self.source, place, "a variable's name is empty or holds `=` or NUL"));
                        }
                        let value = text_of(node, &self.source)?;
                        self.set.push((name, value));
                    }
                }
                other => return Err(unknown(&self.source, place, other, &ENVIRONMENT)),
            }
        }
        Ok(())
    }

    fn limits(&mut self, node: Node) -> Result<(), BridgeError> {
        for (key, place, node) in table(node, &self.source)? {
            let at = node.place;
            let find = |names: &[&'static str]| names.iter().find(|name| **name == key).copied();
            let (name, value) = if let Some(name) = find(&TIMES) {
                (name, quantity::milliseconds(&text_of(node, &self.source)?))
            } else if let Some(name) = find(&SIZES) {
                (name, quantity::bytes(&text_of(node, &self.source)?))
            } else if let Some(name) = find(&COUNTS) {
                let count = if let Kind::Whole(count) = node.kind {
                    u64::try_from(count).ok().filter(|count| *count > 0)
                } else {
                    None
                };
                (name, count.map(Some).ok_or_else(|| format!("`limits.{name}` is a whole number above 0")))
            } else {
                let known: Vec<_> = TIMES.into_iter().chain(SIZES).chain(COUNTS).collect();
                return Err(unknown(&self.source, place, &key, &known));
            };
            self.limits.push((name, value.map_err(|why| invalid(&self.source, at, &why))?));
        }
        Ok(())
    }

    fn isolation(&mut self, node: Node) -> Result<(), BridgeError> {
        for (key, place, node) in table(node, &self.source)? {
            match key.as_str() {
                "require" => self.require = Some(self.word(node, "\"full\", \"landlock\" or \"none\"")?),
                "allow_degraded" => {
                    for item in items(node, &self.source)? {
                        self.allow_degraded.push(
                            self.word(item, "the name of a mechanism, such as \"landlock\" or \"network_namespace\"")?,
                        );
                    }
                }
                other => return Err(unknown(&self.source, place, other, &ISOLATION)),
            }
        }
        Ok(())
    }

    /// What is to be asked of the host: connections, files, programs, and the longest that an answer holds.
    fn prompt(&mut self, node: Node) -> Result<(), BridgeError> {
        for (key, place, node) in table(node, &self.source)? {
            match key.as_str() {
                "network" => {
                    for entry in self.list(node, "prompt.network")? {
                        let rule = asked_rule(&entry.text).map_err(|why| invalid(&self.source, entry.place, &why))?;
                        self.prompt_network.push((rule, entry));
                    }
                }
                "commands" => self.prompts(node, "commands")?,
                "filesystem" => {
                    for (key, place, node) in table(node, &self.source)? {
                        match key.as_str() {
                            "read" | "write" => self.prompts(node, &format!("filesystem.{key}"))?,
                            other => return Err(unknown(&self.source, place, other, &["read", "write"])),
                        }
                    }
                }
                "remember" => self.remember = Some(self.word(node, "\"once\", \"session\" or \"always\"")?),
                other => return Err(unknown(&self.source, place, other, &PROMPT)),
            }
        }
        Ok(())
    }

    fn prompts(&mut self, node: Node, what: &str) -> Result<(), BridgeError> {
        let entries = self.list(node, &format!("prompt.{what}"))?;
        self.prompt.extend(entries.into_iter().map(|entry| (what.to_owned(), entry)));
        Ok(())
    }

    fn list(&self, node: Node, key: &str) -> Result<Vec<Entry>, BridgeError> {
        items(node, &self.source)?.into_iter().map(|item| self.entry(item, key)).collect()
    }

    pub(super) fn entry(&self, node: Node, key: &str) -> Result<Entry, BridgeError> {
        let place = node.place;
        let text = text_of(node, &self.source)?;
        if text.is_empty() || text.contains('\0') {
            return Err(invalid(&self.source, place, &format!("an entry of `{key}` is empty or holds a NUL byte")));
        }
        let rule = RuleRef::new(&self.source, place.map(|place| place.line), format!("{key} \"{text}\""));
        Ok(Entry { text, rule, place })
    }

    /// A word out of a fixed set, by the names its type has in JSON.
    fn word<T: DeserializeOwned>(&self, node: Node, known: &str) -> Result<T, BridgeError> {
        let place = node.place;
        let text = text_of(node, &self.source)?;
        serde_json::from_value(serde_json::Value::String(text.clone()))
            .map_err(|_| invalid(&self.source, place, &format!("`{text}` is not known here; write {known}")))
    }
}

/// Sets a limit by its name in a policy.
pub(super) fn set_limit(limits: &mut Limits, name: &str, value: Option<u64>) {
    match name {
        "wall" => limits.wall_ms = value,
        "cpu" => limits.cpu_ms = value,
        "memory" => limits.memory_bytes = value,
        "disk" => limits.disk_bytes = value,
        "stdin" => limits.stdin_bytes = value,
        "stdout" => limits.stdout_bytes = value,
        "stderr" => limits.stderr_bytes = value,
        "processes" => limits.processes = value,
        "open_files" => limits.open_files = value,
        _ => {}
    }
}

pub(crate) fn table(node: Node, source: &str) -> Result<Vec<(String, Option<Place>, Node)>, BridgeError> {
    match node.kind {
        Kind::Table(entries) => Ok(entries),
        other => Err(invalid(source, node.place, &format!("a table is needed here, not {}", other.name()))),
    }
}

pub(crate) fn items(node: Node, source: &str) -> Result<Vec<Node>, BridgeError> {
    match node.kind {
        Kind::List(items) => Ok(items),
        other => Err(invalid(source, node.place, &format!("a list is needed here, not {}", other.name()))),
    }
}

pub(crate) fn text_of(node: Node, source: &str) -> Result<String, BridgeError> {
    match node.kind {
        Kind::Text(text) => Ok(text),
        other => Err(invalid(source, node.place, &format!("a text in quotes is needed here, not {}", other.name()))),
    }
}

pub(crate) fn unknown(source: &str, place: Option<Place>, key: &str, known: &[&str]) -> BridgeError {
    let close = known.iter().min_by_key(|name| distance(name, key)).filter(|name| distance(name, key) <= 3);
    let hint =
        close.map_or_else(|| format!("known here: {}", known.join(", ")), |name| format!("did you mean `{name}`?"));
    invalid(source, place, &format!("the key `{key}` is not known; {hint}"))
}

/// Edit distance, for suggestions.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (at, left) in one.chars().enumerate() {
        let mut diagonal = at;
        let mut before = at + 1;
        for (cell, right) in row.iter_mut().skip(1).zip(other.chars()) {
            let cost = diagonal + usize::from(left != right);
            diagonal = *cell;
            *cell = cost.min(before + 1).min(diagonal + 1);
            before = *cell;
        }
        if let Some(first) = row.first_mut() {
            *first = at + 1;
        }
    }
    row.last().copied().unwrap_or(usize::MAX)
}
