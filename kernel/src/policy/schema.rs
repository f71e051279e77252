//! The JSON Schema of policies, for editors. These types are never filled: `document` reads policies, since it tells line and column;
//! a test holds that both know the same keys.

#![expect(dead_code, reason = "the types are read by the derive that makes the schema, and by nobody else")]

use cofferdam_bridge::enforcement::{Mechanism, Tier};
use cofferdam_bridge::profile::{CallProfile, Changes, NetworkMode, TlsCheck};
use schemars::{JsonSchema, schema_for};
use std::collections::BTreeMap;

/// A policy of Cofferdam: everything that it does not allow is refused.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, title = "Cofferdam policy")]
struct Document {
    /// The version of policies, 1.
    #[schemars(range(min = 1, max = 1))]
    version: u32,
    /// A policy that this one adds to: `strict`, `dev`, `offline-build`, or a file.
    #[schemars(default)]
    extends: Option<String>,
    /// Units of rules that tools need.
    #[schemars(default)]
    include: Vec<Unit>,
    /// What files can be read and changed.
    #[schemars(default)]
    filesystem: Filesystem,
    /// What can be connected to.
    #[schemars(default)]
    network: Network,
    /// What programs can be executed.
    #[schemars(default)]
    commands: Commands,
    /// What variables programs see.
    #[schemars(default)]
    environment: Environment,
    /// When a run is ended.
    #[schemars(default)]
    limits: Limits,
    /// How much isolation is needed.
    #[schemars(default)]
    isolation: Isolation,
    /// What is asked of the host; what is not answered is refused.
    #[schemars(default)]
    prompt: Prompt,
}

/// Rules that a tool needs.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum Unit {
    C,
    Git,
    Go,
    Java,
    Node,
    Python,
    Rust,
}

/// A path, with `{workspace}`, `{home}`, `{tmp}`, `{user}` and `{cwd}`. An unescaped `*`, `?` or `[` makes it a pattern; `**` between
/// slashes is any number of folders. `literal:` and `glob:` in front say which is meant.
#[derive(JsonSchema)]
struct PathEntry(#[schemars(length(min = 1))] String);

#[derive(Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Filesystem {
    /// May be read.
    #[schemars(default)]
    read: Vec<PathEntry>,
    /// May be read, changed, made and removed.
    #[schemars(default)]
    write: Vec<PathEntry>,
    /// May neither be read nor changed, whatever is allowed around it, whether it exists or not.
    #[schemars(default)]
    deny: Vec<PathEntry>,
    /// May be read but not changed, beside the built-in list of files that tools run later.
    #[schemars(default)]
    protect: Vec<PathEntry>,
    /// Names taken off the built-in list.
    #[schemars(default)]
    unprotect: Vec<String>,
    /// Where changes go.
    #[schemars(default)]
    changes: Option<Changes>,
}

/// `host:port`, `host:first-last`, `*.name:port`, `address:port`, `[address]:port`, `address/bits:port` or `*:port`.
#[derive(JsonSchema)]
struct HostEntry(#[schemars(regex(pattern = r":(\*|[0-9]+(-[0-9]+)?)$"))] String);

/// `METHOD,METHOD http://host:port/path`, or `*` for every method: the path and all beneath it.
#[derive(JsonSchema)]
struct RequestEntry(
    #[schemars(regex(pattern = r"^(\*|[A-Z-]+(,[A-Z-]+)*) https?://"))]
    String,
);

/// A port that the host's loopback has under the same number, or `host:port`, or `*:port` for any of the host's that is free.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum ListenEntry {
    Port(#[schemars(range(min = 1, max = 65535))] u16),
    At(#[schemars(regex(pattern = r"^((\*|[0-9]+):)?[0-9]+$"))] String),
}

/// Two files of the host, in PEM. No other user may be able to read the key, and no place that the policy shows may hold it.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct AuthorityFiles {
    /// The authority's certificate.
    certificate: PathEntry,
    /// Its private key (PKCS #8).
    key: PathEntry,
}

#[derive(Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Network {
    /// Nothing, what is listed, or what the host reaches.
    #[schemars(default)]
    mode: Option<NetworkMode>,
    /// What may be connected to, in the mode `allowlist`; with `udp://` in front, where datagrams may be sent.
    #[schemars(default)]
    allow: Vec<HostEntry>,
    /// Ports of the run that the host's loopback has, too.
    #[schemars(default)]
    listen: Vec<ListenEntry>,
    /// What is looked at of connections to port 443 of a name: that TLS asks for that name, that it asks for no other, or nothing.
    #[schemars(default)]
    tls: Option<TlsCheck>,
    /// Requests of HTTP that pass on the hosts and ports named here; all others are refused there.
    #[schemars(default)]
    http: Vec<RequestEntry>,
    /// The certificate authority of the host by which requests inside TLS are looked at, where `http` names hosts with `https`.
    #[schemars(default)]
    http_authority: Option<AuthorityFiles>,
}

