//! What a sandbox refused or ended, in the few words that hosts match on: type, profile, backend, reason, resource.

use crate::error::BridgeError;
use crate::error_code::ErrorCode;
use crate::exit_cause::ExitCause;
use crate::limits::LimitName;
use crate::profile::NetworkMode;
use crate::verdict::Denial;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What kind of refusal it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub enum SandboxEventType {
    /// The profile cannot be enforced here, so nothing runs under it.
    #[serde(rename = "sandbox_denied")]
    Denied,
    /// The run was kept off the network, or off a part of it.
    #[serde(rename = "sandbox_network_blocked")]
    NetworkBlocked,
    /// The run reached a limit, and was ended.
    #[serde(rename = "sandbox_resource_exceeded")]
    ResourceExceeded,
}

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SandboxReason {
    /// The plane cannot enforce a part of the profile.
    UnsupportedBackendFeature,
    /// The machine offers less isolation than the profile requires.
    SandboxBackendUnavailable,
    /// Memory.
    MemoryLimitExceeded,
    /// Processor time.
    CpuLimitExceeded,
    /// Processes and threads.
    ProcessesLimitExceeded,
    /// Open files.
    OpenFilesLimitExceeded,
    /// What was written.
    DiskLimitExceeded,
    /// Time.
    WallTimeExceeded,
    /// Output.
    OutputLimitExceeded,
    /// Standard input.
    InputLimitExceeded,
    /// The profile allows no network but the run's own.
    NetworkBlocked,
    /// The profile allows some hosts, and this was none of them.
    NetworkAllowlistBlocked,
}

/// What there was too little of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ResourceKind {
    /// Memory.
    Memory,
    /// Processor time.
    Cpu,
    /// Processes and threads.
    Processes,
    /// Open files of one process.
    OpenFiles,
    /// What may be written.
    Disk,
    /// Time.
    Wall,
    /// Output of one stream.
    Output,
    /// Standard input.
    Input,
}

/// One refusal of a sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct SandboxEvent {
    /// What kind of refusal.
    pub event_type: SandboxEventType,
    /// The name of the policy whose profile was to hold.
    pub profile: String,
    /// The label of the plane, such as `linux_native`; several that were tried, in their order, with commas between them.
    pub backend: String,
    /// Why.
    pub reason_code: SandboxReason,
    /// The resource, where one was exceeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_kind: Option<ResourceKind>,
}

impl SandboxEvent {
    /// The refusal of a profile with the error `code`; none where that tells of none.
    pub fn of_code(profile: &str, backend: &str, code: ErrorCode) -> Option<Self> {
        let reason = match code {
            ErrorCode::UnsupportedBackendFeature => SandboxReason::UnsupportedBackendFeature,
            ErrorCode::SandboxBackendUnavailable => SandboxReason::SandboxBackendUnavailable,
            _ => return None,
        };
        Some(Self::new(SandboxEventType::Denied, profile, backend, reason))
    }

    /// The limit that ended a run, where one did.
    pub fn of_cause(profile: &str, backend: &str, cause: &ExitCause) -> Option<Self> {
        let limit = match cause {
            ExitCause::Limit { limit, .. } => *limit,
            ExitCause::TimedOut { .. } => LimitName::Wall,
            _ => return None,
        };
        let (reason, resource) = match limit {
            LimitName::Memory => (SandboxReason::MemoryLimitExceeded, ResourceKind::Memory),
            LimitName::Cpu => (SandboxReason::CpuLimitExceeded, ResourceKind::Cpu),
            LimitName::Processes => (SandboxReason::ProcessesLimitExceeded, ResourceKind::Processes),
            LimitName::OpenFiles => (SandboxReason::OpenFilesLimitExceeded, ResourceKind::OpenFiles),
            LimitName::Disk => (SandboxReason::DiskLimitExceeded, ResourceKind::Disk),
            LimitName::Wall => (SandboxReason::WallTimeExceeded, ResourceKind::Wall),
            LimitName::Stdout | LimitName::Stderr => (SandboxReason::OutputLimitExceeded, ResourceKind::Output),
            LimitName::Stdin => (SandboxReason::InputLimitExceeded, ResourceKind::Input),
        };
        let event = Self::new(SandboxEventType::ResourceExceeded, profile, backend, reason);
        Some(Self { resource_kind: Some(resource), ..event })
    }

