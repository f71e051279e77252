//! Tests of the examination: on this machine, and of what would be said on others.

use super::explain::{Seen, explain};
use super::*;
use nix::errno::Errno;

#[test]
fn an_examination_tries_everything_and_leaves_nothing() {
    let seen = || {
        let read = |path: &str| std::fs::read_to_string(path).unwrap();
        (read("/proc/self/mountinfo"), read("/proc/sys/kernel/hostname"), read("/proc/self/cgroup"))
    };
    let before = seen();
    let examination = examine();
    assert_eq!(seen(), before);
    assert_eq!(examination.findings.len(), Primitive::ALL.len());
    for finding in &examination.findings {
        if let Some(refusal) = &finding.refusal {
            assert!(!refusal.cause.sentence.is_empty() && !refusal.step.is_empty(), "{finding:?}");
        }
    }
}

#[test]
fn names_are_unlike_each_other() {
    let names: std::collections::HashSet<_> = Primitive::ALL.iter().map(|primitive| primitive.name()).collect();
    assert_eq!(names.len(), Primitive::ALL.len());
}

fn seen(primitive: Primitive, step: &'static str, errno: Errno) -> Seen {
    Seen { primitive, step, errno: Some(errno), filtered: Some(false) }
}

fn machine(change: impl FnOnce(&mut Machine)) -> Machine {
    let mut machine = Machine { kernel: "6.1.0".to_owned(), user_id: 1000, ..Machine::default() };
    change(&mut machine);
    machine
}

/// The layer that is named, and what mends it.
fn named(seen: Seen, machine: &Machine) -> (Layer, String) {
    let cause = explain(seen, machine, None);
    (cause.layer, cause.fix.unwrap_or_default())
}

#[test]
fn a_refused_user_namespace_names_the_setting() {
    let clone = |errno| seen(Primitive::UserNamespace, "clone", errno);
    let none = machine(|machine| machine.most_user_namespaces = Some(0));
    assert_eq!(
        named(clone(Errno::ENOSPC), &none),
        (Layer::Setting, "sysctl -w user.max_user_namespaces=15000".to_owned())
    );
    let debian = machine(|machine| machine.unprivileged_namespaces = Some(false));
    assert_eq!(
        named(clone(Errno::EPERM), &debian),
        (Layer::Setting, "sysctl -w kernel.unprivileged_userns_clone=1".to_owned())
    );
    assert_eq!(named(clone(Errno::EINVAL), &machine(|_| ())).0, Layer::Kernel);
    assert_eq!(named(clone(Errno::EPERM), &machine(|machine| machine.chroot = true)).0, Layer::Chroot);
    assert_eq!(named(clone(Errno::EPERM), &machine(|machine| machine.unmapped = true)).0, Layer::UnmappedUser);
    assert_eq!(named(clone(Errno::EPERM), &machine(|_| ())).0, Layer::Unknown);
}

#[test]
fn ubuntu_s_restriction_comes_with_the_profile_that_lifts_it() {
    let ubuntu = machine(|machine| {
        machine.apparmor_restricts = Some(true);
        machine.program = "/opt/cofferdam".to_owned();
    });
    let (layer, fix) = named(seen(Primitive::UserNamespace, "write uid_map", Errno::EPERM), &ubuntu);
    assert_eq!(layer, Layer::AppArmor);
    assert!(fix.contains("profile cofferdam /opt/cofferdam flags=(unconfined)") && fix.contains("userns,"), "{fix}");
}

#[test]
fn a_container_s_layers_are_told_apart_and_mended_with_its_own_options() {
    let docker = machine(|machine| {
        machine.container = Some("docker".to_owned());
        machine.filtered = true;
        machine.hidden_proc = vec!["/proc/kcore".to_owned()];
        machine.apparmor_profile = Some("docker-default".to_owned());
    });
    let filtered = Seen { filtered: Some(true), ..seen(Primitive::UserNamespace, "clone", Errno::EPERM) };
    let (layer, fix) = named(filtered, &docker);
    assert_eq!((layer, fix.contains("--security-opt seccomp=")), (Layer::SeccompFilter, true));
    let (layer, fix) = named(seen(Primitive::ProcMount, "mount proc", Errno::EPERM), &docker);
    assert_eq!((layer, fix.contains("systempaths=unconfined")), (Layer::MaskedProc, true));
    let (layer, fix) = named(seen(Primitive::MountNamespace, "mount tmpfs", Errno::EACCES), &docker);
    assert_eq!((layer, fix.contains("apparmor=unconfined")), (Layer::AppArmor, true));
    let (layer, fix) = named(seen(Primitive::Cgroup, cgroups::MAKE, Errno::EROFS), &docker);
    assert_eq!((layer, fix.contains("writable-cgroups")), (Layer::Permission, true));
}

#[test]
fn kernels_without_a_part_are_told_from_kernels_that_refuse_it() {
    let bare = machine(|_| ());
    assert_eq!(named(seen(Primitive::Landlock, "landlock_create_ruleset", Errno::ENOSYS), &bare).0, Layer::Kernel);
    let (_, fix) = named(seen(Primitive::Landlock, "landlock_create_ruleset", Errno::EOPNOTSUPP), &bare);
    assert!(fix.contains("lsm="), "{fix}");
    assert_eq!(
        named(seen(Primitive::Overlay, "mount overlay", Errno::ENODEV), &bare),
        (Layer::Kernel, "modprobe overlay".to_owned())
    );
    let selinux = machine(|machine| machine.selinux = true);
    assert_eq!(named(seen(Primitive::Overlay, "mount overlay", Errno::EACCES), &selinux).0, Layer::SeLinux);
    let yama = machine(|machine| machine.yama = Some(2));
    assert_eq!(named(seen(Primitive::DescriptorTransfer, "pidfd_getfd", Errno::EPERM), &yama).0, Layer::Yama);
    let memory = machine(|machine| machine.memory_files_execute = Some(2));
    assert_eq!(named(seen(Primitive::MemoryFile, "memfd_create", Errno::EACCES), &memory).0, Layer::Setting);
}

#[test]
fn what_needs_a_user_namespace_fails_for_its_reason() {
    let none = machine(|machine| machine.most_user_namespaces = Some(0));
    let root = explain(seen(Primitive::UserNamespace, "clone", Errno::ENOSPC), &none, None);
    let other = explain(seen(Primitive::NetworkNamespace, "clone", Errno::ENOSPC), &none, Some(&root));
    assert_eq!(other, root);
}
