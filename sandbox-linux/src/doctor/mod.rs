//! Examines the machine: tries each primitive that a sandbox is built from, and names the layer that refuses it.
//!
//! Nothing is concluded from versions or settings alone. Each primitive is used as the plane uses it, in a child that ends at
//! once and takes all of it away; settings are read only afterwards, to tell who said no and what mends it.

mod attempt;
mod calls;
mod cgroups;
mod explain;
mod filters;
mod front;
mod machine;
mod mounts;
mod namespaces;
mod processes;
#[cfg(test)]
mod tests;

pub use explain::{Cause, Layer};
pub use machine::Machine;

use attempt::{Outcome, Step};
use explain::Seen;
use std::cell::RefCell;

/// Something that sandboxes are built from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Primitive {
    /// memfd_create(2), and executing from such a file: the launcher's way in.
    MemoryFile,
    /// pidfd_open(2) and pidfd_send_signal(2).
    PidDescriptor,
    /// A user namespace with a map of one user.
    UserNamespace,
    /// A mount namespace in which mounts can be changed.
    MountNamespace,
    /// A pid namespace.
    PidNamespace,
    /// A network namespace.
    NetworkNamespace,
    /// A namespace for System V and POSIX IPC.
    IpcNamespace,
    /// A namespace for the host's name.
    UtsNamespace,
    /// A cgroup namespace.
    CgroupNamespace,
    /// open_tree(2), mount_setattr(2) and move_mount(2).
    MountApi,
    /// A fresh /proc of a pid namespace.
    ProcMount,
    /// A loopback device that can be switched on.
    Loopback,
    /// Landlock, refusing a file.
    Landlock,
    /// A seccomp filter, refusing a call.
    SeccompFilter,
    /// The listener of a seccomp filter.
    SeccompNotification,
    /// pidfd_getfd(2) on a child: how a supervisor takes a descriptor out of a sandbox.
    DescriptorTransfer,
    /// A fresh devpts and a terminal in it.
    Terminals,
    /// overlayfs in a user namespace.
    Overlay,
    /// A cgroup that limits memory and processes.
    Cgroup,
}

impl Primitive {
    /// All of them, in the order in which a sandbox is built.
    pub const ALL: [Self; 19] = [
        Self::MemoryFile,
        Self::PidDescriptor,
        Self::UserNamespace,
        Self::MountNamespace,
        Self::PidNamespace,
        Self::NetworkNamespace,
        Self::IpcNamespace,
        Self::UtsNamespace,
        Self::CgroupNamespace,
        Self::MountApi,
        Self::ProcMount,
        Self::Loopback,
        Self::Landlock,
        Self::SeccompFilter,
        Self::SeccompNotification,
        Self::DescriptorTransfer,
        Self::Terminals,
        Self::Overlay,
        Self::Cgroup,
    ];

    /// Its name in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::MemoryFile => "memory_file",
            Self::PidDescriptor => "pid_descriptor",
            Self::UserNamespace => "user_namespace",
            Self::MountNamespace => "mount_namespace",
            Self::PidNamespace => "pid_namespace",
            Self::NetworkNamespace => "network_namespace",
            Self::IpcNamespace => "ipc_namespace",
            Self::UtsNamespace => "uts_namespace",
            Self::CgroupNamespace => "cgroup_namespace",
            Self::MountApi => "mount_api",
            Self::ProcMount => "proc_mount",
            Self::Loopback => "loopback",
            Self::Landlock => "landlock",
            Self::SeccompFilter => "seccomp_filter",
            Self::SeccompNotification => "seccomp_notification",
            Self::DescriptorTransfer => "descriptor_transfer",
            Self::Terminals => "terminals",
            Self::Overlay => "overlay",
            Self::Cgroup => "cgroup",
        }
    }

    /// What is lost without it.
    pub fn purpose(self) -> &'static str {
        match self {
            Self::SeccompNotification => "calls that a supervisor must answer",
            Self::DescriptorTransfer => "calls that a supervisor answers with a descriptor of the program",
            Self::Terminals => "interactive programs on a terminal of their own",
            Self::Overlay => "changes kept apart from the workspace",
            Self::Cgroup => {
                "exact limits on memory and processes; without it the supervisor looks at them from time to time"
            }
            _ => "every run in the tier `full`",
        }
    }

    /// Whether the tier `full` is impossible without it.
    pub fn required(self) -> bool {
        !matches!(
            self,
            Self::SeccompNotification | Self::DescriptorTransfer | Self::Terminals | Self::Overlay | Self::Cgroup
        )
    }

    /// The call that comes first, for when it ends the process that makes it.
    fn first_call(self) -> &'static str {
        match self {
            Self::MemoryFile => "memfd_create",
            Self::PidDescriptor => "pidfd_open",
            Self::DescriptorTransfer => "pidfd_getfd",
            Self::Landlock => "landlock_create_ruleset",
            Self::Cgroup => cgroups::MAKE,
            _ => "clone",
        }
    }

    /// Tries it in a child, since there are filters that kill.
    fn attempt(self) -> Tried {
        let tried = RefCell::new(None);
        let inside = || {
            tried.replace(Some(self.attempt_here()));
            Ok(())
        };
        let outcome = attempt::attempt(0, &[Step { name: self.first_call(), call: &inside }]);
        match tried.into_inner() {
            Some(tried) if outcome == Outcome::Worked => tried,
            _ => outcome.into(),
        }
    }

    fn attempt_here(self) -> Tried {
        match self {
            Self::MemoryFile => processes::memory_file().into(),
            Self::PidDescriptor => processes::pid_descriptor().into(),
            Self::DescriptorTransfer => processes::descriptor_transfer().into(),
            Self::UserNamespace => namespaces::user().into(),
            Self::MountNamespace => namespaces::mount().into(),
            Self::PidNamespace => namespaces::pid().into(),
            Self::NetworkNamespace => namespaces::network().into(),
            Self::IpcNamespace => namespaces::ipc().into(),
            Self::UtsNamespace => namespaces::host_name().into(),
            Self::CgroupNamespace => namespaces::cgroup().into(),
            Self::Loopback => namespaces::loopback().into(),
            Self::MountApi => mounts::mount_api().into(),
            Self::ProcMount => mounts::proc().into(),
            Self::Terminals => mounts::terminals().into(),
            Self::Overlay => mounts::overlay().into(),
            Self::Landlock => filters::landlock(),
            Self::SeccompFilter => filters::seccomp().into(),
            Self::SeccompNotification => filters::notification().into(),
            Self::Cgroup => cgroups::limits(),
        }
    }
}

