//! Filters of profiles: what the program alone gets.

use super::interpreter::run;
use super::{ABSENT, ALLOW, HERE, REFUSE};
use crate::seccomp::compiler::architecture::Architecture;
use crate::seccomp::compiler::bpf::BpfInstruction;
use crate::seccomp::compiler::profiles;
use crate::seccomp::{Profile, ProgramFilter};

fn parsed(bytes: &[u8]) -> Vec<BpfInstruction> {
    let word = |part: &[u8]| u32::from_le_bytes(part.try_into().unwrap());
    let one = |part: &[u8]| BpfInstruction {
        code: u16::from_le_bytes(part[..2].try_into().unwrap()),
        jt: part[2],
        jf: part[3],
        k: word(&part[4..]),
    };
    bytes.chunks_exact(8).map(one).collect()
}

fn verdict(program: &[BpfInstruction], call: &str, arguments: [u64; 6]) -> u32 {
    run(program, HERE.audit(), HERE.number(call).unwrap(), arguments)
}

#[test]
#[cfg(target_arch = "x86_64")]
fn only_the_call_with_the_whole_secret_executes() {
    for profile in Profile::ALL {
        let ProgramFilter { secret: [one, other], instructions } =
            ProgramFilter::with_secret(profile, *b"0123456789abcdef");
        let program = parsed(&instructions);
        assert_eq!((one, other), (u64::from_le_bytes(*b"01234567"), u64::from_le_bytes(*b"89abcdef")));
        assert_eq!(verdict(&program, "execve", [1, 2, 3, one, other, 9]), ALLOW);
        for bit in 0..64 {
            assert_eq!(verdict(&program, "execve", [1, 2, 3, one ^ (1 << bit), other, 0]), REFUSE, "bit {bit}");
            assert_eq!(verdict(&program, "execve", [1, 2, 3, one, other ^ (1 << bit), 0]), REFUSE, "bit {bit}");
        }
        assert_eq!(verdict(&program, "execve", [0; 6]), REFUSE);
        assert_eq!(verdict(&program, "execveat", [0, 0, 0, one, other, 0]), REFUSE);
        let unset = profiles::compile(HERE, profile);
        assert_ne!(parsed(&instructions), unset, "the places were filled in");
    }
}

#[test]
fn the_secret_has_its_places_on_every_architecture() {
    for (architecture, profile) in Architecture::ALL.iter().flat_map(|one| Profile::ALL.map(|profile| (*one, profile)))
    {
        let places = profiles::places(&profiles::compile(architecture, profile)).unwrap();
        assert!(places.is_sorted(), "{architecture:?} {profile:?}");
    }
}

#[test]
fn secrets_differ_from_run_to_run() {
    let secrets = [0; 8].map(|_| ProgramFilter::new(Profile::NoExec).unwrap().secret);
    for (at, secret) in secrets.iter().enumerate() {
        assert!(!secrets[..at].contains(secret));
    }
}

#[test]
fn without_execution_everything_else_goes_on() {
    let program = profiles::compile(HERE, Profile::NoExec);
    for call in ["fork", "vfork", "clone", "openat", "socket", "mmap", "kill", "ptrace"] {
        assert_eq!(verdict(&program, call, [0; 6]), ALLOW, "{call}");
    }
}

#[test]
fn computing_makes_threads_but_no_processes_and_reads_but_changes_nothing() {
    let program = profiles::compile(HERE, Profile::Compute);
    let thread = 0x003d_0f00;
    for (call, arguments, expected) in [
        ("clone", [thread, 0, 0, 0, 0, 0], ALLOW),
        ("clone", [17, 0, 0, 0, 0, 0], REFUSE),
        ("clone", [thread & !0x0001_0000, 0, 0, 0, 0, 0], REFUSE),
        ("clone3", [0; 6], ABSENT),
        ("io_uring_setup", [0; 6], ABSENT),
        ("fork", [0; 6], REFUSE),
        ("vfork", [0; 6], REFUSE),
        ("openat", [0; 6], ALLOW),
        ("openat", [0, 0, libc::O_CLOEXEC as u64 | libc::O_DIRECTORY as u64, 0, 0, 0], ALLOW),
        ("openat", [0, 0, libc::O_WRONLY as u64, 0, 0, 0], REFUSE),
        ("openat", [0, 0, libc::O_RDWR as u64, 0, 0, 0], REFUSE),
        ("openat", [0, 0, libc::O_CREAT as u64, 0, 0, 0], REFUSE),
        ("openat", [0, 0, libc::O_TRUNC as u64, 0, 0, 0], REFUSE),
        ("openat", [0, 0, libc::O_TMPFILE as u64, 0, 0, 0], REFUSE),
        ("open", [0, libc::O_CREAT as u64, 0, 0, 0, 0], REFUSE),
        ("creat", [0; 6], REFUSE),
        ("mkdirat", [0; 6], REFUSE),
        ("unlink", [0; 6], REFUSE),
        ("truncate", [0; 6], REFUSE),
        ("ftruncate", [0; 6], REFUSE),
        ("fchmod", [0; 6], REFUSE),
        ("memfd_create", [0; 6], REFUSE),
        ("socket", [1, 1, 0, 0, 0, 0], REFUSE),
        ("socketpair", [1, 1, 0, 0, 0, 0], REFUSE),
        ("shmget", [0; 6], REFUSE),
        ("kill", [0; 6], REFUSE),
        ("ptrace", [0; 6], REFUSE),
        ("read", [0; 6], ALLOW),
        ("write", [0; 6], ALLOW),
        ("futex", [0; 6], ALLOW),
        ("clock_gettime", [0; 6], ALLOW),
    ] {
        assert_eq!(verdict(&program, call, arguments), expected, "{call} with {arguments:?}");
    }
}
