//! The filter, interpreted instruction by instruction as the kernel does, over every number.

use super::*;

fn options(tier: Tier, names: bool, opens: bool) -> FilterOptions {
    FilterOptions { tier, broker_names: names, broker_opens: opens, broker_sockets: opens, host_network: false }
}

fn run(program: &[BpfInstruction], architecture: u32, number: u32, arguments: [u64; 6]) -> u32 {
    let load = |at: u32| match at {
        0 => number,
        4 => architecture,
        at => {
            let value = arguments[(at as usize - 16) / 8];
            if at % 8 == 0 { value as u32 } else { (value >> 32) as u32 }
        }
    };
    let (mut at, mut accumulator) = (0, 0);
    loop {
        let BpfInstruction { code, jt, jf, k } = program[at];
        at += 1;
        let held = match code {
            0x20 => {
                accumulator = load(k);
                continue;
            }
            0x54 => {
                accumulator &= k;
                continue;
            }
            0x05 => {
                at += k as usize;
                continue;
            }
            0x06 => return k,
            0x15 => accumulator == k,
            0x35 => accumulator >= k,
            0x45 => accumulator & k != 0,
            other => panic!("instruction {other:#x}"),
        };
        at += usize::from(if held { jt } else { jf });
    }
}

fn verdict(number: libc::c_long, arguments: [u64; 6]) -> u32 {
    run(&compile(&options(Tier::Full, false, false)), ARCHITECTURE, number as u32, arguments)
}

const ALLOW: u32 = 0x7fff_0000;
const REFUSE: u32 = 0x0005_0000 | libc::EPERM as u32;
const ABSENT: u32 = 0x0005_0000 | libc::ENOSYS as u32;

#[test]
fn every_group_has_its_reason_and_no_call_stands_twice() {
    let groups = [table::ALLOWED, table::ALLOWED_HERE, table::REFUSED, table::ABSENT].concat();
    let mut seen = std::collections::BTreeSet::new();
    for group in groups {
        assert!(group.reason.len() > 10);
        for call in group.calls {
            assert!(seen.insert(*call), "call {call} stands twice");
        }
    }
}

