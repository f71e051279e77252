//! The JSON Schema of session files, for editors. These types are never filled: `document` reads the files, since it tells line and
//! column; a test holds that both know the same keys.

#![expect(dead_code, reason = "the types are read by the derive that makes the schema, and by nobody else")]

use super::persistence::StandardInput;
use super::restart::RestartWhen;
use crate::output::{InvalidUtf8, OutputMode};
use schemars::{JsonSchema, schema_for};
use std::collections::BTreeMap;

/// The JSON Schema of session files.
pub fn schema() -> serde_json::Value {
    schema_for!(Session).to_value()
}

/// A session of Cofferdam: commands that are declared by name, and run under one policy.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, title = "Cofferdam session")]
struct Session {
    /// The version of session files, 1.
    #[schemars(range(min = 1, max = 1))]
    version: u32,
    /// The policy: a built-in's name or a file, relative to this one.
    #[schemars(default)]
    policy: Option<String>,
    /// Whether commands reach each other over the network: `shared` unless given.
    #[schemars(default)]
    network: Option<Network>,
    /// What runs shell lines, as `SHELL -c LINE`; /bin/sh unless given.
    #[schemars(default)]
    shell: Option<String>,
    /// After how long without a request, an attached terminal or a follower the session is closed.
    #[schemars(default)]
    idle: Option<Time>,
    /// How many persistent commands may run at once; 16 unless given.
    #[schemars(default, range(min = 1))]
    most_running: Option<u32>,
    /// The commands, by name.
    #[schemars(default)]
    commands: BTreeMap<String, Command>,
}

/// One network for all commands, or one for each run.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum Network {
    Shared,
    Separate,
}

/// A time such as `500ms`, `30s`, `2m` or `1h`.
#[derive(JsonSchema)]
struct Time(#[schemars(regex(pattern = r"^ *[0-9]+ *(ms|s|m|h) *$"))] String);

/// A command: `shell` or `argv`, and how it is run.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Command {
    /// A line for the shell.
    #[schemars(default, length(min = 1))]
    shell: Option<String>,
    /// A program and its arguments; no shell looks at them.
    #[schemars(default, length(min = 1))]
    argv: Option<Vec<String>>,
    /// Where it starts: absolute, or relative to the workspace.
    #[schemars(default)]
    cwd: Option<String>,
    /// Variables that are handed on from whoever opens the session.
    #[schemars(default)]
    pass: Vec<String>,
    /// Variables with their values.
    #[schemars(default)]
    set: BTreeMap<String, String>,
    /// When it is ended; 2m unless given for a one-shot, none for a persistent command.
    #[schemars(default)]
    timeout: Option<Time>,
    /// One-shots: what the output is taken for; `text` unless given.
    #[schemars(default)]
    output: Option<OutputMode>,
    /// One-shots: what becomes of output that is no UTF-8; `refuse` unless given.
    #[schemars(default)]
    invalid_utf8: Option<InvalidUtf8>,
    /// Whether it stays until it is stopped.
    #[schemars(default)]
    persistent: bool,
    /// Persistent commands: by what it is known to be ready.
    #[schemars(default)]
    ready: Option<Ready>,
    /// Persistent commands: how long that may take; 30s unless given.
    #[schemars(default)]
    ready_within: Option<Time>,
    /// Persistent commands: whether it is started again when it ends.
    #[schemars(default)]
    restart: Option<Restart>,
    /// Persistent commands: whether it has a terminal, which can be attached to.
    #[schemars(default)]
    terminal: bool,
    /// Persistent commands: whether standard input can be written to.
    #[schemars(default)]
    stdin: Option<StandardInput>,
    /// Persistent commands: what is left between SIGTERM and SIGKILL; 5s unless given.
    #[schemars(default)]
    grace: Option<Time>,
}

/// One of the two.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Ready {
    /// A TCP port that it listens at.
    #[schemars(default, range(min = 1))]
    port: Option<u16>,
    /// What a line of its output holds; `*` is any run of characters.
    #[schemars(default, length(min = 1))]
    line: Option<String>,
}

/// After which ends alone, or with pauses.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Restart {
    /// After which ends it is started again.
    When(RestartWhen),
    /// The same with its pauses.
    Policy(RestartPolicy),
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct RestartPolicy {
    /// After which ends; `never` unless given.
    #[schemars(default)]
    when: Option<RestartWhen>,
    /// The first pause, which doubles each time; 100ms unless given.
    #[schemars(default)]
    delay: Option<Time>,
    /// The longest pause; 30s unless given. A run that is longer makes the next pause the first again.
    #[schemars(default)]
    longest: Option<Time>,
    /// How often at most in a row.
    #[schemars(default, range(min = 1))]
    most: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::super::document::{COMMAND, READY, RESTART, SESSION};
    use super::schema;

    fn keys(of: &serde_json::Value) -> Vec<String> {
        of.get("properties").unwrap().as_object().unwrap().keys().cloned().collect()
    }

    fn sorted(keys: &[&str]) -> Vec<String> {
        let mut keys: Vec<_> = keys.iter().map(|key| (*key).to_owned()).collect();
        keys.sort();
        keys
    }

    #[test]
    fn schema_and_reader_know_the_same_keys() {
        let schema = schema();
        let definition = |name: &str| {
            let mut keys = keys(schema.get("$defs").unwrap().get(name).unwrap());
            keys.sort();
            keys
        };
        let mut session = keys(&schema);
        session.sort();
        assert_eq!(session, sorted(&SESSION));
        assert_eq!(definition("Command"), sorted(&COMMAND));
        assert_eq!(definition("Ready"), sorted(&READY));
        assert_eq!(definition("RestartPolicy"), sorted(&RESTART));
    }
}
