//! Who refused, and what mends it. A pure function of what was seen, so that machines that are not here can be tested, too.

use super::machine::Machine;
use super::{Primitive, cgroups};
use nix::errno::Errno;

/// Who says no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Layer {
    /// A setting of the kernel (sysctl).
    Setting,
    /// A seccomp filter in front of the kernel: a container's, or a service manager's.
    SeccompFilter,
    /// AppArmor.
    AppArmor,
    /// SELinux.
    SeLinux,
    /// Yama, which guards processes from each other.
    Yama,
    /// Mounts over parts of /proc, as containers make them.
    MaskedProc,
    /// A changed root folder.
    Chroot,
    /// A user without a number in this user namespace.
    UnmappedUser,
    /// The kernel was built or booted without it, or is too old.
    Kernel,
    /// Ordinary permissions on files.
    Permission,
    /// Nothing that was looked at explains it.
    Unknown,
}

impl Layer {
    /// Its name in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Setting => "setting",
            Self::SeccompFilter => "seccomp_filter",
            Self::AppArmor => "apparmor",
            Self::SeLinux => "selinux",
            Self::Yama => "yama",
            Self::MaskedProc => "masked_proc",
            Self::Chroot => "chroot",
            Self::UnmappedUser => "unmapped_user",
            Self::Kernel => "kernel",
            Self::Permission => "permission",
            Self::Unknown => "unknown",
        }
    }
}

/// Who refused, in a sentence, and what to type.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cause {
    /// Who.
    pub layer: Layer,
    /// The reason, as a sentence without a full stop.
    pub sentence: String,
    /// The command that mends it.
    pub fix: Option<String>,
}

impl Cause {
    fn new(layer: Layer, sentence: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { layer, sentence: sentence.into(), fix: Some(fix.into()) }
    }
}

/// What did not work, as it was seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) primitive: Primitive,
    pub(super) step: &'static str,
    /// The kernel's answer; `None` when the step ended the process.
    pub(super) errno: Option<Errno>,
    /// Whether somebody in front of the kernel answered; `None` where that cannot be told.
    pub(super) filtered: Option<bool>,
}

/// The cause of a refusal. `user_namespace` is why there is no user namespace, without which there is none of the others.
pub(super) fn explain(seen: Seen, machine: &Machine, user_namespace: Option<&Cause>) -> Cause {
    let Seen { primitive, step, .. } = seen;
    if let Some(cause) = user_namespace
        && step == "clone"
    {
        return cause.clone();
    }
    let errno = match seen.errno {
        Some(errno) if seen.filtered != Some(true) => errno,
        errno => return filter(step, errno, machine),
    };
    let found = match primitive {
        Primitive::Cgroup => Some(cgroup(step, errno, machine)),
        Primitive::Landlock => landlock(errno, machine),
        Primitive::DescriptorTransfer => yama(machine),
        Primitive::MemoryFile => memory_file(machine),
        _ if step == "clone" => namespace(primitive, errno, machine),
        _ => None,
    };
    found.or_else(|| inside(primitive, step, errno, machine)).unwrap_or_else(|| unknown(step, errno, machine))
}

fn filter(step: &str, errno: Option<Errno>, machine: &Machine) -> Cause {
    let call = step.split(' ').next().unwrap_or(step);
    let how = if errno.is_some() { "answers" } else { "kills at" };
    let fix = match machine.container.as_deref() {
        Some(tool @ ("docker" | "podman")) => {
            format!("{tool} run --security-opt seccomp=unconfined … (or a profile that allows {call})")
        }
        Some("kubernetes") => {
            format!("in the pod: securityContext: {{seccompProfile: {{type: Unconfined}}}}, or a Localhost profile that allows {call}")
        }
        _ => "start it outside of what filters its calls; for a systemd unit: systemctl edit UNIT, and there RestrictNamespaces=no and SystemCallFilter=".to_owned(),
    };
    let sentence =
        format!("a seccomp filter that this process was started under {how} {call} before the kernel sees it");
    Cause::new(Layer::SeccompFilter, sentence, fix)
}

