//! The execution profile: plane-neutral data that a policy is compiled to and a plane enforces.
//!
//! Everything in a profile is absolute and expanded: no placeholders, no `extends`. What a profile does
//! not allow is refused. Environment values are not part of it, so that a profile can be logged.

mod http;

pub use self::http::{HttpAuthority, HttpRule, HttpScheme};

use crate::enforcement::{Mechanism, Tier};
use crate::limits::Limits;
use crate::prompt::Remember;
use crate::verdict::RuleRef;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What a plane is handed: one policy, compiled for one VM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct ExecutionProfile {
    /// The policy's name, for messages.
    pub name: String,
    /// Files.
    pub filesystem: FilesystemProfile,
    /// Network.
    pub network: NetworkProfile,
    /// Programs.
    pub commands: CommandProfile,
    /// How much may be used.
    pub limits: Limits,
    /// How much isolation is required.
    pub isolation: IsolationProfile,
    /// What the host is asked, beside the rules about files that say so.
    #[serde(default, skip_serializing_if = "PromptProfile::is_empty")]
    pub prompts: PromptProfile,
}

impl ExecutionProfile {
    /// A profile that allows nothing and requires full isolation.
    pub fn closed(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            filesystem: FilesystemProfile::default(),
            network: NetworkProfile::default(),
            commands: CommandProfile::default(),
            limits: Limits::default(),
            isolation: IsolationProfile::default(),
            prompts: PromptProfile::default(),
        }
    }

    /// Whether anything is asked of the host while a program runs.
    pub fn asks_about_files(&self) -> bool {
        self.filesystem.rules.iter().any(|rule| rule.effect.asks())
    }
}

/// What the host is asked. A plane holds nothing of this: the kernel asks, and starts what was granted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct PromptProfile {
    /// The longest that an answer may hold.
    pub remember: Remember,
    /// Programs that are asked about when they are started; they stand in `commands.deny`, too.
    pub commands: Vec<CommandRule>,
    /// Hosts that are asked about when they are connected to.
    pub network: Vec<NetworkRule>,
}

impl PromptProfile {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Which files can be seen and changed.
///
/// Among the rules that match a path the most specific wins (longest literal prefix, then fewest
/// wildcards); at a tie `deny` beats prompting beats `protect` beats `write` beats `read`. A path that no rule matches is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct FilesystemProfile {
    /// The rules, in no meaningful order.
    pub rules: Vec<PathRule>,
    /// The workspace's absolute host path, which is also its path inside.
    pub workspace: Option<String>,
    /// Whether the run gets private temporary folders (and `TMPDIR` and its siblings set to them).
    pub temporary: Temporary,
    /// What happens to changes in writable places.
    pub changes: Changes,
}

/// One rule about paths.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct PathRule {
    /// What the rule does.
    pub effect: PathEffect,
    /// To which paths: a literal covers itself and everything beneath it.
    pub pattern: PathPattern,
    /// The line it comes from.
    pub rule: RuleRef,
}

impl PathRule {
    /// A rule.
    pub fn new(effect: PathEffect, pattern: PathPattern, rule: RuleRef) -> Self {
        Self { effect, pattern, rule }
    }
}

/// What a path rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PathEffect {
    /// May be read.
    Read,
    /// May be read and written.
    Write,
    /// Is read-only inside a writable place, whatever is renamed, except in trees the guest itself makes during the run.
    Protect,
    /// The host is asked before it is read; it may not be changed.
    PromptRead,
    /// The host is asked before it is changed, and before it is read where nothing else lets it be read.
    PromptWrite,
    /// Is refused, also where it does not exist yet.
    Deny,
}

impl PathEffect {
    /// Whether the host is asked.
    pub fn asks(self) -> bool {
        matches!(self, Self::PromptRead | Self::PromptWrite)
    }
}

/// Which paths a rule covers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PathPattern {
    /// This absolute path and everything beneath it.
    Literal(String),
    /// An absolute path with `?`, `*` (within a component), `[…]` and `**` (across components); covers what it
    /// matches and everything beneath it.
    Glob(String),
}

/// Private temporary folders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Temporary {
    /// None.
    #[default]
    Absent,
    /// One of its own, empty at the start, gone at the end, within the disk limit.
    Private,
}

/// What happens to changes in writable places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Changes {
    /// They are made at once.
    #[default]
    Direct,
    /// They are kept apart until committed or discarded.
    Overlay,
}

