//! The rules, each looked at by running the filter instruction by instruction, as the kernel does.

mod every_number;
mod interpreter;
mod program_filters;
mod watched;

use super::compiler::architecture::Architecture;
use super::compiler::bpf::BpfInstruction;
use super::compiler::{self};
use super::*;
use interpreter::run;

const HERE: Architecture = Architecture::X86_64;
const FULL: Variant = Variant::Full { asked: Asked::Nothing, sockets: false, own_programs: true };
const ALONE: Variant = Variant::Landlock { network: Network::Closed, own_programs: true };

fn program(variant: Variant) -> Vec<BpfInstruction> {
    compiler::compile(HERE, variant)
}

/// What the filter of `program` answers to the call of that name.
fn answer(program: &[BpfInstruction], call: &str, arguments: [u64; 6]) -> u32 {
    run(program, HERE.audit(), HERE.number(call).unwrap(), arguments)
}

fn verdict(call: &str, arguments: [u64; 6]) -> u32 {
    answer(&program(FULL), call, arguments)
}

const ALLOW: u32 = 0x7fff_0000;
const REFUSE: u32 = 0x0005_0000 | libc::EPERM as u32;
const ABSENT: u32 = 0x0005_0000 | libc::ENOSYS as u32;

#[test]
fn sys_05_a_namespace_cannot_be_made() {
    for flag in [0x0002_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000, 0x80] {
        assert_eq!(verdict("clone", [flag | 17, 0, 0, 0, 0, 0]), REFUSE, "{flag:#x}");
    }
    assert_eq!(verdict("clone", [0x003d_0f00, 0, 0, 0, 0, 0]), ALLOW, "a thread");
    assert_eq!(verdict("clone3", [0; 6]), ABSENT);
    assert_eq!(verdict("unshare", [0; 6]), REFUSE);
}

#[test]
fn sys_04_typing_on_a_terminal_is_refused_whatever_the_high_bits() {
    assert_eq!(verdict("ioctl", [0, 0x5412, 0, 0, 0, 0]), REFUSE);
    assert_eq!(verdict("ioctl", [0, 0x5412 + (1 << 32), 0, 0, 0, 0]), REFUSE);
    assert_eq!(verdict("ioctl", [0, 0x5413, 0, 0, 0, 0]), ALLOW, "TIOCGWINSZ");
}

#[test]
fn net_04_06_07_and_ipc_08_families_and_protocols() {
    let socket =
        |family: i32, kind: i32, protocol: u64| verdict("socket", [family as u64, kind as u64, protocol, 0, 0, 0]);
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
    assert_eq!(verdict("fchmodat", [0, 0, 0o4755, 0, 0, 0]), REFUSE);
    assert_eq!(verdict("fchmodat", [0, 0, 0o0755, 0, 0, 0]), ALLOW);
    let create = libc::O_CREAT as u64 | 1;
    assert_eq!(verdict("openat", [0, 0, create, 0o2755, 0, 0]), REFUSE);
    assert_eq!(verdict("openat", [0, 0, 0, 0o6755, 0, 0]), ALLOW, "the mode is not used");
}

#[test]
fn what_makes_names_is_brokered_and_what_reads_is_not() {
    const BROKER: u32 = 0x7fc0_0000;
    let program = program(Variant::Full { asked: Asked::Names, sockets: false, own_programs: true });
    let at = |call: &str, arguments| answer(&program, call, arguments);
    assert_eq!(at("openat", [0, 0, 0, 0, 0, 0]), ALLOW);
    assert_eq!(at("openat", [0, 0, libc::O_WRONLY as u64, 0, 0, 0]), BROKER);
    assert_eq!(at("openat", [0, 0, libc::O_DIRECTORY as u64, 0, 0, 0]), ALLOW);
    assert_eq!(at("openat", [0, 0, libc::O_TMPFILE as u64, 0, 0, 0]), BROKER);
    assert_eq!(at("mkdirat", [0, 0, 0o755, 0, 0, 0]), BROKER);
    assert_eq!(at("mkdirat", [0, 0, 0o4755, 0, 0, 0]), REFUSE);
    assert_eq!(at("renameat2", [0; 6]), BROKER);
    assert_eq!(at("unlinkat", [0; 6]), BROKER);
    assert_eq!(at("fchmod", [0, 0o755, 0, 0, 0, 0]), BROKER);
    assert_eq!(at("fchmod", [0, 0o4755, 0, 0, 0, 0]), REFUSE);
}

