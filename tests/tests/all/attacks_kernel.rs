//! Calls that widen what a program may do, by every way of making a call; each answers an error, none ends the program.

use cofferdam_tests::attack::{Attack, TIERS};
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;

/// Calls by the 32-bit gate, which has numbers of its own: made in a child, since a filter might kill.
#[cfg(target_arch = "x86_64")]
const GATE: &str = r"
low = libc.mmap; low.restype = ctypes.c_void_p
MAP_32BIT = 0x40
def place(size, protection): return low(None, ctypes.c_size_t(size), protection, 0x22 | MAP_32BIT, -1, ctypes.c_long(0))
code = place(4096, 7)
# push rbx; mov eax, edi; mov ebx, esi; mov r8d, ecx; mov ecx, edx; mov edx, r8d; int 0x80; pop rbx; ret
ctypes.memmove(code, bytes.fromhex('5389f889f34189c889d14489c2cd805bc3'), 17)
gate = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_uint, ctypes.c_uint, ctypes.c_uint)(code)
data = place(4096, 3)
def at(offset, value): ctypes.memmove(data + offset, value, len(value)); return data + offset
def old(number, a=0, b=0, c=0):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, struct.pack('i', gate(number, a, b, c))); os._exit(0)
    os.close(writer); answer = os.read(reader, 4); os.close(reader)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status): raise OSError(1000 + os.WTERMSIG(status), signal.Signals(os.WTERMSIG(status)).name)
    value = struct.unpack('i', answer)[0]
    if -4096 < value < 0: raise OSError(-value, 'gate')
";