/// What can be reached over the network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct NetworkProfile {
    /// The mode.
    pub mode: NetworkMode,
    /// What may be reached in mode `allowlist`.
    pub allow: Vec<NetworkRule>,
    /// Ports of the guest that are published; `publish` says where.
    pub listen: Vec<u16>,
    /// Where the host's loopback has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub publish: Vec<PublishRule>,
    /// What is looked at of TLS in mode `allowlist`.
    #[serde(default)]
    pub tls: TlsCheck,
    /// Which requests pass on hosts and ports that are named here, beside being allowed; all others are refused there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<HttpRule>,
    /// Whose certificates the run is shown in place of those of hosts that rules about HTTPS name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_authority: Option<HttpAuthority>,
    /// Where datagrams of UDP may go in mode `allowlist`. `allow` lets none through.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub datagrams: Vec<NetworkRule>,
}

impl NetworkProfile {
    /// The hosts whose TLS has to be ended on the way, so that rules can be held about what is inside it: each once, however many rules name it.
    pub fn hosts_inside_tls(&self) -> BTreeSet<&str> {
        self.http.iter().filter(|rule| rule.scheme == HttpScheme::Https).map(|rule| rule.host.as_str()).collect()
    }
}

/// A port of a run that the host's loopback has, too, for as long as the run lasts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct PublishRule {
    /// The port that a program of the run listens on.
    pub port: u16,
    /// The port of the host's loopback; none for any that is free.
    pub host_port: Option<u16>,
    /// The line it comes from.
    pub rule: RuleRef,
}

impl PublishRule {
    /// A rule by which `port` is published at `host_port`, or at any port that is free.
    pub fn new(port: u16, host_port: Option<u16>, rule: RuleRef) -> Self {
        Self { port, host_port, rule }
    }
}

/// What is looked at of connections to port 443 of a name. Nothing is decrypted for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum TlsCheck {
    /// They must be TLS and ask for the name that was connected to; nothing of what they ask may be encrypted.
    #[default]
    MatchName,
    /// They must be TLS, and if they ask for a name in the clear, it must be that one.
    MatchIfNamed,
    /// Nothing.
    Opaque,
}

/// The network mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NetworkMode {
    /// Nothing but a loopback of its own.
    #[default]
    Deny,
    /// Only what rules name.
    Allowlist,
    /// The host's own network.
    Inherit,
}

/// One rule about the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct NetworkRule {
    /// A host name, `*.name`, an address, a CIDR block, or `*`.
    pub host: String,
    /// First port allowed.
    pub port_first: u16,
    /// Last port allowed.
    pub port_last: u16,
    /// The line it comes from.
    pub rule: RuleRef,
}

impl NetworkRule {
    /// A rule for the ports `first` to `last` of `host`.
    pub fn new(host: impl Into<String>, first: u16, last: u16, rule: RuleRef) -> Self {
        Self { host: host.into(), port_first: first, port_last: last, rule }
    }
}

/// Which programs may be executed. The longest matching prefix wins; at a tie deny wins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct CommandProfile {
    /// Prefixes of the canonical program path, by components.
    pub allow: Vec<CommandRule>,
    /// Prefixes that are refused.
    pub deny: Vec<CommandRule>,
    /// Which system calls the program may make once it has started.
    #[serde(default)]
    pub calls: CallProfile,
}

/// A profile of system calls, on top of what each plane refuses anyway. Whatever a plane does not know, it refuses to run under.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum CallProfile {
    /// What ordinary programs make.
    #[default]
    Usual,
    /// No further program is executed, by the first or by any process that it makes.
    NoExec,
    /// Memory, threads, clocks, reading files that the policy shows and using what was open at the start; no processes, no sockets, and
    /// nothing is written to, made or changed but through the descriptors that it was started with.
    Compute,
}

impl CallProfile {
    /// As it stands in a policy.
    pub fn name(self) -> &'static str {
        match self {
            Self::Usual => "usual",
            Self::NoExec => "no-exec",
            Self::Compute => "compute",
        }
    }
}

/// One rule about programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct CommandRule {
    /// An absolute path: a program, or a directory whose programs are meant. `/` means every program.
    pub prefix: String,
    /// The line it comes from.
    pub rule: RuleRef,
}

impl CommandRule {
    /// A rule.
    pub fn new(prefix: impl Into<String>, rule: RuleRef) -> Self {
        Self { prefix: prefix.into(), rule }
    }
}

/// How much isolation is required.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct IsolationProfile {
    /// The least tier that will do.
    pub require: Tier,
    /// Mechanisms that may be missing.
    pub allow_degraded: Vec<Mechanism>,
}

impl Default for IsolationProfile {
    fn default() -> Self {
        Self { require: Tier::Full, allow_degraded: Vec::new() }
    }
}