#[test]
fn every_option_gives_a_program_that_the_kernel_takes() {
    for tier in [Tier::Full, Tier::Landlock] {
        for bits in 0..4 {
            let program = compile(&options(tier, bits & 1 != 0, bits & 2 != 0));
            assert!(program.len() < 4096, "BPF_MAXINSNS");
            for number in 0..1024 {
                run(&program, ARCHITECTURE, number, [u64::MAX; 6]);
            }
        }
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn the_verdict_of_every_number() {
    let mut text = String::new();
    let mut last = String::new();
    for number in 0..600 {
        let verdict = match (verdict(number, [0; 6]), verdict(number, [u64::MAX; 6])) {
            (one, other) if one == other => format!("{one:#010x}"),
            (one, other) => format!("{one:#010x} or {other:#010x} by its arguments"),
        };
        if verdict != last {
            text += &format!("{number:>3} and on: {verdict}\n");
            last = verdict;
        }
    }
    insta::assert_snapshot!(text);
}

#[test]
fn sys_02_and_03_calls_of_other_architectures_are_absent() {
    const I386: u32 = 0x4000_0003;
    let program = compile(&options(Tier::Full, false, false));
    for number in 0..600 {
        assert_eq!(run(&program, I386, number, [0; 6]), ABSENT, "32-bit call {number}");
        assert_eq!(run(&program, ARCHITECTURE, 0x4000_0000 | number, [0; 6]), ABSENT, "x32 call {number}");
    }
}

#[test]
fn sys_05_a_namespace_cannot_be_made() {
    for flag in [0x0002_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000, 0x80] {
        assert_eq!(verdict(libc::SYS_clone, [flag | 17, 0, 0, 0, 0, 0]), REFUSE, "{flag:#x}");
    }
    assert_eq!(verdict(libc::SYS_clone, [0x003d_0f00, 0, 0, 0, 0, 0]), ALLOW, "a thread");
    assert_eq!(verdict(libc::SYS_clone3, [0; 6]), ABSENT);
    assert_eq!(verdict(libc::SYS_unshare, [0; 6]), REFUSE);
}

#[test]
fn sys_04_typing_on_a_terminal_is_refused_whatever_the_high_bits() {
    assert_eq!(verdict(libc::SYS_ioctl, [0, 0x5412, 0, 0, 0, 0]), REFUSE);
    assert_eq!(verdict(libc::SYS_ioctl, [0, 0x5412 + (1 << 32), 0, 0, 0, 0]), REFUSE);
    assert_eq!(verdict(libc::SYS_ioctl, [0, 0x5413, 0, 0, 0, 0]), ALLOW, "TIOCGWINSZ");
}

#[test]
fn net_04_06_07_and_ipc_08_families_and_protocols() {
    let socket = |family: i32, kind: i32, protocol: u64| {
        verdict(libc::SYS_socket, [family as u64, kind as u64, protocol, 0, 0, 0])
    };
    assert_eq!(socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0), ALLOW);
    assert_eq!(socket(libc::AF_UNIX, libc::SOCK_DGRAM, 0), ALLOW);
    assert_eq!(socket(libc::AF_NETLINK, libc::SOCK_RAW, 0), ALLOW, "getifaddrs");
    for (family, kind, protocol) in [
        (libc::AF_INET, libc::SOCK_STREAM, 262),
        (libc::AF_INET, libc::SOCK_RAW, 1),
        (libc::AF_INET6, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 58),
        (libc::AF_PACKET, libc::SOCK_RAW, 0),
        (libc::AF_VSOCK, libc::SOCK_STREAM, 0),
        (libc::AF_ALG, libc::SOCK_SEQPACKET, 0),
        (libc::AF_TIPC, libc::SOCK_STREAM, 0),
        (libc::AF_NETLINK, libc::SOCK_RAW, 12),
    ] {
        assert_ne!(socket(family, kind, protocol), ALLOW, "{family} {kind} {protocol}");
    }
}

#[test]
fn sys_12_set_id_modes_are_refused() {
    assert_eq!(verdict(libc::SYS_fchmodat, [0, 0, 0o4755, 0, 0, 0]), REFUSE);
    assert_eq!(verdict(libc::SYS_fchmodat, [0, 0, 0o0755, 0, 0, 0]), ALLOW);
    let create = libc::O_CREAT as u64 | 1;
    assert_eq!(verdict(libc::SYS_openat, [0, 0, create, 0o2755, 0, 0]), REFUSE);
    assert_eq!(verdict(libc::SYS_openat, [0, 0, 0, 0o6755, 0, 0]), ALLOW, "the mode is not used");
}

#[test]
fn what_makes_names_is_brokered_and_what_reads_is_not() {
    const BROKER: u32 = 0x7fc0_0000;
    let program = compile(&options(Tier::Full, true, false));
    let at = |number: libc::c_long, arguments| run(&program, ARCHITECTURE, number as u32, arguments);
    assert_eq!(at(libc::SYS_openat, [0, 0, 0, 0, 0, 0]), ALLOW);
    assert_eq!(at(libc::SYS_openat, [0, 0, libc::O_WRONLY as u64, 0, 0, 0]), BROKER);
    assert_eq!(at(libc::SYS_openat, [0, 0, libc::O_DIRECTORY as u64, 0, 0, 0]), ALLOW);
    assert_eq!(at(libc::SYS_openat, [0, 0, libc::O_TMPFILE as u64, 0, 0, 0]), BROKER);
    assert_eq!(at(libc::SYS_mkdirat, [0, 0, 0o755, 0, 0, 0]), BROKER);
    assert_eq!(at(libc::SYS_mkdirat, [0, 0, 0o4755, 0, 0, 0]), REFUSE);
    assert_eq!(at(libc::SYS_renameat2, [0; 6]), BROKER);
    assert_eq!(at(libc::SYS_unlinkat, [0; 6]), BROKER);
    assert_eq!(at(libc::SYS_fchmod, [0, 0o755, 0, 0, 0, 0]), BROKER);
    assert_eq!(at(libc::SYS_fchmod, [0, 0o4755, 0, 0, 0, 0]), REFUSE);
}

#[test]
fn without_namespaces_a_run_reaches_neither_other_processes_nor_sockets_nor_metadata() {
    let program = compile(&options(Tier::Landlock, true, true));
    let verdict = |number: libc::c_long, arguments| run(&program, ARCHITECTURE, number as u32, arguments);
    let broker = 0x7fc0_0000;
    for (number, arguments, expected) in [
        (libc::SYS_prlimit64, [0, 7, 0, 0, 0, 0], ALLOW),
        (libc::SYS_prlimit64, [4711, 7, 0, 0, 0, 0], REFUSE),
        (libc::SYS_setpriority, [0, 0, 5, 0, 0, 0], ALLOW),
        (libc::SYS_setpriority, [2, 0, 5, 0, 0, 0], REFUSE),
        (libc::SYS_setpriority, [0, 4711, 5, 0, 0, 0], REFUSE),
        (libc::SYS_sched_setaffinity, [4711, 0, 0, 0, 0, 0], REFUSE),
        (libc::SYS_sched_setscheduler, [4711, 0, 0, 0, 0, 0], REFUSE),
        (libc::SYS_sched_setscheduler, [0, 1, 0, 0, 0, 0], REFUSE),
        (libc::SYS_socket, [libc::AF_UNIX as u64, 2, 0, 0, 0, 0], 0x0005_0000 | libc::EPROTONOSUPPORT as u32),
        (libc::SYS_socketpair, [libc::AF_UNIX as u64, 2, 0, 0, 0, 0], 0x0005_0000 | libc::EPROTONOSUPPORT as u32),
        (libc::SYS_connect, [3, 0, 0, 0, 0, 0], broker),
        (libc::SYS_bind, [3, 0, 0, 0, 0, 0], broker),
        (libc::SYS_socket, [libc::AF_INET as u64, 1, 0, 0, 0, 0], REFUSE),
        (libc::SYS_socketpair, [libc::AF_UNIX as u64, 1, 0, 0, 0, 0], ALLOW),
        (libc::SYS_ptrace, [16, 4711, 0, 0, 0, 0], REFUSE),
        (libc::SYS_process_vm_readv, [4711, 0, 0, 0, 0, 0], REFUSE),
        (libc::SYS_shmat, [1, 0, 0, 0, 0, 0], REFUSE),
        (libc::SYS_fchown, [3, 0, 0, 0, 0, 0], REFUSE),
        (libc::SYS_ioctl, [3, 0x4008_6602, 0, 0, 0, 0], REFUSE),
        (libc::SYS_ioctl, [3, 0x5412, 0, 0, 0, 0], REFUSE),
        (libc::SYS_utimensat, [3, 0, 0, 0, 0, 0], broker),
        (libc::SYS_openat, [3, 0, 0, 0, 0, 0], broker),
        (libc::SYS_fchmod, [3, 0, 0, 0, 0, 0], broker),
    ] {
        assert_eq!(verdict(number, arguments), expected, "call {number} with {arguments:?}");
    }
}

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
    all
}

