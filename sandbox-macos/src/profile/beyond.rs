//! What a Seatbelt profile cannot hold. No profile is written for a policy that needs it.

use super::Setting;
use cofferdam_bridge::descriptor::Shortfall;
use cofferdam_bridge::enforcement::Mechanism;
use cofferdam_bridge::profile::{CallProfile, Changes, ExecutionProfile, NetworkMode};

/// What of `profile` no profile of this language can hold, each in a sentence with what to do instead; nothing tolerates it.
pub fn beyond(profile: &ExecutionProfile, setting: &Setting<'_>) -> Vec<Shortfall> {
    let mut missing = Vec::new();
    let mut lacks = |mechanism, message: String, fix: &str| {
        missing.push(Shortfall::blocking(Some(mechanism), message, Some(fix.to_owned())));
    };
    if profile.filesystem.changes == Changes::Overlay {
        let message = "changes can be kept apart by a mount alone, and Seatbelt makes none".to_owned();
        lacks(Mechanism::MountNamespace, message, "write in the policy: filesystem.changes = \"direct\"");
    }
    if profile.commands.calls != CallProfile::Usual {
        let name = profile.commands.calls.name();
        let message = format!("Seatbelt holds no profile of system calls (commands.calls = \"{name}\")");
        lacks(Mechanism::Seccomp, message, "write in the policy: commands.calls = \"usual\"");
    }
    if profile.network.mode == NetworkMode::Allowlist && setting.proxy_port.is_none() {
        let message = "hosts are told apart by name, which Seatbelt does not know; there is no name proxy for this run"
            .to_owned();
        lacks(Mechanism::NetworkNamespace, message, "write in the policy: network.mode = \"deny\" or \"inherit\"");
    }
    if !profile.network.datagrams.is_empty() {
        let message = "datagrams are told apart by name in a network namespace, and macOS has none; the name proxy of a run carries connections"
            .to_owned();
        lacks(Mechanism::NetworkNamespace, message, "take the entries with udp:// out of network.allow");
    }
    if !profile.network.listen.is_empty() && profile.network.mode != NetworkMode::Inherit {
        let message =
            "a run has no network of its own on macOS: a port that it listens on would be the host's".to_owned();
        lacks(Mechanism::NetworkNamespace, message, "take network.listen out of the policy");
    }
    missing
}
