//! Whether a profile can be enforced here, told before anything runs. Asking changes nothing and forks nothing.

use crate::context::call_profile;
use crate::network;
use crate::plan::brokered::Brokered;
use crate::plan::landlock_rights::{Rights, SIGNAL_SCOPE_ABI, TCP_ABI};
use crate::prepared::Needs;
use cofferdam_bridge::descriptor::{Preflight, Shortfall};
use cofferdam_bridge::enforcement::{Enforcement, Mechanism, MechanismReport, Tier};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::profile::{CallProfile, Changes, ExecutionProfile, NetworkMode, NetworkProfile, PathEffect};
use std::fs;
use std::sync::OnceLock;

/// What this machine gives.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) landlock: Option<Rights>,
    pub(crate) broker: bool,
    /// Why there can be no namespaces, told by the machine's settings.
    switched_off: Option<Refusal>,
    /// The same, found out by trying: only for policies that would do without.
    tried: OnceLock<Option<Refusal>>,
}

/// Why something cannot be had, and what mends it.
#[derive(Clone, Debug)]
struct Refusal {
    why: String,
    fix: Option<String>,
}

/// The namespaces of the full tier, with the mechanism each stands for.
const NAMESPACES: [(i32, Mechanism); 7] = [
    (libc::CLONE_NEWUSER, Mechanism::UserNamespace),
    (libc::CLONE_NEWNS, Mechanism::MountNamespace),
    (libc::CLONE_NEWPID, Mechanism::PidNamespace),
    (libc::CLONE_NEWNET, Mechanism::NetworkNamespace),
    (libc::CLONE_NEWIPC, Mechanism::IpcNamespace),
    (libc::CLONE_NEWUTS, Mechanism::UtsNamespace),
    (libc::CLONE_NEWCGROUP, Mechanism::CgroupNamespace),
];

/// Settings that switch user namespaces off, the value that does, and the command that mends it.
const SWITCHES: [(&str, &str, &str); 3] = [
    ("user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=15000"),
    ("kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "install an AppArmor profile with `userns,` for this program (cofferdam doctor prints one)",
    ),
];

impl Offer {
    /// Looks at this machine.
    pub(crate) fn new() -> Self {
        let landlock = landlock_abi().map(Rights::of);
        let switched_off = SWITCHES.iter().find_map(|(name, off, fix)| {
            let root_may = *name != "user/max_user_namespaces" && nix::unistd::geteuid().is_root();
            let value = fs::read_to_string(format!("/proc/sys/{name}")).ok()?;
            (value.trim() == *off && !root_may).then(|| Refusal {
                why: format!("user namespaces are switched off by {} = {off}", name.replace('/', ".")),
                fix: Some((*fix).to_owned()),
            })
        });
        Self { landlock, broker: gives_notifications(), switched_off, tried: OnceLock::new() }
    }

    /// As on a kernel whose Landlock is of version `abi`, or this one's where that is older.
    pub(crate) fn landlock_at_most(&mut self, abi: u32) {
        self.landlock = self.landlock.map(|rights| rights.at_most(abi));
    }

    /// Whether the machine's settings leave room for namespaces.
    pub(crate) fn may_have_namespaces(&self) -> bool {
        self.switched_off.is_none()
    }

    /// The tier that `profile` would have. `try_namespaces` is asked once, and only for a profile that would do with less.
    pub(crate) fn tier(
        &self,
        profile: &ExecutionProfile,
        try_namespaces: impl FnOnce() -> Result<(), BridgeError>,
    ) -> Tier {
        let refused = match &self.switched_off {
            Some(_) => true,
            None if profile.isolation.require == Tier::Full => false,
            // A host at its limit is no refusal: the start itself will tell.
            None => {
                let refusal = || try_namespaces().err().filter(|error| !error.retryable).map(Refusal::found_out);
                self.tried.get_or_init(refusal).is_some()
            }
        };
        match refused {
            false => Tier::Full,
            // Before ABI 6 signals of the guest reach every process of the user.
            true if self.broker && self.landlock.is_some_and(|rights| rights.abi() >= SIGNAL_SCOPE_ABI) => {
                Tier::Landlock
            }
            true => Tier::None,
        }
    }

