//! What every program needs of the system, with the reason and a public source for each.
//!
//! Sources: [C] Chromium, `sandbox/policy/mac/common.sb`; [X] OpenAI's codex, `codex-rs/core/src/seatbelt_base_policy.sbpl`; [S]
//! `anthropic-experimental/sandbox-runtime`, `src/sandbox/macos-sandbox-utils.ts`; [G] fG!, Apple Sandbox Guide v1.0 (2011).

use super::text::{Filter, rule};
use super::{Setting, literal};

/// Folders of the system that every program is loaded from, read-only as macOS itself has them: the loader's cache and frameworks.
pub(super) const SYSTEM_READ: [&str; 8] = [
    "/System/Library",
    "/System/Cryptexes",
    "/System/Volumes/Preboot/Cryptexes",
    "/usr/lib",
    "/Library/Apple",
    "/private/var/db/dyld",
    "/private/var/db/timezone",
    "/private/var/select",
];

/// Devices that hold nothing.
const DEVICES: [&str; 4] = ["/dev/null", "/dev/zero", "/dev/dtracehelper", "/dev/tty"];

const RANDOM: [&str; 2] = ["/dev/random", "/dev/urandom"];

/// What is asked of the machine, and never tells of other programs. `kern.proc.*` is not among it: it lists every process [X]; nor is
/// `kern.procargs2`, which shows their arguments and environment.
const FACTS: [&str; 34] = [
    "hw.activecpu",
    "hw.byteorder",
    "hw.cacheconfig",
    "hw.cachelinesize",
    "hw.cachelinesize_compat",
    "hw.cpufamily",
    "hw.cpufrequency",
    "hw.cpufrequency_compat",
    "hw.cputype",
    "hw.l1dcachesize_compat",
    "hw.l1icachesize_compat",
    "hw.l2cachesize_compat",
    "hw.l3cachesize_compat",
    "hw.logicalcpu",
    "hw.logicalcpu_max",
    "hw.machine",
    "hw.memsize",
    "hw.model",
    "hw.ncpu",
    "hw.nperflevels",
    "hw.packages",
    "hw.pagesize",
    "hw.pagesize_compat",
    "hw.physicalcpu",
    "hw.physicalcpu_max",
    "hw.tbfrequency_compat",
    "hw.vectorunit",
    "kern.argmax",
    "kern.maxfilesperproc",
    "kern.osproductversion",
    "kern.osrelease",
    "kern.ostype",
    "kern.osversion",
    "kern.version",
];

/// Families of such facts.
const FACT_FAMILIES: [&str; 3] = ["hw.optional.", "hw.perflevel", "machdep.cpu."];

/// Further single facts: where the stack is, whether this is a system that developers have changed, the load, the host's name.
const FURTHER_FACTS: [&str; 6] = [
    "kern.usrstack64",
    "kern.osvariant_status",
    "kern.secure_kernel",
    "kern.hostname",
    "sysctl.proc_cputype",
    "vm.loadavg",
];

pub(super) fn write(out: &mut String) {
    out.push_str(concat!(
        "; A process may make others, which inherit this profile (sandbox(7)), and look at and signal those of its own run alone [X].\n",
        "(allow process-fork)\n",
        "(allow process-info* (target same-sandbox))\n",
        "(allow signal (target same-sandbox))\n",
        "; Libraries are loaded from what may be read.\n",
        "(allow file-map-executable)\n",
        "; Who owns a file: getpwuid(3) asks this service [C, X]. It answers about users and groups, and looks up no hosts.\n",
        "(allow mach-lookup\n",
        "    (global-name \"com.apple.system.opendirectoryd.libinfo\")\n",
        "    (global-name \"com.apple.system.opendirectoryd.membership\"))\n",
        "; Semaphores that Python's multiprocessing makes; they have no data [X]. No shared memory: its names are the whole machine's.\n",
        "(allow ipc-posix-sem)\n",
    ));
    let names = |names: &[&str], filter: &str| -> String {
        names.iter().map(|name| format!("\n    ({filter} \"{name}\")")).collect()
    };
    out.push_str("; Facts about the machine that libraries ask for when they start [X].\n(allow sysctl-read");
    out.push_str(&names(&FACTS, "sysctl-name"));
    out.push_str(&names(&FURTHER_FACTS, "sysctl-name"));
    out.push_str(&names(&FACT_FAMILIES, "sysctl-name-prefix"));
    out.push_str(")\n");
    out.push_str("; What programs are loaded from.\n");
    rule(out, "allow", "file-read*", &SYSTEM_READ.map(|path| Filter::Subpath(path.to_owned())));
    // The loader looks into the root folder, and aborts where it may not; the links in it lead to /private.
    rule(out, "allow", "file-read*", &["/", "/etc", "/tmp", "/var"].map(literal));
}

/// Devices. They come after all rules about files, since a policy that lets everything be read takes writing away from them.
pub(super) fn write_devices(out: &mut String, setting: &Setting<'_>) {
    out.push_str("; Terminals that the run makes itself: a pair is open to who made it [X, the extension is the kernel's word on that].\n");
    out.push_str(concat!(
        "(allow pseudo-tty)\n",
        "(allow file-read* file-write* file-ioctl (literal \"/dev/ptmx\"))\n",
        "(allow file-read* file-write* file-ioctl\n",
        "    (require-all (regex \"^/dev/ttys[0-9]+$\") (extension \"com.apple.sandbox.pty\")))\n",
    ));
    if let Some(terminal) = setting.terminal {
        out.push_str("; Its own terminal, which was made before the profile held.\n");
        rule(out, "allow", "file-read* file-write* file-ioctl", &[literal(terminal)]);
    }
    rule(out, "allow", "file-read* file-write-data", &DEVICES.map(literal));
    rule(out, "allow", "file-ioctl", &[literal("/dev/dtracehelper"), literal("/dev/tty")]);
    rule(out, "allow", "file-read*", &RANDOM.map(literal));
}