/// What came of an attempt, and what there is to say about a success.
struct Tried {
    outcome: Outcome,
    detail: Option<String>,
}

impl From<Outcome> for Tried {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, detail: None }
    }
}

/// What is known of one primitive.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// Which.
    pub primitive: Primitive,
    /// What there is to say when it works, such as a version.
    pub detail: Option<String>,
    /// Why it does not work; `None` when it works.
    pub refusal: Option<Refusal>,
}

/// That something was refused, and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// The call that failed.
    pub step: &'static str,
    /// What the kernel answered, such as `EPERM`; `None` when the call ended the process.
    pub errno: Option<&'static str>,
    /// The number of `errno`.
    pub errno_number: Option<i32>,
    /// Who refused, and what mends it.
    pub cause: Cause,
}

/// What an examination found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Examination {
    /// What was read about the machine, and what refusals were explained from.
    pub machine: Machine,
    /// Each primitive, in the order of [`Primitive::ALL`].
    pub findings: Vec<Finding>,
}

impl Examination {
    /// Whether a call of what every run needs ended the process that made it: a run started from here would end this one.
    pub fn deadly(&self) -> bool {
        let ended = |finding: &Finding| finding.refusal.as_ref().is_some_and(|refusal| refusal.errno.is_none());
        self.findings.iter().any(|finding| finding.primitive.required() && ended(finding))
    }

    /// Whether everything works that the tier `full` needs.
    pub fn complete(&self) -> bool {
        self.findings.iter().all(|finding| finding.refusal.is_none() || !finding.primitive.required())
    }
}

/// Examines this machine, in some milliseconds. Nothing of it lasts.
///
/// ```
/// let examination = cofferdam_sandbox_linux::doctor::examine();
/// for finding in &examination.findings {
///     println!("{}: {}", finding.primitive.name(), finding.refusal.is_none());
/// }
/// ```
pub fn examine() -> Examination {
    let machine = Machine::look();
    let mut findings: Vec<Finding> = Vec::new();
    for primitive in Primitive::ALL {
        let Tried { outcome, detail } = primitive.attempt();
        let user_namespace = findings.iter().find(|known| known.primitive == Primitive::UserNamespace);
        let root_cause = user_namespace.and_then(|known| known.refusal.as_ref()).map(|refusal| &refusal.cause);
        let refusal = outcome.refused().map(|(step, errno)| Refusal {
            step,
            errno: errno.map(calls::errno_name),
            errno_number: errno.map(|errno| errno as i32),
            cause: explain::explain(
                Seen { primitive, step, errno, filtered: errno.and_then(|_| front::filtered(step)) },
                &machine,
                root_cause,
            ),
        });
        let detail = detail.filter(|_| refusal.is_none());
        findings.push(Finding { primitive, detail, refusal });
    }
    Examination { machine, findings }
}