fn every_option() -> impl Iterator<Item = FilterOptions> {
    let tiers = [Tier::Full, Tier::Landlock];
    tiers.into_iter().flat_map(|tier| (0..4).map(move |bits| options(tier, bits & 1 != 0, bits & 2 != 0)))
}

#[test]
fn sys_15_a_filter_that_asks_changes_no_verdict() {
    const ASKS: u32 = 0x7fc0_0000;
    let expected = |verdict: Verdict| match verdict {
        Verdict::Allow => ALLOW,
        Verdict::Errno(errno) => 0x0005_0000 | errno.number() as u32,
        Verdict::Broker => ASKS,
    };
    for options in every_option() {
        let (plain, (asking, verdicts)) = (compile(&options), compile_asking(&options));
        assert!(asking.len() < 4096, "BPF_MAXINSNS");
        for number in 0..600 {
            for arguments in telling_arguments() {
                let own = run(&plain, ARCHITECTURE, number, arguments);
                let worked_out = verdicts.of(i64::from(number), &arguments);
                assert_eq!(own, expected(worked_out), "call {number} {arguments:?} {options:?}");
                let asked = run(&asking, ARCHITECTURE, number, arguments);
                assert!(asked == own || asked == ASKS, "call {number} {arguments:?} {options:?}");
                // What is asked about although it is allowed goes on, and no other call does.
                if asked == ASKS && own == ALLOW {
                    assert!(is_observed(i64::from(number)), "call {number}");
                }
            }
        }
    }
}

#[test]
fn whatever_is_asked_about_has_a_name() {
    for options in every_option() {
        let (asking, _) = compile_asking(&options);
        for number in 0..600 {
            for arguments in telling_arguments() {
                let asked = run(&asking, ARCHITECTURE, number, arguments) == 0x7fc0_0000;
                assert!(!asked || call_name(i64::from(number)).is_some(), "call {number}");
            }
        }
    }
}

#[test]
fn the_launcher_can_hand_over_the_listener_before_anybody_answers() {
    let (asking, _) = compile_asking(&options(Tier::Full, true, true));
    let control = crate::format::CONTROL_FD as u64;
    assert_eq!(run(&asking, ARCHITECTURE, libc::SYS_sendmsg as u32, [control, 1, 0, 0, 0, 0]), ALLOW);
}