    fn refusal(&self) -> Option<&Refusal> {
        self.switched_off.as_ref().or_else(|| self.tried.get()?.as_ref())
    }

    /// The flags of clone(2) for a sandbox with every namespace of its own.
    pub(crate) fn all_namespaces(&self) -> i32 {
        NAMESPACES.iter().fold(0, |flags, (flag, _)| flags | flag)
    }

    /// The flags of clone(2) for `profile`.
    pub(crate) fn namespaces(&self, profile: &ExecutionProfile, tier: Tier) -> i32 {
        if tier != Tier::Full {
            return 0;
        }
        let wanted = |flag: i32| flag != libc::CLONE_NEWNET || profile.network.mode != NetworkMode::Inherit;
        NAMESPACES.iter().filter(|(flag, _)| wanted(*flag)).fold(0, |flags, (flag, _)| flags | flag)
    }

    /// What would hold for `profile`, and what is missing.
    pub(crate) fn preflight(
        &self,
        profile: &ExecutionProfile,
        needs: &Result<Needs, BridgeError>,
        tier: Tier,
    ) -> Preflight {
        let mut needed = needs.as_ref().map(|needs| needs.brokered).unwrap_or_default();
        let mut missing = Vec::new();
        if tier == Tier::Landlock {
            needed = needed.without_mounts();
            let only_mounts = needs.iter().flat_map(|needs| &needs.only_by_mounts);
            missing.extend(only_mounts.map(|gap| Shortfall::blocking(Some(Mechanism::MountNamespace), gap, None)));
        }
        let mut preflight = Preflight::new(self.enforcement(profile, needed, tier));
        if let Err(error) = needs {
            missing.push(Shortfall::blocking(None, error.message.clone(), None));
        }
        if needed.any() && !self.broker {
            let message = "names that do not exist yet cannot be held: the kernel gives no seccomp notifications (Linux 5.14 brought them)";
            missing.push(Shortfall::blocking(Some(Mechanism::Broker), message, None));
        }
        if tier < profile.isolation.require {
            missing.push(self.too_little(tier));
        }
        if self.landlock.is_none() {
            let message =
                "the kernel has no Landlock (it came with Linux 5.13, and must be named in the boot option lsm=)";
            missing.push(Shortfall::blocking(
                Some(Mechanism::Landlock),
                message,
                Some("add landlock to lsm= at boot".to_owned()),
            ));
        }
        if let Err(error) = call_profile(profile.commands.calls) {
            missing.push(Shortfall::blocking(None, error.message, None));
        }
        if profile.network.mode == NetworkMode::Allowlist {
            let can_be_walled = self.landlock.is_some_and(|rights| rights.abi() >= TCP_ABI);
            if tier != Tier::Full && !can_be_walled {
                let message = "the network by name needs a network namespace, or Landlock that holds ports (Linux 6.7), and this machine offers neither; use network.mode = \"deny\" or \"inherit\"";
                missing.push(Shortfall::blocking(Some(Mechanism::NetworkNamespace), message, None));
            } else if tier == Tier::Full
                && let Err(why) = network::ports(profile)
            {
                missing.push(Shortfall::blocking(None, why, None));
            }
        }
        for mut shortfall in missing {
            let tolerated =
                shortfall.mechanism.is_some_and(|mechanism| profile.isolation.allow_degraded.contains(&mechanism));
            shortfall.blocking = !tolerated;
            preflight.shortfalls.push(shortfall);
        }
        // No wish to do with less says that these may be passed over.
        if tier == Tier::None && !profile.network.http.is_empty() {
            let message = "requests of HTTP are looked at on their way out of a network namespace, or by a proxy that is all a run can connect to (network.http), and this machine offers neither";
            preflight.shortfalls.push(Shortfall::blocking(Some(Mechanism::NetworkNamespace), message, None));
        }
        if tier == Tier::Landlock
            && let Some(message) = network::trust_files::without_mounts(profile)
        {
            preflight.shortfalls.push(Shortfall::blocking(Some(Mechanism::MountNamespace), message, None));
        }
        if tier != Tier::Full && !profile.network.datagrams.is_empty() {
            let message = "datagrams are caught in a network namespace (network.allow with udp://), and this machine offers none; take these entries out of network.allow";
            preflight.shortfalls.push(Shortfall::blocking(Some(Mechanism::NetworkNamespace), message, None));
        }
        // Without namespaces the broker holds what is listened on; with neither there is nobody.
        if tier == Tier::None && profile.network.mode != NetworkMode::Inherit && !profile.network.publish.is_empty() {
            let message = "ports are published out of a network namespace, or by the broker (network.listen), and this machine offers neither; with network.mode = \"inherit\" a program listens on the host's own";
            preflight.shortfalls.push(Shortfall::blocking(Some(Mechanism::NetworkNamespace), message, None));
        }
        if profile.filesystem.changes == Changes::Overlay && asks_before_writing(profile) {
            let message = "what is changed after a question is changed at once, so it cannot be kept apart; use filesystem.changes = \"direct\", or take prompt.filesystem.write out of the policy";
            preflight.shortfalls.push(Shortfall::blocking(Some(Mechanism::Broker), message, None));
        }
        if profile.filesystem.changes == Changes::Overlay {
            // No wish to do with less says that changes may be made at once, so this is never lived with.
            let gaps = needs.iter().flat_map(|needs| needs.not_apart.clone());
            let no_mount = (tier != Tier::Full).then(|| {
                "changes can be kept apart by a mount alone, and this machine offers no namespaces to mount in; use filesystem.changes = \"direct\"".to_owned()
            });
            let gaps = gaps.chain(no_mount);
            preflight
                .shortfalls
                .extend(gaps.map(|gap| Shortfall::blocking(Some(Mechanism::MountNamespace), gap, None)));
        }
        preflight
    }