/// clone(2) with a new namespace.
fn namespace(primitive: Primitive, errno: Errno, machine: &Machine) -> Option<Cause> {
    let setting = |sentence: String, fix: &str| Some(Cause::new(Layer::Setting, sentence, fix));
    match errno {
        Errno::ENOSPC | Errno::EUSERS => match machine.most_user_namespaces {
            Some(0) => setting(
                "user.max_user_namespaces is 0, which switches user namespaces off".to_owned(),
                "sysctl -w user.max_user_namespaces=15000",
            ),
            _ => setting(
                "a limit on namespaces is reached (user.max_*_namespaces), here or in a user namespace around this one"
                    .to_owned(),
                "outside of all containers: sysctl -w user.max_user_namespaces=15000 (and the like for user.max_mnt_namespaces, …)",
            ),
        },
        Errno::EINVAL | Errno::ENOSYS => {
            let option = match primitive {
                Primitive::UserNamespace => "CONFIG_USER_NS",
                Primitive::PidNamespace => "CONFIG_PID_NS",
                Primitive::NetworkNamespace => "CONFIG_NET_NS",
                Primitive::IpcNamespace => "CONFIG_IPC_NS",
                Primitive::UtsNamespace => "CONFIG_UTS_NS",
                Primitive::CgroupNamespace => "CONFIG_CGROUPS",
                _ => "CONFIG_NAMESPACES",
            };
            let sentence = format!("the kernel was built without {option}");
            Some(Cause::new(Layer::Kernel, sentence, format!("use a kernel built with {option}=y")))
        }
        _ if machine.chroot => Some(Cause::new(
            Layer::Chroot,
            "the root folder was changed (chroot), and the kernel makes no user namespaces there",
            "start it in a mount namespace with pivot_root instead: unshare --mount, then pivot_root",
        )),
        _ if machine.unmapped => Some(Cause::new(
            Layer::UnmappedUser,
            format!("the user {} has no number in this user namespace", machine.user_id),
            "map it: unshare --user --map-current-user cofferdam …",
        )),
        _ if machine.unprivileged_namespaces == Some(false) => setting(
            "kernel.unprivileged_userns_clone is 0, which keeps user namespaces for root".to_owned(),
            "sysctl -w kernel.unprivileged_userns_clone=1",
        ),
        _ => None,
    }
}

/// What was refused inside a namespace that could be made, or by a security module.
fn inside(primitive: Primitive, step: &str, errno: Errno, machine: &Machine) -> Option<Cause> {
    if errno == Errno::ENODEV && step.starts_with("mount ") {
        let kind = step.trim_start_matches("mount ");
        let sentence = format!("the kernel has no file system `{kind}`");
        return Some(Cause::new(Layer::Kernel, sentence, format!("modprobe {kind}")));
    }
    if errno == Errno::ENOSYS {
        let sentence = format!("the kernel {} does not know the call {step}", machine.kernel);
        return Some(Cause::new(Layer::Kernel, sentence, "use Linux 5.13 or newer"));
    }
    let refused = matches!(errno, Errno::EPERM | Errno::EACCES);
    if refused && primitive == Primitive::ProcMount && !machine.hidden_proc.is_empty() {
        let hidden = machine.hidden_proc.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
        let fix = match machine.container.as_deref() {
            Some("podman") => "podman run --security-opt unmask=ALL …",
            Some("docker") => "docker run --security-opt systempaths=unconfined …",
            Some("kubernetes") => "in the pod: securityContext: {procMount: Unmasked}",
            _ => "unmount what lies on /proc before it is started: umount /proc/…",
        };
        let sentence = format!(
            "parts of /proc are hidden by mounts ({hidden}), and then the kernel mounts no fresh /proc in a user namespace"
        );
        return Some(Cause::new(Layer::MaskedProc, sentence, fix));
    }
    if refused && machine.apparmor_restricts == Some(true) {
        let program = if machine.program.is_empty() { "/usr/bin/cofferdam" } else { &machine.program };
        let fix = format!(
            "printf 'abi <abi/4.0>,\\ninclude <tunables/global>\\nprofile cofferdam {program} flags=(unconfined) {{\\n  userns,\\n}}\\n' \
             > /etc/apparmor.d/cofferdam && apparmor_parser -r /etc/apparmor.d/cofferdam"
        );
        let sentence = "kernel.apparmor_restrict_unprivileged_userns is 1: AppArmor takes the rights out of user namespaces of programs without a profile";
        return Some(Cause::new(Layer::AppArmor, sentence, fix));
    }
    if let Some(profile) = machine.apparmor_profile.as_ref().filter(|_| refused) {
        let fix = match machine.container.as_deref() {
            Some(tool @ ("docker" | "podman")) => format!("{tool} run --security-opt apparmor=unconfined …"),
            Some("kubernetes") => "in the pod: securityContext: {appArmorProfile: {type: Unconfined}}".to_owned(),
            _ => format!("aa-complain {profile}, or allow it in the profile"),
        };
        return Some(Cause::new(
            Layer::AppArmor,
            format!("this process is under the AppArmor profile `{profile}`"),
            fix,
        ));
    }
    if refused && machine.selinux {
        let fix = "ausearch -m avc -ts recent | audit2allow -M cofferdam && semodule -i cofferdam.pp";
        return Some(Cause::new(Layer::SeLinux, "SELinux enforces, and nothing else that was looked at refuses", fix));
    }
    None
}

