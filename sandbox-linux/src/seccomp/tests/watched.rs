//! Filters that ask for the sake of explaining: they change no verdict.

use super::interpreter::run;
use super::{ALLOW, HERE, program};
use crate::seccomp::compiler::{self, architecture::Architecture};
use crate::seccomp::{Variant, Verdict, call_name, filter, is_observed, plain_verdict};

const ASKS: u32 = 0x7fc0_0000;

/// Numbers that are looked at by some rule, and some that are by none.
fn telling_arguments() -> Vec<[u64; 6]> {
    let values = [0, 1, 2, 3, 10, 16, 17, 40, 262, 0o100_644, 0o104_755, 0x5412, 0x1000_0011, 0xffff_ffff, 1 << 40 | 1];
    let mut all: Vec<[u64; 6]> = values.iter().map(|value| [*value; 6]).collect();
    for at in 0..6 {
        for value in values {
            let mut arguments = [0; 6];
            arguments[at] = value;
            all.push(arguments);
        }
    }
    // A local datagram socket, one of the network, and one of MPTCP.
    all.extend([[1, 2, 0, 0, 0, 0], [2, 1, 0, 0, 0, 0], [10, 1, 262, 0, 0, 0]]);
    all
}

fn plain_variants() -> impl Iterator<Item = Variant> {
    Variant::ALL.into_iter().filter(|variant| variant.watched() != *variant)
}

#[test]
fn sys_15_a_filter_that_asks_changes_no_verdict() {
    let expected = |verdict: Verdict| match verdict {
        Verdict::Allow => ALLOW,
        Verdict::Errno(errno) => 0x0005_0000 | errno as u32,
        Verdict::Broker => ASKS,
    };
    for variant in plain_variants() {
        let (plain, asking) = (program(variant), program(variant.watched()));
        for number in 0..600 {
            for arguments in telling_arguments() {
                let own = run(&plain, HERE.audit(), number, arguments);
                let worked_out = plain_verdict(variant, HERE.audit(), i64::from(number), &arguments);
                assert_eq!(own, expected(worked_out), "call {number} {arguments:?} {variant:?}");
                let asked = run(&asking, HERE.audit(), number, arguments);
                assert!(asked == own || asked == ASKS, "call {number} {arguments:?} {variant:?}");
                // What is asked about although it is allowed goes on, and no other call does.
                if asked == ASKS && own == ALLOW {
                    assert!(is_observed(i64::from(number)), "call {number} {arguments:?} {variant:?}");
                }
            }
        }
    }
}

#[test]
fn whatever_is_refused_or_names_something_is_asked_about() {
    for variant in plain_variants() {
        let (plain, asking) = (program(variant), program(variant.watched()));
        for (name, number) in HERE.calls() {
            for arguments in telling_arguments() {
                let own = run(&plain, HERE.audit(), *number, arguments);
                let asked = run(&asking, HERE.audit(), *number, arguments) == ASKS;
                let absent = own == 0x0005_0000 | libc::ENOSYS as u32;
                assert!(asked || own == ALLOW || absent, "{name} {arguments:?} {variant:?}");
            }
            let with_address = [4, 1, 1, 0, 1, 1];
            let named = compiler::observed::is_observed(name)
                && !["fchmod", "setsockopt", "socket", "socketpair"].contains(name);
            let absent = run(&plain, HERE.audit(), *number, with_address) == 0x0005_0000 | libc::ENOSYS as u32;
            assert!(
                !named || absent || run(&asking, HERE.audit(), *number, with_address) == ASKS,
                "{name} {variant:?}"
            );
        }
    }
}

#[test]
fn calls_of_other_architectures_and_of_x32_are_as_absent() {
    const ABSENT: Verdict = Verdict::Errno(libc::ENOSYS);
    let other = Architecture::ALL.into_iter().find(|one| *one != HERE).unwrap();
    for variant in plain_variants() {
        assert_eq!(plain_verdict(variant, other.audit(), libc::SYS_read, &[0; 6]), ABSENT);
        assert_eq!(plain_verdict(variant, HERE.audit(), 0x4000_0000 | libc::SYS_read, &[0; 6]), ABSENT);
        assert_eq!(plain_verdict(variant, HERE.audit(), -1, &[0; 6]), ABSENT);
    }
}

#[test]
fn whatever_is_asked_about_has_a_name() {
    for (name, number) in HERE.calls() {
        assert_eq!(call_name(i64::from(*number)), Some(*name));
    }
    assert_eq!((call_name(-1), call_name(1 << 32), call_name(4711)), (None, None, None));
}

#[test]
fn one_filter_watches_every_run_of_its_kind() {
    let watching: Vec<_> = Variant::ALL.into_iter().filter(|variant| variant.watched() == *variant).collect();
    assert_eq!(watching.len(), 4);
    assert!(watching.iter().all(|variant| !filter(*variant).is_empty()));
}

#[test]
fn the_launcher_can_hand_over_the_listener_before_anybody_answers() {
    for variant in plain_variants() {
        let control = crate::format::CONTROL_FD as u64;
        let asking = program(variant.watched());
        assert_eq!(run(&asking, HERE.audit(), libc::SYS_sendmsg as u32, [control, 1, 0, 0, 0, 0]), ALLOW);
    }
}
