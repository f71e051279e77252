//! Whether a profile may run here, and what of it holds. Asking changes nothing.

use crate::facts::Facts;
use crate::launch::Place;
use crate::profile::{beyond, compile};
use cofferdam_bridge::descriptor::{Preflight, Shortfall};
use cofferdam_bridge::enforcement::{Enforcement, Mechanism, MechanismReport, Tier};
use cofferdam_bridge::limits::Limits;
use cofferdam_bridge::profile::{ExecutionProfile, NetworkMode};

/// What there is none of on macOS.
const ABSENT: [Mechanism; 4] =
    [Mechanism::UserNamespace, Mechanism::MountNamespace, Mechanism::PidNamespace, Mechanism::NetworkNamespace];

/// What holds for `profile`, and what keeps it from running here.
pub(crate) fn preflight(profile: &ExecutionProfile, facts: &Facts, place: &Place<'_>) -> Preflight {
    let mut preflight = Preflight::new(enforcement(profile, facts));
    let refuse = |mechanism, message: String, fix: &str| Shortfall::blocking(mechanism, message, Some(fix.to_owned()));
    if let Some((why, fix)) = facts.obstacle() {
        preflight.shortfalls.push(refuse(Some(Mechanism::Seatbelt), why.to_owned(), fix));
    }
    if profile.isolation.require > Tier::Landlock {
        let message = "the policy requires namespaces (isolation.require = \"full\"), and macOS has none: programs see the machine's processes and network interfaces";
        let fix = "write in the policy: isolation.require = \"landlock\", which stands for the kernel's rules without namespaces";
        preflight.shortfalls.push(refuse(None, message.to_owned(), fix));
    }
    let missing = beyond(profile, &place.setting());
    if missing.is_empty()
        && let Err(error) = compile(profile, &place.setting())
    {
        preflight.shortfalls.push(Shortfall::blocking(Some(Mechanism::Seatbelt), error.message, None));
    }
    preflight.shortfalls.extend(missing);
    preflight
}

/// What holds for `profile`.
pub(crate) fn enforcement(profile: &ExecutionProfile, facts: &Facts) -> Enforcement {
    let why = facts.obstacle();
    let mut enforcement = Enforcement::new(if why.is_none() { Tier::Landlock } else { Tier::None });
    enforcement.mechanisms.push(match why {
        None => MechanismReport::held(Mechanism::Seatbelt).by("sandbox-exec"),
        Some((why, _)) => MechanismReport::missing(Mechanism::Seatbelt, why),
    });
    for mechanism in ABSENT {
        let mut report =
            MechanismReport::missing(mechanism, "macOS has no such thing; Seatbelt's rules stand in its place");
        report.asked = profile.isolation.require == Tier::Full
            && (mechanism != Mechanism::NetworkNamespace || profile.network.mode != NetworkMode::Inherit);
        enforcement.mechanisms.push(report);
    }
    let mut containment = MechanismReport::held(Mechanism::Containment).by("process table");
    containment.why_not = Some(
        "what a process made that came and went between two looks, outside of every group of its run, is not found; it stays under the profile"
            .to_owned(),
    );
    enforcement.mechanisms.push(containment);
    enforcement.mechanisms.push(MechanismReport::held(Mechanism::OutputLimit).by("supervisor"));
    limits(&mut enforcement, &profile.limits);
    enforcement
}