fn landlock(errno: Errno, machine: &Machine) -> Option<Cause> {
    let listed = machine.modules.as_ref().is_some_and(|modules| modules.iter().any(|name| name == "landlock"));
    match errno {
        Errno::EOPNOTSUPP => Some(Cause::new(
            Layer::Kernel,
            "the kernel has Landlock, but was booted without it",
            "add landlock to the list lsm= on the kernel's command line: lsm=landlock,yama,apparmor",
        )),
        Errno::ENOSYS if !listed => Some(Cause::new(
            Layer::Kernel,
            format!("the kernel {} has no Landlock (it came with 5.13)", machine.kernel),
            "use Linux 5.13 or newer, built with CONFIG_SECURITY_LANDLOCK=y",
        )),
        _ => None,
    }
}

fn yama(machine: &Machine) -> Option<Cause> {
    machine.yama.filter(|scope| *scope >= 2).map(|scope| {
        let sentence =
            format!("kernel.yama.ptrace_scope is {scope}, which keeps processes from looking into their own children");
        let fix = if scope == 2 {
            "sysctl -w kernel.yama.ptrace_scope=1"
        } else {
            "set kernel.yama.ptrace_scope=1 in /etc/sysctl.d and restart; 3 cannot be taken back"
        };
        Cause::new(Layer::Yama, sentence, fix)
    })
}

fn memory_file(machine: &Machine) -> Option<Cause> {
    machine.memory_files_execute.filter(|value| *value == 2).map(|_| {
        let sentence = "vm.memfd_noexec is 2, which forbids executing from memory";
        Cause::new(Layer::Setting, sentence, "sysctl -w vm.memfd_noexec=1")
    })
}

fn cgroup(step: &str, errno: Errno, machine: &Machine) -> Cause {
    let delegate = "systemd-run --user --scope --property=Delegate=yes cofferdam …";
    if step == cgroups::NOT_DELEGATED {
        let sentence = "no cgroup with the controllers memory and pids is handed down to this process";
        return Cause::new(Layer::Permission, sentence, delegate);
    }
    match (errno, machine.container.as_deref()) {
        (Errno::EROFS, Some(tool @ ("docker" | "podman"))) => Cause::new(
            Layer::Permission,
            "the container's cgroups are mounted read-only",
            format!("{tool} run --cgroupns=private --security-opt writable-cgroups=true …"),
        ),
        (Errno::EROFS, _) => Cause::new(
            Layer::Permission,
            "the cgroups are mounted read-only",
            "mount -o remount,rw /sys/fs/cgroup (by root, outside)",
        ),
        _ if machine.user_id == 0 => Cause::new(
            Layer::Permission,
            "the cgroup of this process takes no new group, though root asks",
            "start it outside of the container, or with its cgroups writable",
        ),
        _ => Cause::new(
            Layer::Permission,
            "the cgroup of this process belongs to another user",
            format!("{delegate} (cgroup v2), or run it as root (cgroup v1)"),
        ),
    }
}

fn unknown(step: &str, errno: Errno, machine: &Machine) -> Cause {
    let why = if machine.filtered { "; a seccomp filter is in force and may be the cause" } else { "" };
    let sentence = format!("{step} was refused ({errno}), and no setting that was looked at explains it{why}");
    Cause::new(Layer::Unknown, sentence, "dmesg | tail (as root) may hold the security module's word on it")
}
