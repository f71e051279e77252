//! What held: for each mechanism, whether it was asked for, whether it held, and why not.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How much isolation a machine can give, or a policy requires. Ordered: later is stronger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Tier {
    /// No isolation by the operating system.
    None,
    /// Landlock and seccomp, without namespaces.
    Landlock,
    /// Namespaces, Landlock and seccomp together.
    Full,
}

/// A mechanism that holds a part of the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Mechanism {
    /// A user namespace of its own.
    UserNamespace,
    /// A mount namespace with a root built from the policy.
    MountNamespace,
    /// A pid namespace: host processes cannot be seen, and nothing outlives its pid 1.
    PidNamespace,
    /// A network namespace with only loopback.
    NetworkNamespace,
    /// System V and POSIX IPC of its own.
    IpcNamespace,
    /// Host name of its own.
    UtsNamespace,
    /// A cgroup namespace of its own.
    CgroupNamespace,
    /// File rules by Landlock.
    Landlock,
    /// File, network, process and service rules by a Seatbelt profile (macOS).
    Seatbelt,
    /// System calls by an allow-list.
    Seccomp,
    /// `PR_SET_NO_NEW_PRIVS`.
    NoNewPrivileges,
    /// All capabilities dropped.
    Capabilities,
    /// Calls that make names, answered by the supervisor.
    Broker,
    /// Wall-clock limit.
    WallLimit,
    /// Processor-time limit.
    CpuLimit,
    /// Memory limit of the whole tree.
    MemoryLimit,
    /// Process-count limit.
    ProcessesLimit,
    /// Open-files limit.
    OpenFilesLimit,
    /// Disk limit.
    DiskLimit,
    /// Output limit.
    OutputLimit,
    /// Nothing survives the end of the run.
    Containment,
}

/// One mechanism's part in a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct MechanismReport {
    /// Which mechanism.
    pub mechanism: Mechanism,
    /// Whether the policy needed it.
    pub asked: bool,
    /// Whether it held.
    pub held: bool,
    /// By what, where there is a choice: `cgroup v1 memory`, `rlimit`, `supervisor poll`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why it did not hold, or holds less than its name says, and what would mend that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why_not: Option<String>,
}

impl MechanismReport {
    /// A mechanism that was asked for and held.
    pub fn held(mechanism: Mechanism) -> Self {
        Self { mechanism, asked: true, held: true, by: None, why_not: None }
    }

    /// A mechanism that was asked for and did not hold, with the reason.
    pub fn missing(mechanism: Mechanism, why_not: impl Into<String>) -> Self {
        Self { mechanism, asked: true, held: false, by: None, why_not: Some(why_not.into()) }
    }

    /// Names what it was held by.
    #[must_use]
    pub fn by(mut self, by: impl Into<String>) -> Self {
        self.by = Some(by.into());
        self
    }
}

/// What held in one run. Part of every result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Enforcement {
    /// The tier the run had.
    pub tier: Tier,
    /// Each mechanism.
    pub mechanisms: Vec<MechanismReport>,
}

impl Enforcement {
    /// Nothing held yet, at `tier`.
    pub fn new(tier: Tier) -> Self {
        Self { tier, mechanisms: Vec::new() }
    }

    /// What was asked for and did not hold.
    pub fn gaps(&self) -> impl Iterator<Item = &MechanismReport> {
        self.mechanisms.iter().filter(|m| m.asked && !m.held)
    }
}