#[derive(Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Commands {
    /// Programs, or folders of programs, by path and without wildcards.
    #[schemars(default)]
    allow: Vec<PathEntry>,
    /// Programs, or folders of programs, that may not be executed; of two entries the longer decides.
    #[schemars(default)]
    deny: Vec<PathEntry>,
    /// Which system calls a program may make once it has started.
    #[schemars(default)]
    calls: Option<CallProfile>,
}

#[derive(Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Environment {
    /// Names taken from the host; a `*` at the end stands for any rest. What makes programs load code is never taken.
    #[schemars(default)]
    pass: Vec<String>,
    /// Variables with their values, in which placeholders are filled in.
    #[schemars(default)]
    set: BTreeMap<String, String>,
}

/// `500ms`, `30s`, `2m`, `1h` or `none`.
#[derive(JsonSchema)]
struct Time(#[schemars(regex(pattern = r"^\s*(none|[0-9]+\s*(ms|s|m|h))\s*$"))] String);

/// `64KiB`, `512MiB`, `1GiB`, `1000B` or `none`.
#[derive(JsonSchema)]
struct Size(#[schemars(regex(pattern = r"^\s*(none|[0-9]+\s*(KiB|MiB|GiB|TiB|KB|MB|GB|B))\s*$"))] String);

#[derive(Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Limits {
    /// From start to end.
    #[schemars(default)]
    wall: Option<Time>,
    /// Processor time of all processes together.
    #[schemars(default)]
    cpu: Option<Time>,
    /// Memory of all processes together.
    #[schemars(default)]
    memory: Option<Size>,
    /// The longest file, and all of private temporary storage.
    #[schemars(default)]
    disk: Option<Size>,
    /// Bytes written to standard input.
    #[schemars(default)]
    stdin: Option<Size>,
    /// Bytes captured of standard output.
    #[schemars(default)]
    stdout: Option<Size>,
    /// Bytes captured of standard error.
    #[schemars(default)]
    stderr: Option<Size>,
    /// Processes and threads at once.
    #[schemars(default, range(min = 1))]
    processes: Option<u64>,
    /// Open files of each process.
    #[schemars(default, range(min = 1))]
    open_files: Option<u64>,
}

#[derive(Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Isolation {
    /// The least tier that will do.
    #[schemars(default)]
    require: Option<Tier>,
    /// Mechanisms that may be missing.
    #[schemars(default)]
    allow_degraded: Vec<Mechanism>,
}

#[derive(Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Prompt {
    /// Connections.
    #[schemars(default)]
    network: Vec<HostEntry>,
    /// Files.
    #[schemars(default)]
    filesystem: PromptFilesystem,
    /// Programs, or folders of programs, when they are started from outside; what runs inside may not start them.
    #[schemars(default)]
    commands: Vec<PathEntry>,
    /// The longest that an answer holds; `session` unless given.
    #[schemars(default)]
    remember: Option<Remember>,
}

#[derive(Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct PromptFilesystem {
    /// Reading.
    #[schemars(default)]
    read: Vec<PathEntry>,
    /// Changing, and reading where nothing else lets it be read.
    #[schemars(default)]
    write: Vec<PathEntry>,
}

/// For the request, as long as the VM lives, or until it is revoked.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum Remember {
    Once,
    Session,
    Always,
}

/// The JSON Schema of policy files, TOML ones too: editors check both by it.
///
/// ```
/// let schema = cofferdam_kernel::policy::schema();
/// assert_eq!(schema["title"], "Cofferdam policy");
/// ```
pub fn schema() -> serde_json::Value {
    schema_for!(Document).to_value()
}

#[cfg(test)]
mod tests {
    use super::super::{builtin, document as read};
    use super::*;
    use std::collections::BTreeSet;

    fn keys(definition: Option<&str>) -> BTreeSet<String> {
        let schema = schema();
        let part = definition.map_or(&schema, |name| &schema["$defs"][name]);
        assert_eq!(part["additionalProperties"], false, "{definition:?}");
        part["properties"].as_object().unwrap().keys().cloned().collect()
    }

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn the_schema_and_the_reader_know_the_same_keys() {
        assert_eq!(keys(None), set(&read::SECTIONS));
        for (definition, known) in [
            ("Filesystem", &read::FILESYSTEM[..]),
            ("Network", &read::NETWORK),
            ("Commands", &read::COMMANDS),
            ("Environment", &read::ENVIRONMENT),
            ("Isolation", &read::ISOLATION),
            ("Prompt", &read::PROMPT),
            ("Limits", &[&read::TIMES[..], &read::SIZES, &read::COUNTS].concat()),
        ] {
            assert_eq!(keys(Some(definition)), set(known), "{definition}");
        }
    }

    #[test]
    fn the_schema_names_every_unit() {
        let schema = schema();
        let named: Vec<_> =
            schema["$defs"]["Unit"]["enum"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        let mut units: Vec<_> = builtin::UNITS.iter().map(|(name, _)| *name).collect();
        units.sort_unstable();
        assert_eq!(named, units);
    }
}