#[test]
fn without_namespaces_a_run_reaches_neither_other_processes_nor_sockets_nor_metadata() {
    let program = program(ALONE);
    let verdict = |call: &str, arguments| answer(&program, call, arguments);
    let broker = 0x7fc0_0000;
    for (call, arguments, expected) in [
        ("prlimit64", [0, 7, 0, 0, 0, 0], ALLOW),
        ("prlimit64", [4711, 7, 0, 0, 0, 0], REFUSE),
        ("setpriority", [0, 0, 5, 0, 0, 0], ALLOW),
        ("setpriority", [2, 0, 5, 0, 0, 0], REFUSE),
        ("setpriority", [0, 4711, 5, 0, 0, 0], REFUSE),
        ("sched_setaffinity", [4711, 0, 0, 0, 0, 0], REFUSE),
        ("sched_setscheduler", [4711, 0, 0, 0, 0, 0], REFUSE),
        ("sched_setscheduler", [0, 1, 0, 0, 0, 0], REFUSE),
        ("socket", [libc::AF_UNIX as u64, 2, 0, 0, 0, 0], 0x0005_0000 | libc::EPROTONOSUPPORT as u32),
        ("socketpair", [libc::AF_UNIX as u64, 2, 0, 0, 0, 0], 0x0005_0000 | libc::EPROTONOSUPPORT as u32),
        ("connect", [3, 0, 0, 0, 0, 0], broker),
        ("bind", [3, 0, 0, 0, 0, 0], broker),
        ("socket", [libc::AF_INET as u64, 1, 0, 0, 0, 0], REFUSE),
        ("socketpair", [libc::AF_UNIX as u64, 1, 0, 0, 0, 0], ALLOW),
        ("ptrace", [16, 4711, 0, 0, 0, 0], REFUSE),
        ("process_vm_readv", [4711, 0, 0, 0, 0, 0], REFUSE),
        ("shmat", [1, 0, 0, 0, 0, 0], REFUSE),
        ("fchown", [3, 0, 0, 0, 0, 0], broker),
        ("newfstatat", [0; 6], broker),
        ("statx", [0; 6], broker),
        ("setxattr", [0; 6], broker),
        ("ioctl", [3, 0x4008_6602, 0, 0, 0, 0], REFUSE),
        ("ioctl", [3, 0x5412, 0, 0, 0, 0], REFUSE),
        ("utimensat", [3, 0, 0, 0, 0, 0], broker),
        ("openat", [3, 0, 0, 0, 0, 0], broker),
        ("fchmod", [3, 0, 0, 0, 0, 0], broker),
    ] {
        assert_eq!(verdict(call, arguments), expected, "{call} with {arguments:?}");
    }
}

#[test]
fn net_02_04_05_06_to_its_proxy_a_run_has_sockets_of_tcp_alone() {
    let program = program(Variant::Landlock { network: Network::Asked, own_programs: true });
    let broker = 0x7fc0_0000;
    let refused = |errno: i32| 0x0005_0000 | errno as u32;
    for family in [libc::AF_INET as u64, libc::AF_INET6 as u64] {
        let socket = |kind: i32, protocol: u64| answer(&program, "socket", [family, kind as u64, protocol, 0, 0, 0]);
        assert_eq!(socket(libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, 0), ALLOW);
        assert_eq!(socket(libc::SOCK_STREAM, 6), ALLOW);
        assert_eq!(socket(libc::SOCK_DGRAM, 0), REFUSE);
        assert_eq!(socket(libc::SOCK_DGRAM, 1), REFUSE, "ping");
        assert_eq!(socket(libc::SOCK_SEQPACKET, 132), REFUSE);
        for protocol in [132, 256, 262] {
            assert_eq!(socket(libc::SOCK_STREAM, protocol), refused(libc::EPROTONOSUPPORT), "{protocol}");
        }
    }
    assert_eq!(answer(&program, "socket", [libc::AF_NETLINK as u64, 3, 0, 0, 0, 0]), REFUSE);
    for call in ["connect", "bind", "listen"] {
        assert_eq!(answer(&program, call, [3, 0, 0, 0, 0, 0]), broker, "{call}");
    }
    const FAST_OPEN: u64 = 0x2000_0000;
    for (call, at) in [("sendto", 3), ("sendmsg", 2), ("sendmmsg", 3)] {
        let mut arguments = [3, 0, 0, 0, 0, 0];
        assert_eq!(answer(&program, call, arguments), ALLOW, "{call}");
        arguments[at] = FAST_OPEN;
        assert_eq!(answer(&program, call, arguments), refused(libc::EOPNOTSUPP), "{call}");
    }
}