fn limits(enforcement: &mut Enforcement, limits: &Limits) {
    let each = Some("each file by itself; what all together hold is not counted".to_owned());
    let held = [
        (limits.wall_ms, Mechanism::WallLimit, "supervisor", None),
        (limits.cpu_ms, Mechanism::CpuLimit, "supervisor poll", None),
        (limits.memory_bytes, Mechanism::MemoryLimit, "supervisor poll", None),
        (limits.processes, Mechanism::ProcessesLimit, "supervisor poll", None),
        (limits.open_files, Mechanism::OpenFilesLimit, "rlimit", None),
        (limits.disk_bytes, Mechanism::DiskLimit, "rlimit", each),
    ];
    for (limit, mechanism, by, why_not) in held {
        if limit.is_some() {
            let mut report = MechanismReport::held(mechanism).by(by);
            report.why_not = why_not;
            enforcement.mechanisms.push(report);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::EveryMac;
    use cofferdam_bridge::profile::{CallProfile, Changes, NetworkRule};

    const MAC: Facts = Facts { is_macos: true, has_sandbox_exec: true, is_sandboxed: false };

    fn place(proxy_port: Option<u16>) -> Place<'static> {
        Place { names: &EveryMac, private_folder: Some("/private/var/own"), terminal: None, proxy_port }
    }

    fn profile() -> ExecutionProfile {
        let mut profile = ExecutionProfile::closed("test");
        profile.isolation.require = Tier::Landlock;
        profile
    }

    fn refusals(profile: &ExecutionProfile, facts: &Facts) -> Vec<String> {
        let answer = preflight(profile, facts, &place(None));
        answer.shortfalls.into_iter().filter(|one| one.blocking).map(|one| one.message).collect()
    }

    #[test]
    fn what_a_mac_can_hold_is_accepted_and_says_by_what() {
        let answer = preflight(&profile(), &MAC, &place(None));
        assert!(answer.accepted(), "{answer:?}");
        assert_eq!(answer.enforcement.tier, Tier::Landlock);
        let seatbelt = answer.enforcement.mechanisms.iter().find(|one| one.mechanism == Mechanism::Seatbelt).unwrap();
        assert!(seatbelt.held && seatbelt.by.as_deref() == Some("sandbox-exec"));
        assert_eq!(answer.enforcement.gaps().count(), 0);
    }

    #[test]
    fn each_fact_that_is_missing_refuses_and_no_tier_is_claimed() {
        let elsewhere = Facts { is_macos: false, ..MAC };
        let without = Facts { has_sandbox_exec: false, ..MAC };
        let inside = Facts { is_sandboxed: true, ..MAC };
        for facts in [elsewhere, without, inside] {
            let answer = preflight(&profile(), &facts, &place(None));
            assert!(!answer.accepted(), "{facts:?}");
            assert_eq!(answer.enforcement.tier, Tier::None);
            assert!(answer.shortfalls.iter().all(|one| one.fix.is_some()));
        }
    }

    #[test]
    fn a_policy_that_requires_namespaces_is_refused_with_what_to_write() {
        let answer = preflight(&ExecutionProfile::closed("test"), &MAC, &place(None));
        assert!(!answer.accepted());
        assert!(answer.shortfalls[0].fix.as_ref().unwrap().contains("isolation.require = \"landlock\""));
    }

    #[test]
    fn what_no_profile_can_say_is_refused() {
        let mut overlay = profile();
        overlay.filesystem.changes = Changes::Overlay;
        let mut calls = profile();
        calls.commands.calls = CallProfile::NoExec;
        let mut hosts = profile();
        hosts.network.mode = NetworkMode::Allowlist;
        for refused in [overlay, calls, hosts] {
            assert_eq!(refusals(&refused, &MAC).len(), 1, "{refused:?}");
        }
    }

    #[test]
    fn an_allowlist_is_accepted_with_a_name_proxy_alone() {
        let mut hosts = profile();
        hosts.network.mode = NetworkMode::Allowlist;
        hosts.network.allow = Vec::<NetworkRule>::new();
        assert!(!preflight(&hosts, &MAC, &place(None)).accepted());
        assert!(preflight(&hosts, &MAC, &place(Some(4321))).accepted());
    }

    #[test]
    fn a_limit_is_told_by_what_holds_it_and_one_that_is_not_asked_for_is_not() {
        let mut limited = profile();
        limited.limits.open_files = Some(64);
        limited.limits.memory_bytes = Some(1 << 30);
        let held = enforcement(&limited, &MAC).mechanisms;
        let by = |mechanism| held.iter().find(|one| one.mechanism == mechanism).and_then(|one| one.by.clone());
        assert_eq!(by(Mechanism::OpenFilesLimit).as_deref(), Some("rlimit"));
        assert_eq!(by(Mechanism::MemoryLimit).as_deref(), Some("supervisor poll"));
        assert_eq!(by(Mechanism::CpuLimit), None);
    }
}
