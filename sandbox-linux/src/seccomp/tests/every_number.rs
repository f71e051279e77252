//! Every system call of each architecture through every filter, with the verdicts as a person reviews them.

use super::interpreter::{known_beforehand, run, steps};
use super::{ALONE, FULL};
use crate::seccomp::compiler::architecture::Architecture;
use crate::seccomp::compiler::bpf::BpfInstruction;
use crate::seccomp::compiler::{self, profiles};
use crate::seccomp::{Asked, Profile, Variant};
use std::fmt::Write;

const ALLOW: u32 = 0x7fff_0000;
const ABSENT: u32 = 0x0005_0000 | libc::ENOSYS as u32;
const FOREIGN: Variant = Variant::Full { asked: Asked::Nothing, sockets: false, own_programs: false };
const EVERYTHING: Variant = Variant::Full { asked: Asked::NamesAndOpens, sockets: true, own_programs: true };

fn word(verdict: u32) -> String {
    match (verdict & 0xffff_0000, (verdict & 0xffff) as i32) {
        (0x7fff_0000, _) => "allow".to_owned(),
        (0x7fc0_0000, _) => "ask".to_owned(),
        (0x0005_0000, libc::EPERM) => "EPERM".to_owned(),
        (0x0005_0000, libc::ENOSYS) => "ENOSYS".to_owned(),
        (0x0005_0000, libc::EACCES) => "EACCES".to_owned(),
        (0x0005_0000, libc::EOPNOTSUPP) => "EOPNOTSUPP".to_owned(),
        (0x0005_0000, libc::EAFNOSUPPORT) => "EAFNOSUPPORT".to_owned(),
        (0x0005_0000, libc::EPROTONOSUPPORT) => "EPROTONOSUPPORT".to_owned(),
        _ => panic!("verdict {verdict:#x}"),
    }
}

/// A verdict, or, where arguments decide, those with all of them 0 and with all of them -1.
fn shown(program: &[BpfInstruction], architecture: u32, number: u32) -> String {
    match known_beforehand(program, architecture, number) {
        Some(verdict) => word(verdict),
        None => {
            let by = |arguments| word(run(program, architecture, number, arguments));
            format!("by arguments ({} … {})", by([0; 6]), by([u64::MAX; 6]))
        }
    }
}

fn table_of(architecture: Architecture) -> String {
    let columns = [
        ("full", FULL),
        ("no own programs", FOREIGN),
        ("full, all asked", EVERYTHING),
        ("landlock", ALONE),
        ("full, watched", FULL.watched()),
        ("landlock, watched", ALONE.watched()),
    ];
    let mut programs = columns.map(|(_, variant)| compiler::compile(architecture, variant)).to_vec();
    programs.extend(Profile::ALL.map(|profile| profiles::compile(architecture, profile)));
    let line = |text: &mut String, cells: Vec<String>| {
        let padded =
            cells.iter().zip([5, 24, 28, 28, 28, 28, 28, 28, 28, 28]).map(|(cell, width)| format!("{cell:<width$}"));
        writeln!(text, "{}", padded.collect::<Vec<_>>().join(" ").trim_end()).unwrap();
    };
    let mut text = String::new();
    let heads = columns.iter().map(|(name, _)| *name).chain(["no-exec", "compute"]).map(str::to_owned);
    line(&mut text, ["".to_owned(), "call".to_owned()].into_iter().chain(heads).collect());
    for (name, number) in architecture.calls() {
        let verdicts = programs.iter().map(|program| shown(program, architecture.audit(), *number));
        line(&mut text, [number.to_string(), (*name).to_owned()].into_iter().chain(verdicts).collect());
    }
    text
}

#[test]
fn the_verdict_of_every_call_of_x86_64() {
    insta::assert_snapshot!(table_of(Architecture::X86_64));
}

#[test]
fn the_verdict_of_every_call_of_aarch64() {
    insta::assert_snapshot!(table_of(Architecture::Aarch64));
}