    /// What a run was kept off, where `denial` tells of the network.
    pub fn of_denial(profile: &str, backend: &str, mode: NetworkMode, denial: &Denial) -> Option<Self> {
        denial.access.starts_with("network.").then(|| {
            let reason = match mode {
                NetworkMode::Allowlist => SandboxReason::NetworkAllowlistBlocked,
                _ => SandboxReason::NetworkBlocked,
            };
            Self::new(SandboxEventType::NetworkBlocked, profile, backend, reason)
        })
    }

    fn new(event_type: SandboxEventType, profile: &str, backend: &str, reason_code: SandboxReason) -> Self {
        let (profile, backend) = (profile.to_owned(), backend.to_owned());
        Self { event_type, profile, backend, reason_code, resource_kind: None }
    }

    /// `error`, with each of these facts in its details by the name that it has here.
    #[must_use]
    pub fn told_by(&self, mut error: BridgeError) -> BridgeError {
        // It always has a JSON form, of texts alone.
        if let Ok(serde_json::Value::Object(facts)) = serde_json::to_value(self) {
            error.details.extend(facts);
        }
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p4_the_words_that_hosts_match_on() {
        let shown = |event: Option<SandboxEvent>| {
            let value = serde_json::to_value(event.unwrap()).unwrap();
            let word = |name: &str| value[name].as_str().unwrap_or("-").to_owned();
            format!("{} {} {}", word("event_type"), word("reason_code"), word("resource_kind"))
        };
        let limit = |limit| {
            let cause = ExitCause::Limit { limit, value: 1, observed: 2, held_by: "test".to_owned() };
            shown(SandboxEvent::of_cause("p", "b", &cause))
        };
        assert_eq!(limit(LimitName::Memory), "sandbox_resource_exceeded memory_limit_exceeded memory");
        assert_eq!(limit(LimitName::Cpu), "sandbox_resource_exceeded cpu_limit_exceeded cpu");
        assert_eq!(limit(LimitName::Processes), "sandbox_resource_exceeded processes_limit_exceeded processes");
        assert_eq!(limit(LimitName::OpenFiles), "sandbox_resource_exceeded open_files_limit_exceeded open_files");
        let code = |code| shown(SandboxEvent::of_code("p", "b", code));
        assert_eq!(code(ErrorCode::UnsupportedBackendFeature), "sandbox_denied unsupported_backend_feature -");
        assert_eq!(code(ErrorCode::SandboxBackendUnavailable), "sandbox_denied sandbox_backend_unavailable -");
        let denial = Denial::new("network.connect", "example.org:443");
        let network = |mode| shown(SandboxEvent::of_denial("p", "b", mode, &denial));
        assert_eq!(network(NetworkMode::Deny), "sandbox_network_blocked network_blocked -");
        assert_eq!(network(NetworkMode::Allowlist), "sandbox_network_blocked network_allowlist_blocked -");
    }

    #[test]
    fn p4_each_limit_s_reason_is_the_code_of_its_cause() {
        use LimitName::{Cpu, Disk, Memory, OpenFiles, Processes, Stderr, Stdin, Stdout, Wall};
        for limit in [Wall, Cpu, Memory, Processes, OpenFiles, Disk, Stdin, Stdout, Stderr] {
            let cause = ExitCause::Limit { limit, value: 1, observed: 2, held_by: "test".to_owned() };
            let event = SandboxEvent::of_cause("p", "b", &cause).unwrap();
            assert_eq!(serde_json::to_value(event.reason_code).unwrap(), cause.code().unwrap().as_str());
        }
    }

    #[test]
    fn what_is_no_refusal_of_the_sandbox_is_no_event() {
        let denial = Denial::new("filesystem.read", "/etc/shadow");
        assert_eq!(SandboxEvent::of_denial("p", "b", NetworkMode::Deny, &denial), None);
        assert_eq!(SandboxEvent::of_cause("p", "b", &ExitCause::Exited { code: 137 }), None);
        assert_eq!(SandboxEvent::of_code("p", "b", ErrorCode::PolicyInvalid), None);
    }
}
