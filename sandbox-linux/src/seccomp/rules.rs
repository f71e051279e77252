//! Calls whose arguments decide. A filter sees numbers, not memory, so only numbers are looked at.

use super::bpf::{Block, Errno, Test, Verdict};
use super::without_namespaces;
use cofferdam_bridge::enforcement::Tier;
use libc::c_long;

const EPERM: Errno = Errno(libc::EPERM as u16);
const ENOSYS: Errno = Errno(libc::ENOSYS as u16);
const EAFNOSUPPORT: Errno = Errno(libc::EAFNOSUPPORT as u16);
const EPROTONOSUPPORT: Errno = Errno(libc::EPROTONOSUPPORT as u16);
const EOPNOTSUPP: Errno = Errno(libc::EOPNOTSUPP as u16);

/// Set-user-id and set-group-id: a file that carries them runs as its owner, who outside may be root.
const SET_ID: u32 = 0o6000;

/// Every flag of clone(2) that makes a namespace.
const NEW_NAMESPACE: u32 = 0x7e02_0080;

/// TIOCSTI types on a terminal, TIOCLINUX pastes on a console, TIOCSETD changes the line discipline, TIOCCONS takes over
/// console output.
const REFUSED_IOCTLS: [u32; 4] = [0x5412, 0x541c, 0x5423, 0x541d];

const IPPROTO_MPTCP: u32 = 262;
/// The obsolete way to raw packets, packet(7).
const SOCK_PACKET: u32 = 10;
/// memfd_create(2), since Linux 6.3: the file is not executable and cannot be made so.
const MFD_NOEXEC_SEAL: u32 = 8;
const MSG_FASTOPEN: u32 = 0x2000_0000;
const SECCOMP_SET_MODE_FILTER: u32 = 1;
const SECCOMP_FILTER_FLAG_NEW_LISTENER: u32 = 8;

/// What the filter is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FilterOptions {
    /// The tier: without namespaces more must be refused here.
    pub(crate) tier: Tier,
    /// Calls that make or change names go to the supervisor.
    pub(crate) broker_names: bool,
    /// All opens do, too.
    pub(crate) broker_opens: bool,
    /// So do sockets that are bound or connected.
    pub(crate) broker_sockets: bool,
    /// The policy lets the run use the host's network.
    pub(crate) host_network: bool,
    /// The policy lets it execute something that it may write.
    pub(crate) runs_its_own: bool,
}

/// The rules under `options`: a call, and what its arguments lead to.
pub(crate) fn rules(options: &FilterOptions) -> Vec<(c_long, Block)> {
    let mut rules = vec![
        (libc::SYS_clone, Block::new(vec![Test::any_bits(0, NEW_NAMESPACE, EPERM)], Verdict::Allow)),
        (
            libc::SYS_ioctl,
            Block::new(REFUSED_IOCTLS.iter().map(|request| Test::equals(1, *request, EPERM)).collect(), Verdict::Allow),
        ),
        (libc::SYS_socket, socket(options)),
        (libc::SYS_personality, personality()),
        (libc::SYS_prctl, Block::new(vec![Test::equals(0, libc::PR_SET_MM as u32, EPERM)], Verdict::Allow)),
        (libc::SYS_seccomp, own_filter()),
        (libc::SYS_sched_setscheduler, scheduler()),
        (libc::SYS_fchmod, set_id(1)),
        (libc::SYS_fchmodat, set_id(2)),
        (SYS_FCHMODAT2, set_id(2)),
        (libc::SYS_mkdirat, set_id(2)),
        (libc::SYS_mknodat, set_id(2)),
        (libc::SYS_openat, open(options, 2, 3)),
        (libc::SYS_openat2, Block::new(vec![], Verdict::Errno(ENOSYS))),
    ];
    let fast_open = if options.tier == Tier::Full { vec![] } else { vec![Test::any_bits(3, MSG_FASTOPEN, EOPNOTSUPP)] };
    rules.push((libc::SYS_sendto, Block::new(fast_open, Verdict::Allow)));
    rules.extend(older_forms(options));
    if options.broker_sockets {
        rules.extend([libc::SYS_bind, libc::SYS_connect].map(|call| (call, Block::new(vec![], Verdict::Broker))));
        rules.push((libc::SYS_socketpair, Block::new(no_local_datagrams(), Verdict::Allow)));
    }
    if !options.runs_its_own {
        // A file in memory lies in no place that a rule could be about, so there are none that could be executed.
        let sealed = Test::any_bits_to(1, MFD_NOEXEC_SEAL, Verdict::Allow);
        rules.push((libc::SYS_memfd_create, Block::new(vec![sealed], Verdict::Errno(ENOSYS))));
    }
    if options.tier != Tier::Full {
        without_namespaces::adapt(&mut rules);
    }
    if options.broker_names {
        for (call, block) in &mut rules {
            if BROKERED.contains(call) {
                block.otherwise = Verdict::Broker;
            }
        }
        let missing =
            BROKERED.iter().filter(|call| !rules.iter().any(|(own, _)| own == *call)).copied().collect::<Vec<_>>();
        rules.extend(missing.into_iter().map(|call| (call, Block::new(vec![], Verdict::Broker))));
    }
    rules
}

/// fchmodat2(2), the same number on every architecture.
pub(crate) const SYS_FCHMODAT2: c_long = 452;