    /// What would hold for `profile`.
    pub(crate) fn enforcement(&self, profile: &ExecutionProfile, brokered: Brokered, tier: Tier) -> Enforcement {
        let mut enforcement = Enforcement::new(tier);
        let flags = self.namespaces(profile, tier);
        for (flag, mechanism) in NAMESPACES {
            let mut report = if flags & flag != 0 {
                MechanismReport::held(mechanism)
            } else {
                MechanismReport::missing(mechanism, instead_of(mechanism, &profile.network))
            };
            if flag == libc::CLONE_NEWNET && profile.network.mode == NetworkMode::Inherit {
                report.asked = false;
                report.why_not = Some("the policy lets the run use the host's network".to_owned());
            }
            // A policy that does with less asks for what it names, not for how it is held.
            report.asked &= report.held || profile.isolation.require == Tier::Full;
            enforcement.mechanisms.push(report);
        }
        enforcement.mechanisms.push(match self.landlock {
            Some(rights) => {
                let mut report = MechanismReport::held(Mechanism::Landlock).by(format!("ABI {}", rights.abi()));
                report.why_not = rights.gaps().map(|gaps| format!("this version does not hold {gaps}"));
                report
            }
            None => MechanismReport::missing(Mechanism::Landlock, "the kernel has no Landlock"),
        });
        if brokered.any() {
            enforcement.mechanisms.push(if self.broker {
                MechanismReport::held(Mechanism::Broker)
            } else {
                MechanismReport::missing(Mechanism::Broker, "the kernel gives no seccomp notifications")
            });
        }
        let seccomp = MechanismReport::held(Mechanism::Seccomp);
        enforcement.mechanisms.push(match profile.commands.calls {
            CallProfile::Usual => seccomp,
            calls => seccomp.by(format!("profile {}", calls.name())),
        });
        for mechanism in [Mechanism::NoNewPrivileges, Mechanism::Capabilities] {
            enforcement.mechanisms.push(MechanismReport::held(mechanism));
        }
        let by = if tier == Tier::Full { "pid namespace" } else { "guard process, Landlock signal scope" };
        enforcement.mechanisms.push(MechanismReport::held(Mechanism::Containment).by(by));
        enforcement
    }