#[test]
#[cfg(target_arch = "x86_64")]
fn sys_02_the_32_bit_gate_leads_nowhere() {
    let body = format!(
        "{GATE}
name = at(0, b'/etc/hostname\\0'); words = at(64, struct.pack('III', 1, 1, 0)); shell = at(128, b'/bin/true\\0'); target = at(192, b'/tmp\\0')
attempt('pid', lambda: old(20))
attempt('open', lambda: old(5, name, 0, 0))
attempt('socketcall', lambda: old(102, 1, words, 0))
attempt('execve', lambda: old(11, shell, 0, 0))
attempt('mount', lambda: old(21, target, target, target))
attempt('socket', lambda: old(359, 1, 1, 0))
"
    );
    let Some(attack) = Attack::new(&body) else { return };
    for tier in TIERS {
        attack.inside(tier, Scratch::new().path(), &[]).assert_each(6, &["ENOSYS", "EPERM", "SIGSYS"]);
    }
    let control = attack.outside(Scratch::new().path());
    if control.of("pid") != Some("ok") {
        return skip::skipped("this kernel has no 32-bit gate");
    }
    for name in ["open", "socketcall", "socket"] {
        control.assert(name, &["ok"]);
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn sys_03_the_x32_form_of_a_refused_call_is_refused() {
    let numbers = [
        165, 166, 155, 161, 272, 308, 101, 310, 311, 321, 298, 323, 425, 426, 427, 250, 248, 246, 175, 169, 103, 304,
        428, 430, 442, 435, 56, 57, 59, 2, 257, 41, 42, 512, 520, 521, 539, 540,
    ];
    let list: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    let body = format!(
        "for number in [{}]: attempt(str(number), lambda: call(number | 0x40000000, 0, 0, 0, 0, 0, 0))\n",
        list.join(", ")
    );
    let Some(attack) = Attack::new(&body) else { return };
    for tier in TIERS {
        attack.inside(tier, Scratch::new().path(), &[]).assert_each(numbers.len(), &["ENOSYS", "EPERM"]);
    }
}

/// Name, number, arguments, and what may be answered inside. The arguments are harmless should a call succeed.
#[cfg(target_arch = "x86_64")]
const CALLS: [(&str, &str, &str); 40] = [
    ("io_uring_setup", "425, 8, bytes(128)", "ENOSYS"),
    ("io_uring_enter", "426, 0, 0, 0, 0, 0, 0", "ENOSYS"),
    ("io_uring_register", "427, 0, 0, 0, 0", "ENOSYS"),
    ("clone3", "435, 0, 0", "ENOSYS"),
    ("unshare-user", "272, 0x10000000", "EPERM"),
    ("unshare-pid", "272, 0x20000000", "EPERM"),
    ("unshare-net", "272, 0x40000000", "EPERM"),
    ("unshare-mount", "272, 0x20000", "EPERM"),
    ("unshare-ipc", "272, 0x8000000", "EPERM"),
    ("unshare-uts", "272, 0x4000000", "EPERM"),
    ("unshare-cgroup", "272, 0x2000000", "EPERM"),
    ("unshare-time", "272, 0x80", "EPERM"),
    ("clone-user", "56, 0x10000000 | 17, 0, 0, 0, 0", "EPERM"),
    ("userfaultfd", "323, 0", "EPERM"),
    ("userfaultfd-own", "323, 1", "EPERM"),
    ("bpf", "321, 0, 0, 0", "EPERM"),
    ("perf_event_open", "298, 0, 0, 0, 0, 0", "EPERM"),
    ("kexec_load", "246, 0, 0, 0, 0xffff", "EPERM"),
    ("kexec_file_load", "320, 0, 0, 0, 0, 0xffff", "EPERM"),
    ("init_module", "175, 0, 0, 0", "EPERM"),
    ("finit_module", "313, 0, 0, 0xffff", "EPERM"),
    ("delete_module", "176, 'cofferdam-none', 0x800", "EPERM"),
    ("swapon", "167, '/nowhere', 0", "EPERM"),
    ("swapoff", "168, '/nowhere'", "EPERM"),
    ("reboot", "169, 0, 0, 0, 0", "EPERM"),
    ("acct", "163, '/nowhere'", "EPERM"),
    ("settimeofday", "164, 0, 0xffff", "EPERM"),
    ("clock_settime", "227, 0xffff, 0", "EPERM"),
    ("adjtimex", "159, 0xffff", "EPERM"),
    ("quotactl", "179, 0, 0, 0, 0", "EPERM"),
    ("syslog", "103, 3, 0, 0", "EPERM"),
    ("sethostname", "170, 'x', 70000", "EPERM"),
    ("setdomainname", "171, 'x', 70000", "EPERM"),
    ("iopl", "172, 3", "EPERM"),
    ("ioperm", "173, 0, 1, 1", "EPERM"),
    ("modify_ldt", "154, 0, bytes(64), 64", "EPERM"),
    ("io_pgetevents", "333, 0, 0, 0, 0, 0, 0", "EPERM"),
    ("personality", "135, 0x0400000", "EPERM"),
    ("fanotify_init", "300, 0, 0", "EPERM"),
    ("lookup_dcookie", "212, 0, 0, 0", "EPERM"),
];

#[test]
#[cfg(target_arch = "x86_64")]
fn sys_01_05_10_11_24_dangerous_calls_answer_an_error_in_each_tier() {
    let body: String =
        CALLS.iter().map(|(name, arguments, _)| format!("apart('{name}', lambda: call({arguments}))\n")).collect();
    let Some(attack) = Attack::new(&body) else { return };
    for tier in TIERS {
        let answers = attack.inside(tier, Scratch::new().path(), &[]);
        for (name, _, errno) in CALLS {
            answers.assert(name, &[errno, "ENOSYS"]);
        }
        answers.assert_each(CALLS.len(), &["EPERM", "ENOSYS"]);
    }
    // Outside the kernel itself answers at least these, and root is let further: to the fault in the arguments.
    let control = attack.outside(Scratch::new().path());
    for name in ["unshare-user", "personality", "modify_ldt"] {
        control.assert(name, &["ok"]);
    }
    if nix::unistd::geteuid().is_root() {
        for name in ["kexec_load", "init_module", "reboot", "swapon", "sethostname", "acct"] {
            assert!(control.of(name).is_some_and(|answer| answer != "EPERM"), "control: {name} {control:?}");
        }
    } else {
        skip::skipped("the control of calls that only root makes");
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn sys_24_unusual_corners_of_the_processor_and_the_network_are_shut() {
    // arch_prctl itself every program calls as it starts; what it may ask for is little.
    let body = "
attempt('base', lambda: call(158, 0x1003, bytes(8)))
for name, code in [('gs', 0x1001), ('cpuid', 0x1012), ('vdso', 0x2001), ('vdso32', 0x2002), ('shadow', 0x5001), ('permit', 0x1023)]:
    attempt(name, lambda: call(158, code, 0))
for name, family in [('alg', 38), ('tipc', 30), ('rds', 21), ('smc', 43), ('netlink-audit', 0)]:
    attempt(name, lambda: socket.socket(family, 5, 0) if family else socket.socket(16, 3, 9))
attempt('vm86', lambda: call(0x40000000 | 166, 0, 0))
";
    let Some(attack) = Attack::new(body) else { return };
    for tier in TIERS {
        let answers = attack.inside(tier, Scratch::new().path(), &[]);
        answers.assert("base", &["ok", "EPERM"]);
        for name in ["cpuid", "vdso", "vdso32", "shadow", "permit"] {
            answers.assert(
                name,
                if name == "shadow" || name == "permit" {
                    &["EINVAL", "ENOTSUP", "EOPNOTSUPP", "EPERM"]
                } else {
                    &["EPERM"]
                },
            );
        }
        for name in ["alg", "tipc", "rds", "smc", "netlink-audit", "vm86"] {
            answers.assert(name, &["EPERM", "EAFNOSUPPORT", "EPROTONOSUPPORT", "ESOCKTNOSUPPORT", "EACCES", "ENOSYS"]);
        }
    }
    attack.outside(Scratch::new().path()).assert("alg", &["ok", "EAFNOSUPPORT"]);
}

#[test]
#[cfg(target_arch = "x86_64")]
fn sys_14_more_filters_only_take_away() {
    // Filters of the guest's own: as many as the kernel takes, one that would listen, and one that allows everything.
    let body = "
ALLOW = struct.pack('HBBI', 6, 0, 0, 0x7fff0000)
def filter(flags, instructions):
    data = ctypes.create_string_buffer(instructions, len(instructions))
    keep.append(data)
    return call(317, 1, flags, struct.pack('HxxxxxxQ', len(instructions) // 8, ctypes.addressof(data)))
attempt('weaker', lambda: filter(0, ALLOW))
attempt('still', lambda: call(165, 0, 0, 0, 0, 0))
attempt('listener', lambda: filter(8, ALLOW))
LONG = struct.pack('HBBI', 0, 0, 0, 0) * 4000 + ALLOW
count = 0
try:
    while count < 32768: filter(0, LONG); count += 1
except OSError as error: print('full', errno.errorcode[error.errno])
attempt('after', lambda: call(165, 0, 0, 0, 0, 0))
attempt('strict', lambda: call(317, 3, 0, 0))
attempt('prctl', lambda: call(157, 22, 0, 0))
attempt('works', lambda: write('made'))
";
    let Some(attack) = Attack::new(body) else { return };
    for tier in TIERS {
        let inside = Scratch::new();
        let answers = attack.inside(tier, inside.path(), &[]);
        answers.assert("weaker", &["ok", "EPERM", "EACCES", "ENOSYS"]);
        answers.assert("still", &["EPERM"]);
        answers.assert("listener", &["EBUSY", "EPERM", "ENOSYS", "EINVAL"]);
        answers.assert("full", &["ENOMEM", "EPERM", "EINVAL", "ENOSYS"]);
        answers.assert("after", &["EPERM"]);
        answers.assert("strict", &["EINVAL", "EPERM", "EFAULT", "ENOSYS"]);
        // The supervisor is fine: it still answers calls, and tells the run's end.
        answers.assert("works", &["ok"]);
        assert_eq!(answers.result["cause"]["cause"], "exited", "{answers:?}");
    }
}
