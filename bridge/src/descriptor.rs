//! What a plane says of itself, and what it finds missing for one profile.

use crate::enforcement::{Enforcement, Mechanism, Tier};
use crate::limits::LimitName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The generation of the contract that this crate speaks: one integer, raised by each breaking change.
pub const CONTRACT_GENERATION: u32 = 1;

/// Something a plane can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Feature {
    /// Runs native programs.
    Commands,
    /// Runs JavaScript.
    JavaScript,
    /// Runs WebAssembly.
    WebAssembly,
    /// Takes standard input while the guest runs.
    Stdin,
    /// Delivers signals.
    Signals,
    /// Gives the guest a terminal.
    Terminal,
    /// Hands the host's own descriptors through as standard streams.
    InheritedStreams,
    /// Has no push side: the kernel must call `poll_execution_event`.
    PolledEvents,
    /// Restricts what the guest sees of the file system.
    FilesystemRules,
    /// Keeps the guest off the network.
    NetworkDeny,
    /// Allows network by name and port.
    NetworkAllowlist,
    /// Restricts which programs may be executed.
    CommandRules,
    /// Keeps changes apart until they are committed.
    OverlayChanges,
    /// Holds a profile of system calls (`CallProfile`).
    CallProfiles,
    /// Asks about files and connections while a program runs ([`ExecutionEventSink::ask`](crate::event::ExecutionEventSink::ask)).
    Prompts,
    /// Lets the executions of one context share a network of their own (`NetworkScope`).
    SharedNetwork,
    /// Tells at which ports a run accepts connections (`is_listening`).
    ListeningPorts,
    /// Reads requests of plain HTTP where rules name the host (`HttpRule`).
    HttpRules,
    /// Reads requests inside TLS, too, by certificates of an authority that the policy names (`HttpAuthority`).
    HttpsRules,
    /// Carries datagrams of UDP where rules name the host (`NetworkProfile::datagrams`).
    DatagramRules,
    /// Publishes ports of runs to the host's loopback (`PublishRule`).
    PublishedPorts,
    /// Executes the very file that it has checked, where it is asked to (`ProgramFile::Held`), and checks the interpreters of scripts.
    HeldPrograms,
    /// Waits for those who hold a program's output after its end, where it is asked to
    /// ([`output_wait_ms`](crate::execution::StartExecutionRequest::output_wait_ms)).
    OutputWait,
}

/// A plane's description of itself. Constant for the life of the plane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct PlaneDescriptor {
    /// Its label, such as `linux_native` or `host`.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// The contract generation it speaks.
    pub contract_generation: u32,
    /// The tiers it can give on some machine, strongest last.
    pub tiers: Vec<Tier>,
    /// What it can do.
    pub features: Vec<Feature>,
    /// The limits it can hold on some machine.
    pub limits: Vec<LimitName>,
}

impl PlaneDescriptor {
    /// A plane of this contract generation that can do nothing yet.
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            version: version.into(),
            contract_generation: CONTRACT_GENERATION,
            tiers: Vec::new(),
            features: Vec::new(),
            limits: Vec::new(),
        }
    }

    /// Whether the plane can do `feature`.
    pub fn has(&self, feature: Feature) -> bool {
        self.features.contains(&feature)
    }
}

/// One thing that is missing on this machine for one profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Shortfall {
    /// The mechanism, where one is concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mechanism: Option<Mechanism>,
    /// What is missing and which layer refused it, in words.
    pub message: String,
    /// A command that mends it, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// Whether a run under the profile is refused because of it.
    pub blocking: bool,
}

impl Shortfall {
    /// A shortfall that refuses the run.
    pub fn blocking(mechanism: Option<Mechanism>, message: impl Into<String>, fix: Option<String>) -> Self {
        Self { mechanism, message: message.into(), fix, blocking: true }
    }

    /// A shortfall that the policy lives with.
    pub fn tolerated(mechanism: Option<Mechanism>, message: impl Into<String>, fix: Option<String>) -> Self {
        Self { mechanism, message: message.into(), fix, blocking: false }
    }
}

/// The answer to "can this profile be enforced here?". Asking never fails and changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Preflight {
    /// What would hold.
    pub enforcement: Enforcement,
    /// What is missing.
    pub shortfalls: Vec<Shortfall>,
}

impl Preflight {
    /// An answer without shortfalls.
    pub fn new(enforcement: Enforcement) -> Self {
        Self { enforcement, shortfalls: Vec::new() }
    }

    /// Whether a run would be accepted.
    pub fn accepted(&self) -> bool {
        !self.shortfalls.iter().any(|s| s.blocking)
    }
}
