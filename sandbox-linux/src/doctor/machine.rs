//! What can be read about the machine without trying anything: settings, security modules, the kind of surroundings.

use super::attempt::{Outcome, Step, attempt};
use super::calls::errno_of;
use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use std::fs;
use std::path::Path;

/// The settings and surroundings that refusals are explained from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Machine {
    /// The kernel's release, such as `6.18.0`.
    pub kernel: String,
    /// The effective user id.
    pub user_id: u32,
    /// The program that examines; an AppArmor profile is written for it.
    pub program: String,
    /// `user.max_user_namespaces`.
    pub most_user_namespaces: Option<u64>,
    /// `kernel.unprivileged_userns_clone`, which Debian's kernels have.
    pub unprivileged_namespaces: Option<bool>,
    /// `kernel.apparmor_restrict_unprivileged_userns`, which Ubuntu's kernels have.
    pub apparmor_restricts: Option<bool>,
    /// `kernel.yama.ptrace_scope`.
    pub yama: Option<u64>,
    /// `vm.memfd_noexec`.
    pub memory_files_execute: Option<u64>,
    /// Whether this process is under a seccomp filter.
    pub filtered: bool,
    /// The AppArmor profile that this process is under, unless it is `unconfined`.
    pub apparmor_profile: Option<String>,
    /// Whether SELinux enforces.
    pub selinux: bool,
    /// The security modules that are switched on, if the kernel tells.
    pub modules: Option<Vec<String>>,
    /// Mounts that hide parts of /proc.
    pub hidden_proc: Vec<String>,
    /// Whether the root folder is not the root of the mount namespace.
    pub chroot: bool,
    /// Whether the user has no number in this user namespace.
    pub unmapped: bool,
    /// The kind of container around us, if it tells: `docker`, `podman`, `kubernetes`.
    pub container: Option<String>,
}

impl Machine {
    /// Reads all of it. What cannot be read is left out.
    pub(super) fn look() -> Self {
        let mounts = text("/proc/self/mountinfo").unwrap_or_default();
        let points: Vec<&str> = mounts.lines().filter_map(|line| line.split(' ').nth(4)).collect();
        let status = text("/proc/self/status").unwrap_or_default();
        let user_id = nix::unistd::geteuid().as_raw();
        Self {
            kernel: text("/proc/sys/kernel/osrelease").unwrap_or_default(),
            user_id,
            program: fs::read_link("/proc/self/exe").map(|path| path.display().to_string()).unwrap_or_default(),
            most_user_namespaces: setting("user/max_user_namespaces"),
            unprivileged_namespaces: setting("kernel/unprivileged_userns_clone").map(|value| value != 0),
            apparmor_restricts: setting("kernel/apparmor_restrict_unprivileged_userns").map(|value| value != 0),
            yama: setting("kernel/yama/ptrace_scope"),
            memory_files_execute: setting("vm/memfd_noexec"),
            filtered: status.lines().any(|line| line.split_whitespace().eq(["Seccomp:", "2"])),
            apparmor_profile: apparmor_profile(),
            selinux: text("/sys/fs/selinux/enforce").as_deref() == Some("1"),
            modules: text("/sys/kernel/security/lsm").map(|list| list.split(',').map(str::to_owned).collect()),
            hidden_proc: points.iter().filter(|at| at.starts_with("/proc/")).map(|at| (*at).to_owned()).collect(),
            chroot: chrooted(&points),
            unmapped: text("/proc/self/uid_map").is_some_and(|map| !maps(&map, user_id)),
            container: container(),
        }
    }
}

/// Whether the root folder is another than the mount namespace's. Who may enter a namespace sees it by entering its own anew
/// (setns(2) resets the root folder); to others it shows when no mount lies there.
fn chrooted(points: &[&str]) -> bool {
    // mountinfo(5) lists what can be reached from the root folder.
    let seen = || fs::read_to_string("/proc/self/mountinfo").map_err(|error| errno_of(&error));
    let (before, own) = (seen(), fs::File::open("/proc/self/ns/mnt"));
    let enter = || own.as_ref().map_or(Err(Errno::EBADF), |own| setns(own, CloneFlags::CLONE_NEWNS));
    let same = || if seen() == before { Ok(()) } else { Err(Errno::EXDEV) };
    let steps = [Step { name: "setns", call: &enter }, Step { name: "root", call: &same }];
    let moved = attempt(0, &steps) == Outcome::Refused { step: "root", errno: Errno::EXDEV };
    moved || (!points.is_empty() && !points.contains(&"/"))
}

fn text(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn setting(name: &str) -> Option<u64> {
    text(&format!("/proc/sys/{name}"))?.parse().ok()
}

/// The profile's name, without `(enforce)` behind it.
fn apparmor_profile() -> Option<String> {
    let label = text("/proc/self/attr/apparmor/current").or_else(|| {
        // The older file belongs to whichever security module is first; SELinux' contexts have colons.
        text("/proc/self/attr/current").filter(|label| label.ends_with(')'))
    })?;
    let name = label.split(" (").next().unwrap_or_default().trim_end_matches('\0').to_owned();
    (!name.is_empty() && name != "unconfined").then_some(name)
}

/// Whether a map of ids (user_namespaces(7)) holds `id`.
fn maps(map: &str, id: u32) -> bool {
    map.lines().any(|line| {
        let mut numbers = line.split_whitespace().filter_map(|word| word.parse::<u64>().ok());
        let (first, length) = (numbers.next().unwrap_or(0), numbers.nth(1).unwrap_or(0));
        (first..first.saturating_add(length)).contains(&u64::from(id))
    })
}

fn container() -> Option<String> {
    let named = |name: &str| Some(name.to_owned());
    if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() {
        return named("kubernetes");
    }
    if Path::new("/run/.containerenv").exists() {
        return named("podman");
    }
    if Path::new("/.dockerenv").exists() { named("docker") } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_holds_what_lies_in_its_ranges() {
        assert!(maps("         0       1000          1\n", 0));
        assert!(!maps("         0       1000          1\n", 65534));
        assert!(maps("0 0 4294967295\n", 1001));
    }

    #[test]
    fn this_machine_tells_its_kernel_and_its_limit() {
        let machine = Machine::look();
        assert!(machine.kernel.contains('.'), "{machine:?}");
        assert!(machine.most_user_namespaces.is_some(), "{machine:?}");
    }
}