/// Calls that make, move or change names.
#[cfg(target_arch = "x86_64")]
const BROKERED: &[c_long] = &[
    libc::SYS_mkdir,
    libc::SYS_mkdirat,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_link,
    libc::SYS_linkat,
    libc::SYS_symlink,
    libc::SYS_symlinkat,
    libc::SYS_mknod,
    libc::SYS_mknodat,
    libc::SYS_rmdir,
    libc::SYS_unlink,
    libc::SYS_unlinkat,
    libc::SYS_truncate,
    libc::SYS_creat,
    libc::SYS_chmod,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    SYS_FCHMODAT2,
];
#[cfg(not(target_arch = "x86_64"))]
const BROKERED: &[c_long] = &[
    libc::SYS_mkdirat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_mknodat,
    libc::SYS_unlinkat,
    libc::SYS_truncate,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    SYS_FCHMODAT2,
];

#[cfg(target_arch = "x86_64")]
fn older_forms(options: &FilterOptions) -> Vec<(c_long, Block)> {
    vec![
        (libc::SYS_chmod, set_id(1)),
        (libc::SYS_mkdir, set_id(1)),
        (libc::SYS_mknod, set_id(1)),
        (libc::SYS_creat, set_id(1)),
        (libc::SYS_open, open(options, 1, 2)),
        (libc::SYS_arch_prctl, processor()),
    ]
}

/// What arch_prctl(2) may ask for: the bases of segments (every program as it starts), whether CPUID works, matrix registers, and shadow
/// stacks, which only take away. Not mapping the kernel's pages elsewhere, nor switching CPUID off, nor what is yet to come.
#[cfg(target_arch = "x86_64")]
fn processor() -> Block {
    const FINE: [u32; 14] = [
        0x1001, 0x1002, 0x1003, 0x1004, 0x1011, 0x1021, 0x1022, 0x1023, 0x3001, 0x5001, 0x5002, 0x5003, 0x5004, 0x5005,
    ];
    Block::new(FINE.iter().map(|code| Test::equals_to(0, *code, Verdict::Allow)).collect(), Verdict::Errno(EPERM))
}

#[cfg(not(target_arch = "x86_64"))]
fn older_forms(_: &FilterOptions) -> Vec<(c_long, Block)> {
    Vec::new()
}

/// A mode without set-id bits.
fn set_id(argument: u8) -> Block {
    Block::new(vec![Test::any_bits(argument, SET_ID, EPERM)], Verdict::Allow)
}

/// An open: a mode with set-id bits is refused; what may write is brokered where names are.
fn open(options: &FilterOptions, flags: u8, mode: u8) -> Block {
    const CHANGES: u32 = (libc::O_WRONLY | libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC) as u32;
    // O_TMPFILE contains O_DIRECTORY, which alone only reads; its own bit tells it apart.
    const TEMPORARY_FILE: u32 = 0o20_000_000;
    let mut tests = vec![];
    // The mode is looked at only where the call uses it: other callers leave anything in its place.
    tests.push(Test::both_bits(flags, libc::O_CREAT as u32 | TEMPORARY_FILE, mode, SET_ID, EPERM));
    if options.broker_opens {
        return Block::new(tests, Verdict::Broker);
    }
    if options.broker_names {
        tests.push(Test::any_bits_to(flags, CHANGES | TEMPORARY_FILE, Verdict::Broker));
    }
    Block::new(tests, Verdict::Allow)
}

/// Families that ordinary programs use; of netlink only what lists interfaces; MPTCP looks absent, so that programs fall back.
fn socket(options: &FilterOptions) -> Block {
    let mut tests = vec![
        Test::equals(2, IPPROTO_MPTCP, EPROTONOSUPPORT),
        Test::masked_equals(1, 0xf, libc::SOCK_RAW as u32, EPERM).unless(0, libc::AF_NETLINK as u32),
        Test::masked_equals(1, 0xf, SOCK_PACKET, EPERM),
    ];
    // Without namespaces a socket reaches the host's network.
    let open = options.tier == Tier::Full || options.host_network;
    let network = if open { Verdict::Allow } else { Verdict::Errno(EPERM) };
    if options.broker_sockets {
        tests.extend(no_local_datagrams());
    }
    tests.push(Test::equals_to(0, libc::AF_UNIX as u32, Verdict::Allow));
    for family in [libc::AF_INET, libc::AF_INET6] {
        tests.push(Test::equals_to(0, family as u32, network));
    }
    tests.push(Test::equals(0, libc::AF_NETLINK as u32, EPROTONOSUPPORT).unless(2, 0));
    tests.push(Test::equals_to(0, libc::AF_NETLINK as u32, network));
    Block::new(tests, Verdict::Errno(EAFNOSUPPORT))
}

/// No local datagrams: each names its receiver in memory, where no filter can read it.
fn no_local_datagrams() -> Vec<Test> {
    let local = |kind: i32| Test::masked_equals(1, 0xf, kind as u32, EPROTONOSUPPORT).only_if(0, libc::AF_UNIX as u32);
    vec![local(libc::SOCK_DGRAM), local(libc::SOCK_RAW)]
}

/// Asking, the default, and switching off address randomisation (debuggers).
fn personality() -> Block {
    let fine = [0xffff_ffff, 0, libc::ADDR_NO_RANDOMIZE as u32];
    Block::new(fine.iter().map(|value| Test::equals_to(0, *value, Verdict::Allow)).collect(), Verdict::Errno(EPERM))
}

/// More filters may be added; a listener could let calls through that ours sent elsewhere.
fn own_filter() -> Block {
    let listener = Test::any_bits(1, SECCOMP_FILTER_FLAG_NEW_LISTENER, EPERM).only_if(0, SECCOMP_SET_MODE_FILTER);
    Block::new(vec![listener], Verdict::Allow)
}

/// Ordinary policies only: a real-time one starves the host.
fn scheduler() -> Block {
    let fine = [libc::SCHED_OTHER, libc::SCHED_BATCH, libc::SCHED_IDLE];
    Block::new(
        fine.iter().map(|policy| Test::equals_to(1, *policy as u32, Verdict::Allow)).collect(),
        Verdict::Errno(EPERM),
    )
}