    fn too_little(&self, tier: Tier) -> Shortfall {
        let refusal = self.refusal();
        let mut why = refusal.map_or("this machine offers no user namespaces", |refusal| &refusal.why).to_owned();
        if tier == Tier::Landlock {
            why.push_str("; without them, `isolation.require = \"landlock\"` (--isolation landlock) lets programs run under Landlock and seccomp alone");
        }
        Shortfall::blocking(Some(Mechanism::UserNamespace), why, refusal.and_then(|refusal| refusal.fix.clone()))
    }
}

fn asks_before_writing(profile: &ExecutionProfile) -> bool {
    profile.filesystem.rules.iter().any(|rule| rule.effect == PathEffect::PromptWrite)
}

impl Refusal {
    fn found_out(error: BridgeError) -> Self {
        Self { why: error.message, fix: None }
    }
}

/// What stands in for a namespace in the tier that has none.
fn instead_of(mechanism: Mechanism, network: &NetworkProfile) -> &'static str {
    match mechanism {
        Mechanism::MountNamespace => {
            "Landlock and the broker hold the file rules; chdir and execve tell whether a name outside them exists, nothing tells more; a program that may be read but not executed can be run by the system's loader"
        }
        Mechanism::PidNamespace => "Landlock and seccomp keep the run's hands off other processes",
        Mechanism::NetworkNamespace if network.mode == NetworkMode::Allowlist => {
            "a proxy of the run's own reaches what the policy names, for programs that use one; Landlock, seccomp and the broker let it connect to nothing else"
        }
        Mechanism::NetworkNamespace if !network.publish.is_empty() => {
            "seccomp and the broker let sockets listen on the ports that the policy publishes, at addresses of the run's own on the host's loopback, and connect to those alone"
        }
        Mechanism::NetworkNamespace => "seccomp lets no network socket be made",
        Mechanism::IpcNamespace => "seccomp refuses System V and POSIX IPC",
        _ => "this machine offers none",
    }
}

/// Whether seccomp can send calls here to be answered (SECCOMP_GET_NOTIF_SIZES of seccomp(2)).
#[expect(unsafe_code, reason = "the sizes are asked for by a call that has no safe form")]
fn gives_notifications() -> bool {
    let mut sizes = [0_u16; 3];
    // SAFETY: the call writes three u16, which live until it returns.
    unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_NOTIF_SIZES, 0, sizes.as_mut_ptr()) == 0 }
}

/// The version of Landlock, or none.
#[expect(unsafe_code, reason = "the version is asked for by a call that has no safe form")]
pub(crate) fn landlock_abi() -> Option<u32> {
    const LANDLOCK_CREATE_RULESET_VERSION: u32 = 1;
    let null = std::ptr::null::<libc::c_void>();
    // SAFETY: with this flag the call reads no memory.
    let abi = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, null, 0, LANDLOCK_CREATE_RULESET_VERSION) };
    u32::try_from(abi).ok().filter(|abi| *abi > 0)
}

/// Whether this kernel makes a ruleset of `attributes`.
#[cfg(test)]
#[expect(unsafe_code, reason = "rulesets are made by a call that has no safe form")]
pub(crate) fn takes_ruleset(attributes: &[u8]) -> bool {
    // SAFETY: the attributes live until the call returns and have the length told.
    let ruleset = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, attributes.as_ptr(), attributes.len(), 0) };
    // SAFETY: the descriptor is the one just made, or none.
    unsafe { libc::close(i32::try_from(ruleset).unwrap_or(-1)) };
    ruleset >= 0
}
