//! Calls that would widen the sandbox, made by a program inside; each answers an error and changes nothing.

use cofferdam_tests::command::{run, text};
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;

/// Runs a Python script inside and answers what it printed.
fn python(script: &str) -> Option<String> {
    skip::program("python3")?;
    let scratch = Scratch::new();
    let output = run(scratch.path(), &[], &["python3", "-c", script]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    Some(text(&output.stdout))
}

const PRELUDE: &str = "import ctypes, errno, os\nlibc = ctypes.CDLL(None, use_errno=True)\n\
def call(number, *arguments):\n ctypes.set_errno(0)\n r = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) for a in arguments])\n return 'ok' if r >= 0 else errno.errorcode[ctypes.get_errno()]\n";

#[test]
#[cfg(target_arch = "x86_64")]
fn sys_01_05_10_11_dangerous_calls_answer_an_error() {
    let calls = [
        ("io_uring_setup", 425, "ENOSYS"),
        ("clone3", 435, "ENOSYS"),
        ("unshare", 272, "EPERM"),
        ("setns", 308, "EPERM"),
        ("mount", 165, "EPERM"),
        ("umount2", 166, "EPERM"),
        ("pivot_root", 155, "EPERM"),
        ("chroot", 161, "EPERM"),
        ("open_tree", 428, "EPERM"),
        ("fsopen", 430, "EPERM"),
        ("mount_setattr", 442, "EPERM"),
        ("bpf", 321, "EPERM"),
        ("perf_event_open", 298, "EPERM"),
        ("userfaultfd", 323, "EPERM"),
        ("keyctl", 250, "EPERM"),
        ("add_key", 248, "EPERM"),
        ("kexec_load", 246, "EPERM"),
        ("init_module", 175, "EPERM"),
        ("reboot", 169, "EPERM"),
        ("syslog", 103, "EPERM"),
        ("open_by_handle_at", 304, "EPERM"),
        ("acct", 163, "EPERM"),
        ("swapon", 167, "EPERM"),
        ("settimeofday", 164, "EPERM"),
    ];
    let mut script = PRELUDE.to_owned();
    for (name, number, _) in calls {
        script += &format!("print('{name}', call({number}, 0x10000000, 0, 0, 0, 0))\n");
    }
    let Some(seen) = python(&script) else { return };
    let expected: String = calls.iter().map(|(name, _, errno)| format!("{name} {errno}\n")).collect();
    assert_eq!(seen, expected);
}

#[test]
#[cfg(target_arch = "x86_64")]
fn sys_05_clone_with_a_new_user_namespace_is_refused() {
    let script = format!("{PRELUDE}print(call(56, 0x10000000 | 17, 0, 0, 0, 0))\n");
    let Some(seen) = python(&script) else { return };
    assert_eq!(seen, "EPERM\n");
}

#[test]
fn sys_20_kernel_settings_and_core_pattern_are_not_writable() {
    let before = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    let script = "for path in ['/proc/sys/kernel/core_pattern', '/proc/sysrq-trigger', '/proc/self/uid_map', '/proc/self/oom_score_adj']:\n\
                  \ttry:\n\t\topen(path, 'w').write('0'); print('written', path)\n\texcept OSError: pass\n";
    let Some(seen) = python(script) else { return };
    assert_eq!(seen, "");
    assert_eq!(std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap(), before);
}

#[test]
fn sys_21_pid_1_can_neither_be_traced_nor_read_nor_killed() {
    let script = format!(
        "{PRELUDE}import signal\nprint(call(101, 16, 1, 0, 0))\n\
         for name in ['mem', 'environ', 'root', 'fd/3', 'exe']:\n\ttry:\n\t\topen('/proc/1/' + name, 'rb').read(1); print('read', name)\n\texcept OSError: pass\n\
         os.kill(1, signal.SIGKILL); os.kill(1, signal.SIGTERM)\nprint('alive')\n"
    );
    let Some(seen) = python(&script) else { return };
    assert_eq!(seen, "EPERM\nalive\n");
}

#[test]
fn sys_23_devices_of_the_host_are_not_there() {
    let script = "import os\nprint(sorted(os.listdir('/dev')))\nprint(os.path.exists('/sys'))";
    let Some(seen) = python(script) else { return };
    let expected = "['fd', 'full', 'null', 'ptmx', 'pts', 'random', 'shm', 'stderr', 'stdin', 'stdout', 'tty', 'urandom', 'zero']\nFalse\n";
    assert_eq!(seen, expected);
}

#[test]
fn fs_19_no_mount_of_the_sandbox_is_shared_with_the_host() {
    let Some(seen) = python("print(open('/proc/self/mountinfo').read())") else { return };
    assert!(!seen.contains("shared:") && !seen.contains("master:"), "{seen}");
}

#[test]
fn ipc_02_abstract_sockets_of_the_host_are_not_reached() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
    let name = format!("cofferdam-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let listener = UnixListener::bind_addr(&address).unwrap();
    listener.set_nonblocking(true).unwrap();
    let script = format!(
        "import socket\ns = socket.socket(socket.AF_UNIX)\ntry:\n\ts.connect('\\0{name}'); print('connected')\nexcept OSError as e: print(type(e).__name__)\n"
    );
    let Some(seen) = python(&script) else { return };
    assert_ne!(seen, "connected\n");
    assert!(listener.accept().is_err(), "a connection arrived");
    let _control = UnixStream::connect_addr(&address).unwrap();
    assert!(listener.accept().is_ok());
}