#[test]
fn the_tables_are_whole() {
    assert_eq!(compiler::faults(), Vec::<String>::new());
    for architecture in Architecture::ALL {
        assert!(architecture.calls().is_sorted_by(|(_, one), (_, other)| one < other));
    }
}

#[test]
fn the_kernel_takes_every_filter_and_numbers_without_a_name_are_absent() {
    for (architecture, variant) in Architecture::ALL.iter().flat_map(|one| Variant::ALL.map(|variant| (*one, variant)))
    {
        let program = compiler::compile(architecture, variant);
        assert!(program.len() < 4096, "BPF_MAXINSNS");
        let named = |number| architecture.calls().iter().any(|(_, own)| *own == number);
        for number in (0..2048).filter(|number| !named(*number)) {
            let answers = (ABSENT, Some(ABSENT));
            let audit = architecture.audit();
            let got = (run(&program, audit, number, [u64::MAX; 6]), known_beforehand(&program, audit, number));
            assert_eq!(got, answers, "{architecture:?} {variant:?} {number}");
        }
    }
}

#[test]
fn sys_02_and_03_calls_of_other_architectures_are_absent() {
    const I386: u32 = 0x4000_0003;
    const ARM: u32 = 0x4000_0028;
    const X32_BIT: u32 = 0x4000_0000;
    for (architecture, variant) in Architecture::ALL.iter().flat_map(|one| Variant::ALL.map(|variant| (*one, variant)))
    {
        let program = compiler::compile(architecture, variant);
        let other = Architecture::ALL.into_iter().find(|one| *one != architecture).unwrap();
        for number in 0..600 {
            for foreign in [I386, ARM, other.audit()] {
                assert_eq!(run(&program, foreign, number, [0; 6]), ABSENT, "call {number} of {foreign:#x}");
            }
            assert_eq!(run(&program, architecture.audit(), X32_BIT | number, [0; 6]), ABSENT, "x32 call {number}");
        }
    }
}

#[test]
fn what_is_allowed_whatever_its_arguments_costs_nothing_and_the_rest_a_few_instructions() {
    for (architecture, variant) in Architecture::ALL.iter().flat_map(|one| Variant::ALL.map(|variant| (*one, variant)))
    {
        let (program, audit) = (compiler::compile(architecture, variant), architecture.audit());
        for (name, number) in architecture.calls() {
            let decided = known_beforehand(&program, audit, *number);
            let without_arguments = decided.is_none() && steps(&program, audit, *number) > 64;
            assert!(!without_arguments, "{architecture:?} {variant:?} {name} takes a long way");
        }
        // Calls that programs make millions of times: an answer of the bitmap, on every tier.
        for name in
            ["read", "write", "pread64", "pwrite64", "lseek", "futex", "epoll_pwait", "recvfrom", "clock_gettime"]
        {
            let number = architecture.number(name).unwrap();
            assert_eq!(known_beforehand(&program, audit, number), Some(ALLOW), "{architecture:?} {variant:?} {name}");
        }
    }
}

#[test]
fn the_filters_that_were_built_in_are_these() {
    let here = Architecture::ALL.into_iter().find(|one| one.name() == std::env::consts::ARCH).unwrap();
    for variant in Variant::ALL {
        let bytes: Vec<u8> = compiler::compile(here, variant).iter().flat_map(|one| one.to_bytes()).collect();
        assert_eq!(crate::seccomp::filter(variant), bytes, "{variant:?}");
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn the_numbers_are_those_of_the_c_library() {
    for (name, number) in [
        ("read", libc::SYS_read),
        ("clone", libc::SYS_clone),
        ("seccomp", libc::SYS_seccomp),
        ("openat2", libc::SYS_openat2),
        ("fchmodat2", crate::seccomp::SYS_FCHMODAT2),
        ("ptrace", libc::SYS_ptrace),
        ("io_uring_setup", libc::SYS_io_uring_setup),
        ("landlock_restrict_self", libc::SYS_landlock_restrict_self),
    ] {
        assert_eq!(Architecture::X86_64.number(name).map(libc::c_long::from), Some(number), "{name}");
    }
}
