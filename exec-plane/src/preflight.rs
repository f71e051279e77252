//! Whether a profile may run here, and what of it holds. Asking changes nothing.

use crate::danger::Policies;
use cofferdam_bridge::descriptor::{Preflight, Shortfall};
use cofferdam_bridge::enforcement::{Enforcement, Mechanism, MechanismReport, Tier};
use cofferdam_bridge::limits::Limits;
use cofferdam_bridge::profile::{CallProfile, Changes, ExecutionProfile, NetworkMode};

/// What holds the limit on processes where there is no cgroup for it.
pub(crate) const BY_LOOKING: &str = "supervisor poll";

/// Why nothing of this holds.
const NOTHING: &str = "the host plane isolates nothing; run on a plane that does";

/// By what the keeper finds all that a program started.
const FOLLOWED_BY: &str = if cfg!(target_os = "linux") { "subreaper" } else { "process table" };

/// What this plane does without.
const ABSENT: [Mechanism; 6] = [
    Mechanism::UserNamespace,
    Mechanism::MountNamespace,
    Mechanism::PidNamespace,
    Mechanism::NetworkNamespace,
    Mechanism::Landlock,
    Mechanism::Seccomp,
];

/// What holds for `profile`, and what keeps it from running here.
/// `tasks_by`: what holds the limit on processes.
pub(crate) fn preflight(profile: &ExecutionProfile, policies: Policies, tasks_by: &str) -> Preflight {
    let mut preflight = Preflight::new(enforcement(profile, tasks_by));
    let required = profile.isolation.require;
    if required > Tier::None {
        let message = format!(
            "the policy requires isolation ({}), and on the host plane files, network and system calls stay as they are for every program of this user",
            name(required)
        );
        let fix = "run on a plane that isolates, or write in the policy: isolation.require = \"none\"".to_owned();
        preflight.shortfalls.push(match policies {
            Policies::ThatRequireNone => Shortfall::blocking(None, message, Some(fix)),
            Policies::All => Shortfall::tolerated(None, message, Some(fix)),
        });
    }
    if profile.filesystem.changes == Changes::Overlay {
        // No wish to run without isolation says that changes may be lost or made at once, so this is never lived with.
        let message = "changes cannot be kept apart by this plane";
        let fix = "write in the policy: filesystem.changes = \"direct\"".to_owned();
        preflight.shortfalls.push(Shortfall::blocking(Some(Mechanism::MountNamespace), message, Some(fix)));
    }
    if profile.commands.calls != CallProfile::Usual {
        // Nor that a program may make calls which its policy takes from it by name.
        let message = format!(
            "this plane holds no profile of system calls (commands.calls = \"{}\")",
            profile.commands.calls.name()
        );
        let fix = "write in the policy: commands.calls = \"usual\"".to_owned();
        preflight.shortfalls.push(Shortfall::blocking(Some(Mechanism::Seccomp), message, Some(fix)));
    }
    if !profile.filesystem.rules.is_empty() {
        let message = "file rules are not held: a program reads and writes what its user may";
        preflight.shortfalls.push(Shortfall::tolerated(Some(Mechanism::MountNamespace), message, None));
    }
    if profile.network.mode != NetworkMode::Inherit {
        let message = "network rules are not held: a program reaches what the host reaches";
        preflight.shortfalls.push(Shortfall::tolerated(Some(Mechanism::NetworkNamespace), message, None));
    }
    preflight
}

/// What holds for `profile`, the limit on processes by `tasks_by`.
pub(crate) fn enforcement(profile: &ExecutionProfile, tasks_by: &str) -> Enforcement {
    let mut enforcement = Enforcement::new(Tier::None);
    let required = profile.isolation.require > Tier::None;
    for mechanism in ABSENT {
        let mut report = MechanismReport::missing(mechanism, NOTHING);
        report.asked = match mechanism {
            Mechanism::NetworkNamespace => required && profile.network.mode != NetworkMode::Inherit,
            _ => required,
        };
        enforcement.mechanisms.push(report);
    }
    enforcement.mechanisms.push(MechanismReport::held(Mechanism::NoNewPrivileges));
    let mut containment = MechanismReport::held(Mechanism::Containment).by(FOLLOWED_BY);
    containment.why_not = Some(
        "a program that kills its keeper, or has a service of the machine start something, can leave that behind"
            .to_owned(),
    );
    enforcement.mechanisms.push(containment);
    enforcement.mechanisms.push(MechanismReport::held(Mechanism::OutputLimit).by("supervisor"));
    limits(&mut enforcement, &profile.limits, tasks_by);
    enforcement
}

fn limits(enforcement: &mut Enforcement, limits: &Limits, tasks_by: &str) {
    let each = Some("each file by itself; what all together hold is not counted".to_owned());
    let looked = (tasks_by == BY_LOOKING).then(|| "by looking: for a moment there may be more".to_owned());
    let held = [
        (limits.wall_ms, Mechanism::WallLimit, "supervisor", None),
        (limits.cpu_ms, Mechanism::CpuLimit, "supervisor poll", None),
        (limits.memory_bytes, Mechanism::MemoryLimit, "supervisor poll", None),
        (limits.processes, Mechanism::ProcessesLimit, tasks_by, looked),
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

fn name(tier: Tier) -> &'static str {
    match tier {
        Tier::Full => "full",
        Tier::Landlock => "landlock",
        _ => "none",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(require: Tier) -> ExecutionProfile {
        let mut profile = ExecutionProfile::closed("test");
        profile.isolation.require = require;
        profile
    }

    #[test]
    fn a_policy_that_requires_isolation_is_refused_with_what_to_write() {
        for require in [Tier::Landlock, Tier::Full] {
            let answer = preflight(&profile(require), Policies::ThatRequireNone, BY_LOOKING);
            assert!(!answer.accepted());
            let [shortfall, ..] = answer.shortfalls.as_slice() else { panic!("no shortfall") };
            assert!(shortfall.fix.as_ref().unwrap().contains("isolation.require = \"none\""));
        }
    }

    #[test]
    fn a_profile_of_system_calls_is_refused_whatever_the_host_says() {
        for policies in [Policies::ThatRequireNone, Policies::All] {
            let mut profile = profile(Tier::None);
            profile.commands.calls = CallProfile::NoExec;
            assert!(!preflight(&profile, policies, BY_LOOKING).accepted());
        }
    }

    #[test]
    fn a_policy_that_requires_none_is_accepted_and_told_what_does_not_hold() {
        let answer = preflight(&profile(Tier::None), Policies::ThatRequireNone, BY_LOOKING);
        assert!(answer.accepted());
        assert_eq!(answer.enforcement.tier, Tier::None);
        assert!(answer.shortfalls.iter().any(|s| s.mechanism == Some(Mechanism::NetworkNamespace)));
        assert!(!answer.enforcement.mechanisms.iter().any(|m| ABSENT.contains(&m.mechanism) && m.held));
    }

    #[test]
    fn the_wider_token_lets_it_run_and_every_gap_is_told() {
        let answer = preflight(&profile(Tier::Full), Policies::All, BY_LOOKING);
        assert!(answer.accepted());
        let gaps: Vec<_> = answer.enforcement.gaps().map(|gap| gap.mechanism).collect();
        assert_eq!(gaps, ABSENT);
    }

    #[test]
    fn changes_are_never_made_at_once_that_were_to_be_kept_apart() {
        let mut profile = profile(Tier::None);
        profile.filesystem.changes = Changes::Overlay;
        assert!(!preflight(&profile, Policies::All, BY_LOOKING).accepted());
    }
}
