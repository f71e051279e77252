//! Whether a profile can be enforced here, told before anything runs. Asking changes nothing and forks nothing.

use crate::plan::brokered::Brokered;
use crate::plan::landlock::Rights;
use cofferdam_bridge::descriptor::{Preflight, Shortfall};
use cofferdam_bridge::enforcement::{Enforcement, Mechanism, MechanismReport, Tier};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::profile::{Changes, ExecutionProfile, NetworkMode};
use std::fs;

/// What this machine gives.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    pub(crate) tier: Tier,
    pub(crate) landlock: Option<Rights>,
    pub(crate) broker: bool,
    namespaces_refused: Option<(String, String)>,
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
        let namespaces_refused = SWITCHES.iter().find_map(|(name, off, fix)| {
            let root_may = *name != "user/max_user_namespaces" && nix::unistd::geteuid().is_root();
            let value = fs::read_to_string(format!("/proc/sys/{name}")).ok()?;
            (value.trim() == *off && !root_may).then(|| {
                (format!("user namespaces are switched off by {} = {off}", name.replace('/', ".")), (*fix).to_owned())
            })
        });
        // Without namespaces nothing is offered: Landlock and seccomp alone leave gaps that this plane does not close.
        let tier = if namespaces_refused.is_none() { Tier::Full } else { Tier::None };
        Self { tier, landlock, broker: gives_notifications(), namespaces_refused }
    }

    /// The flags of clone(2) for a sandbox with every namespace of its own.
    pub(crate) fn all_namespaces(&self) -> i32 {
        NAMESPACES.iter().fold(0, |flags, (flag, _)| flags | flag)
    }

    /// The flags of clone(2) for `profile`.
    pub(crate) fn namespaces(&self, profile: &ExecutionProfile) -> i32 {
        if self.tier != Tier::Full {
            return 0;
        }
        let wanted = |flag: i32| flag != libc::CLONE_NEWNET || profile.network.mode != NetworkMode::Inherit;
        NAMESPACES.iter().filter(|(flag, _)| wanted(*flag)).fold(0, |flags, (flag, _)| flags | flag)
    }

    /// What would hold for `profile`, and what is missing.
    pub(crate) fn preflight(&self, profile: &ExecutionProfile, brokered: &Result<Brokered, BridgeError>) -> Preflight {
        let needed = brokered.as_ref().copied().unwrap_or_default();
        let mut preflight = Preflight::new(self.enforcement(profile, needed));
        let mut missing = Vec::new();
        if let Err(error) = brokered {
            missing.push(Shortfall::blocking(None, error.message.clone(), None));
        }
        if needed.any() && !self.broker {
            let message = "names that do not exist yet cannot be held: the kernel gives no seccomp notifications (Linux 5.14 brought them)";
            missing.push(Shortfall::blocking(Some(Mechanism::Broker), message, None));
        }
        if self.tier != Tier::Full {
            let (why, fix) = self.namespaces_refused.clone().unwrap_or_default();
            let why = if why.is_empty() { "this machine offers no user namespaces".to_owned() } else { why };
            missing.push(Shortfall::blocking(Some(Mechanism::UserNamespace), why, Some(fix)));
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
        if profile.network.mode == NetworkMode::Allowlist {
            let message = "network by name is not enforced by this plane; use network.mode = \"deny\" or \"inherit\"";
            missing.push(Shortfall::blocking(Some(Mechanism::NetworkNamespace), message, None));
        }
        if profile.filesystem.changes == Changes::Overlay {
            let message = "changes cannot be kept apart by this plane; use filesystem.changes = \"direct\"";
            missing.push(Shortfall::blocking(Some(Mechanism::MountNamespace), message, None));
        }
        for mut shortfall in missing {
            let tolerated =
                shortfall.mechanism.is_some_and(|mechanism| profile.isolation.allow_degraded.contains(&mechanism));
            shortfall.blocking = !tolerated;
            preflight.shortfalls.push(shortfall);
        }
        preflight
    }

    /// What would hold for `profile`.
    pub(crate) fn enforcement(&self, profile: &ExecutionProfile, brokered: Brokered) -> Enforcement {
        let mut enforcement = Enforcement::new(self.tier);
        let flags = self.namespaces(profile);
        for (flag, mechanism) in NAMESPACES {
            let mut report = if flags & flag != 0 {
                MechanismReport::held(mechanism)
            } else {
                MechanismReport::missing(mechanism, "not available in this tier")
            };
            if flag == libc::CLONE_NEWNET && profile.network.mode == NetworkMode::Inherit {
                report.asked = false;
                report.why_not = Some("the policy lets the run use the host's network".to_owned());
            }
            enforcement.mechanisms.push(report);
        }
        enforcement.mechanisms.push(match self.landlock {
            Some(rights) => MechanismReport::held(Mechanism::Landlock).by(format!("ABI {}", rights.abi())),
            None => MechanismReport::missing(Mechanism::Landlock, "the kernel has no Landlock"),
        });
        if brokered.any() {
            enforcement.mechanisms.push(if self.broker {
                MechanismReport::held(Mechanism::Broker)
            } else {
                MechanismReport::missing(Mechanism::Broker, "the kernel gives no seccomp notifications")
            });
        }
        for mechanism in
            [Mechanism::Seccomp, Mechanism::NoNewPrivileges, Mechanism::Capabilities, Mechanism::Containment]
        {
            enforcement.mechanisms.push(MechanismReport::held(mechanism));
        }
        enforcement
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
fn landlock_abi() -> Option<u32> {
    const LANDLOCK_CREATE_RULESET_VERSION: u32 = 1;
    let null = std::ptr::null::<libc::c_void>();
    // SAFETY: with this flag the call reads no memory.
    let abi = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, null, 0, LANDLOCK_CREATE_RULESET_VERSION) };
    u32::try_from(abi).ok().filter(|abi| *abi > 0)
}
