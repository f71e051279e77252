//! Calls whose arguments decide. A filter sees numbers, not memory, so only numbers are looked at.

use super::super::variant::{Network, Variant};
use super::bpf::{Block, EAFNOSUPPORT, ENOSYS, EOPNOTSUPP, EPERM, EPROTONOSUPPORT, Test, Verdict};
use super::without_namespaces;

/// A call by name, and what its arguments lead to.
pub(super) type Rule = (&'static str, Block);

/// Set-user-id and set-group-id: a file that carries them runs as its owner, who outside may be root.
const SET_ID: u32 = 0o6000;

/// Every flag of clone(2) that makes a namespace.
const NEW_NAMESPACE: u32 = 0x7e02_0080;

/// TIOCSTI types on a terminal, TIOCLINUX pastes on a console, TIOCSETD changes the line discipline, TIOCCONS takes over
/// console output.
const REFUSED_IOCTLS: [u32; 4] = [0x5412, 0x541c, 0x5423, 0x541d];

const AF_UNIX: u32 = 1;
const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;
const AF_NETLINK: u32 = 16;
const SOCK_STREAM: u32 = 1;
const SOCK_DGRAM: u32 = 2;
const SOCK_RAW: u32 = 3;
const IPPROTO_TCP: u32 = 6;
const IPPROTO_MPTCP: u32 = 262;
/// The obsolete way to raw packets, packet(7).
const SOCK_PACKET: u32 = 10;
/// memfd_create(2), since Linux 6.3: the file is not executable and cannot be made so.
const MFD_NOEXEC_SEAL: u32 = 8;
const SOL_SOCKET: u32 = 1;
const SO_BINDTODEVICE: u32 = 25;
const SO_BINDTOIFINDEX: u32 = 62;
const TCP_FASTOPEN_CONNECT: u32 = 30;
const TCP_FASTOPEN_NO_COOKIE: u32 = 34;
const MSG_FASTOPEN: u32 = 0x2000_0000;
const PR_SET_MM: u32 = 35;
const O_WRONLY: u32 = 1;
const O_RDWR: u32 = 2;
const O_CREAT: u32 = 0o100;
const O_TRUNC: u32 = 0o1000;
/// O_TMPFILE contains O_DIRECTORY, which alone only reads; its own bit tells it apart.
const TEMPORARY_FILE: u32 = 0o20_000_000;
const ADDR_NO_RANDOMIZE: u32 = 0x0004_0000;
const SCHED_OTHER: u32 = 0;
const SCHED_BATCH: u32 = 3;
const SCHED_IDLE: u32 = 5;
const SECCOMP_SET_MODE_FILTER: u32 = 1;
const SECCOMP_FILTER_FLAG_NEW_LISTENER: u32 = 8;

/// Flags of an open that may change something.
pub(super) const CHANGING_OPEN: u32 = O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | TEMPORARY_FILE;

/// The rules under `variant`: a call, and what its arguments lead to.
pub(super) fn rules(variant: Variant) -> Vec<Rule> {
    let mut rules = vec![
        ("clone", Block::new(vec![Test::any_bits(0, NEW_NAMESPACE, EPERM)], Verdict::Allow)),
        (
            "ioctl",
            Block::new(REFUSED_IOCTLS.iter().map(|request| Test::equals(1, *request, EPERM)).collect(), Verdict::Allow),
        ),
        ("socket", socket(variant)),
        ("personality", personality()),
        ("arch_prctl", processor()),
        ("prctl", Block::new(vec![Test::equals(0, PR_SET_MM, EPERM)], Verdict::Allow)),
        ("seccomp", own_filter()),
        ("sched_setscheduler", scheduler()),
        ("fchmod", set_id(1)),
        ("fchmodat", set_id(2)),
        ("fchmodat2", set_id(2)),
        ("mkdirat", set_id(2)),
        ("mknodat", set_id(2)),
        ("openat", open(variant, 2, 3)),
        ("chmod", set_id(1)),
        ("mkdir", set_id(1)),
        ("mknod", set_id(1)),
        ("creat", set_id(1)),
        ("open", open(variant, 1, 2)),
        ("openat2", Block::plainly(Verdict::Errno(ENOSYS))),
    ];
    if variant.has_namespaces() {
        rules.push(("sendto", Block::plainly(Verdict::Allow)));
    } else {
        // It connects, and neither Landlock nor anybody else is asked where to (tcp(7)).
        let fast_open = |flags: u8| Block::new(vec![Test::any_bits(flags, MSG_FASTOPEN, EOPNOTSUPP)], Verdict::Allow);
        rules.extend([("sendto", fast_open(3)), ("sendmsg", fast_open(2)), ("sendmmsg", fast_open(3))]);
        // Without having been bound a socket gets a port of the system's choice, which Landlock does not look at (listen(2)).
        rules.push(("listen", Block::plainly(Verdict::Broker)));
    }
    if variant.network() != Network::Host {
        rules.push(("setsockopt", no_way_around()));
    }
    if variant.asks_about_sockets() {
        rules.extend(["bind", "connect"].map(|call| (call, Block::plainly(Verdict::Broker))));
        rules.push(("socketpair", Block::new(no_local_datagrams(), Verdict::Allow)));
    }
    if !variant.runs_its_own() {
        // A file in memory lies in no place that a rule could be about, so there are none that could be executed.
        let sealed = Test::any_bits_to(1, MFD_NOEXEC_SEAL, Verdict::Allow);
        rules.push(("memfd_create", Block::new(vec![sealed], Verdict::Errno(ENOSYS))));
    }
    if !variant.has_namespaces() {
        without_namespaces::adapt(&mut rules);
    }
    if variant.asks_about_names() {
        for (call, block) in &mut rules {
            if BROKERED.contains(call) {
                block.otherwise = Verdict::Broker;
            }
        }
        let missing =
            BROKERED.iter().filter(|call| !rules.iter().any(|(own, _)| own == *call)).copied().collect::<Vec<_>>();
        rules.extend(missing.into_iter().map(|call| (call, Block::plainly(Verdict::Broker))));
    }
    rules
}

/// Calls that make, move or change names.
const BROKERED: &[&str] = &[
    "mkdir",
    "mkdirat",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "symlink",
    "symlinkat",
    "mknod",
    "mknodat",
    "rmdir",
    "unlink",
    "unlinkat",
    "truncate",
    "creat",
    "chmod",
    "fchmod",
    "fchmodat",
    "fchmodat2",
];

/// A mode without set-id bits.
fn set_id(argument: u8) -> Block {
    Block::new(vec![Test::any_bits(argument, SET_ID, EPERM)], Verdict::Allow)
}

/// An open: a mode with set-id bits is refused; what may write is brokered where names are.
fn open(variant: Variant, flags: u8, mode: u8) -> Block {
    let mut tests = vec![];
    // The mode is looked at only where the call uses it: other callers leave anything in its place.
    tests.push(Test::both_bits(flags, O_CREAT | TEMPORARY_FILE, mode, SET_ID, EPERM));
    if variant.asks_about_opens() {
        return Block::new(tests, Verdict::Broker);
    }
    if variant.asks_about_names() {
        tests.push(Test::any_bits_to(flags, CHANGING_OPEN, Verdict::Broker));
    }
    Block::new(tests, Verdict::Allow)
}

/// Families that ordinary programs use; of netlink only what lists interfaces; MPTCP looks absent, so that programs fall back.
fn socket(variant: Variant) -> Block {
    let mut tests = vec![
        Test::equals(2, IPPROTO_MPTCP, EPROTONOSUPPORT),
        Test::masked_equals(1, 0xf, SOCK_RAW, EPERM).unless(0, AF_NETLINK),
        Test::masked_equals(1, 0xf, SOCK_PACKET, EPERM),
    ];
    // Without namespaces a socket reaches the host's network.
    let (network, lists) = match variant.network() {
        Network::Closed => (Verdict::Errno(EPERM), Verdict::Errno(EPERM)),
        Network::Asked => (Verdict::Allow, Verdict::Errno(EPERM)),
        Network::Host => (Verdict::Allow, Verdict::Allow),
    };
    if variant.network() == Network::Asked {
        for family in [AF_INET, AF_INET6] {
            tests.push(Test::equals(0, family, EPERM).unless_masked(1, 0xf, SOCK_STREAM));
            tests.push(Test::equals(0, family, EPROTONOSUPPORT).unless(2, 0).unless(2, IPPROTO_TCP));
        }
    }
    if variant.asks_about_sockets() {
        tests.extend(no_local_datagrams());
    }
    tests.push(Test::equals_to(0, AF_UNIX, Verdict::Allow));
    for family in [AF_INET, AF_INET6] {
        tests.push(Test::equals_to(0, family, network));
    }
    tests.push(Test::equals(0, AF_NETLINK, EPROTONOSUPPORT).unless(2, 0));
    tests.push(Test::equals_to(0, AF_NETLINK, lists));
    Block::new(tests, Verdict::Errno(EAFNOSUPPORT))
}

/// Options by which a connection leaves by another way than the address says that was asked about, or with data before it is answered: to
/// an address of loopback, but out of this machine (socket(7), tcp(7)).
fn no_way_around() -> Block {
    let device =
        [SO_BINDTODEVICE, SO_BINDTOIFINDEX].map(|option| Test::equals(2, option, EPERM).only_if(1, SOL_SOCKET));
    let ahead = [TCP_FASTOPEN_CONNECT, TCP_FASTOPEN_NO_COOKIE]
        .map(|option| Test::equals(2, option, EOPNOTSUPP).only_if(1, IPPROTO_TCP));
    Block::new([device, ahead].concat(), Verdict::Allow)
}

/// No local datagrams: each names its receiver in memory, where no filter can read it.
fn no_local_datagrams() -> Vec<Test> {
    let local = |kind: u32| Test::masked_equals(1, 0xf, kind, EPROTONOSUPPORT).only_if(0, AF_UNIX);
    vec![local(SOCK_DGRAM), local(SOCK_RAW)]
}

/// Asking, the default, and switching off address randomisation (debuggers).
fn personality() -> Block {
    let fine = [0xffff_ffff, 0, ADDR_NO_RANDOMIZE];
    Block::new(fine.iter().map(|value| Test::equals_to(0, *value, Verdict::Allow)).collect(), Verdict::Errno(EPERM))
}

/// What arch_prctl(2) may ask for: the bases of segments (every program as it starts), whether CPUID works, matrix registers, and shadow
/// stacks, which only take away. Not mapping the kernel's pages elsewhere, nor switching CPUID off, nor what is yet to come.
fn processor() -> Block {
    const FINE: [u32; 14] = [
        0x1001, 0x1002, 0x1003, 0x1004, 0x1011, 0x1021, 0x1022, 0x1023, 0x3001, 0x5001, 0x5002, 0x5003, 0x5004, 0x5005,
    ];
    Block::new(FINE.iter().map(|code| Test::equals_to(0, *code, Verdict::Allow)).collect(), Verdict::Errno(EPERM))
}

/// More filters may be added; a listener could let calls through that ours sent elsewhere.
fn own_filter() -> Block {
    let listener = Test::any_bits(1, SECCOMP_FILTER_FLAG_NEW_LISTENER, EPERM).only_if(0, SECCOMP_SET_MODE_FILTER);
    Block::new(vec![listener], Verdict::Allow)
}

/// Ordinary policies only: a real-time one starves the host.
fn scheduler() -> Block {
    let fine = [SCHED_OTHER, SCHED_BATCH, SCHED_IDLE];
    Block::new(fine.iter().map(|policy| Test::equals_to(1, *policy, Verdict::Allow)).collect(), Verdict::Errno(EPERM))
}
