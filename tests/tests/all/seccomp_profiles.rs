//! Profiles of system calls: real programs compute under them, and what a profile takes away fails for real.

use cofferdam_tests::command::{run, run_without_namespaces, text};
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const COMPUTING: &str = "
import hashlib, json, math, random, threading, time
results = []
def work(n): results.append(sum(math.sqrt(i) for i in range(n)))
threads = [threading.Thread(target=work, args=(20000,)) for _ in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]
assert len(set(results)) == 1 and time.monotonic() > 0 and 0 <= random.random() < 1
print(json.dumps({'sum': round(results[0]), 'hash': hashlib.sha256(b'x').hexdigest()[:8]}))
";

/// Runs Python in both tiers, each with a workspace of its own.
fn in_both_tiers(python: &str, calls: &str, script: &str, look: impl Fn(&Path, Output)) {
    let (full, bare) = (Scratch::new(), Scratch::new());
    full.write("input", "words\n");
    bare.write("input", "words\n");
    let program = [python, "-c", script];
    look(full.path(), run(full.path(), &["--calls", calls], &program).output().unwrap());
    let options = ["--isolation", "landlock", "--calls", calls];
    look(bare.path(), run_without_namespaces(bare.path(), &options, &program).output().unwrap());
}

/// The statement works without a profile and raises `PermissionError` under it; `trace` names a file that it would leave behind.
#[track_caller]
fn assert_refused(python: &str, calls: &str, statement: &str, trace: Option<&str>) {
    let script = format!(
        "import ctypes, os, socket, subprocess, signal, threading\ntry:\n    {statement}\n    print('HAPPENED')\nexcept PermissionError:\n    print('refused')"
    );
    let control = Scratch::new();
    control.write("input", "words\n");
    let outside = run(control.path(), &[], &[python, "-c", &script]).output().unwrap();
    assert_eq!(text(&outside.stdout), "HAPPENED\n", "control: {statement}: {outside:?}");
    assert!(trace.is_none_or(|trace| control.path().join(trace).exists()), "control: {statement}");
    in_both_tiers(python, calls, &script, |folder, output| {
        assert_eq!(text(&output.stdout), "refused\n", "{statement}: {output:?}");
        assert_eq!(fs::read_to_string(folder.join("input")).unwrap(), "words\n", "{statement}");
        assert_eq!(fs::read_dir(folder).unwrap().count(), 1, "{statement}: nothing was made");
    });
}

#[test]
fn python_computes_under_every_profile() {
    let Some(python) = skip::python() else { return };
    let expected = Command::new(&python).args(["-c", COMPUTING]).output().unwrap();
    assert!(expected.status.success());
    for calls in ["usual", "no-exec", "compute"] {
        in_both_tiers(&python, calls, COMPUTING, |_, output| {
            assert_eq!(text(&output.stdout), text(&expected.stdout), "{calls}: {output:?}");
        });
    }
}

#[test]
fn no_exec_lets_nothing_more_be_executed_by_whichever_process() {
    let Some(python) = skip::python() else { return };
    for statement in [
        "subprocess.check_output(['/bin/sh', '-c', 'echo x > made'])",
        "pid = os.fork()\n    if pid == 0:\n        try: os.execv('/bin/sh', ['sh', '-c', 'echo x > made'])\n        except PermissionError: os._exit(1)\n    if os.waitpid(pid, 0)[1]: raise PermissionError",
        "os.posix_spawn('/bin/sh', ['sh', '-c', 'echo x > made'], {}); os.wait()",
    ] {
        assert_refused(&python, "no-exec", statement, Some("made"));
    }
    // What is no execution goes on.
    in_both_tiers(
        &python,
        "no-exec",
        "import os\npid = os.fork()\nif pid == 0: open('made', 'w').write('by a child'); os._exit(0)\nos.waitpid(pid, 0)",
        |folder, output| assert_eq!(fs::read_to_string(folder.join("made")).unwrap(), "by a child", "{output:?}"),
    );
}

#[test]
fn no_exec_is_not_got_round_by_calls_of_ones_own() {
    let Some(python) = skip::python() else { return };
    // Whatever stands in the registers that execve(2) does not use, what was left in them by the start included.
    let script = "
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
argv = (ctypes.c_char_p * 4)(b'/bin/sh', b'-c', b'echo x > made', None)
memory = os.open('/bin/sh', os.O_RDONLY)
libc.syscall.argtypes = None
for extra in [(0, 0, 0), (-1, -1, -1), (1, 1, 1)]:
    words = [ctypes.c_long(word) for word in extra]
    assert libc.syscall(59, b'/bin/sh', argv, None, *words) == -1 and ctypes.get_errno() == 1
    assert libc.syscall(322, memory, b'', argv, None, ctypes.c_long(0x1000), *words[:1]) == -1 and ctypes.get_errno() == 1
print('refused')
";
    for calls in ["no-exec", "compute"] {
        in_both_tiers(&python, calls, script, |folder, output| {
            assert_eq!(text(&output.stdout), "refused\n", "{calls}: {output:?}");
            assert!(!folder.join("made").exists());
        });
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_program_starts_with_no_trace_of_the_secret() {
    if skip::program("gcc").is_none() {
        return;
    }
    // What lies in r8 to r15 when the program begins, written out as it is.
    let source = "__asm__(\".globl _start\\n_start: push %r15\\n push %r14\\n push %r13\\n push %r12\\n push %r11\\n push %r10\\n push %r9\\n push %r8\\n                   mov $1, %eax\\n mov $1, %edi\\n mov %rsp, %rsi\\n mov $64, %edx\\n syscall\\n mov $60, %eax\\n xor %edi, %edi\\n syscall\\n\");";
    let scratch = Scratch::new();
    scratch.write("registers.c", source);
    let built = Command::new("gcc")
        .args(["-nostdlib", "-static", "-o", "registers", "registers.c"])
        .current_dir(scratch.path())
        .status()
        .unwrap();
    assert!(built.success());
    for calls in ["usual", "no-exec", "compute"] {
        let output = run(scratch.path(), &["--calls", calls], &["./registers"]).output().unwrap();
        assert_eq!(output.stdout, [0; 64], "{calls}: {output:?}");
    }
}

#[test]
fn compute_makes_no_processes_files_or_sockets() {
    let Some(python) = skip::python() else { return };
    for (statement, trace) in [
        ("os.waitpid(os.posix_spawn('/bin/true', ['true'], {}), 0)", None),
        ("pid = os.fork()\n    if pid == 0: os._exit(0)", None),
        ("open('made', 'w').write('x')", Some("made")),
        ("os.open('made', os.O_CREAT | os.O_RDONLY)", Some("made")),
        ("os.open('input', os.O_RDWR)", None),
        ("os.truncate('input', 3)", None),
        ("os.mkdir('made')", Some("made")),
        ("os.symlink('input', 'made')", Some("made")),
        ("os.link('input', 'made')", Some("made")),
        ("os.mkfifo('made')", Some("made")),
        ("os.rename('input', 'made')", Some("made")),
        ("os.unlink('input')", None),
        ("os.chmod('input', 0o600)", None),
        ("os.utime('input', (5, 5))", None),
        ("socket.socket(socket.AF_INET, socket.SOCK_STREAM)", None),
        ("socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)", None),
        ("socket.socketpair()", None),
        ("os.pipe()", None),
        ("os.memfd_create('x')", None),
        ("os.kill(os.getpid(), 0)", None),
    ] {
        assert_refused(&python, "compute", statement, trace);
    }
    in_both_tiers(&python, "compute", "print(open('input').read(), end='')", |_, output| {
        assert_eq!(text(&output.stdout), "words\n", "what the policy shows is read: {output:?}");
    });
}

#[test]
fn a_policy_can_say_so_and_the_host_plane_refuses_it() {
    let scratch = Scratch::new();
    let policy = scratch.write("policy.toml", "version = 1\nextends = \"dev\"\n[commands]\ncalls = \"no-exec\"\n");
    let policy = policy.to_string_lossy();
    let output = run(scratch.path(), &["--policy", &policy], &["sh", "-c", "echo own; /bin/true"]).output().unwrap();
    assert_eq!((text(&output.stdout).as_str(), output.status.code()), ("own\n", Some(126)), "{output:?}");
    let output = run(scratch.path(), &["--plane", "host", "--calls", "no-exec"], &["true"]).output().unwrap();
    assert!(text(&output.stderr).contains("commands.calls"), "{output:?}");
    assert_ne!(output.status.code(), Some(0));
    let output = run(scratch.path(), &["--json", "--calls", "compute"], &["cat", "policy.toml"]).output().unwrap();
    assert!(text(&output.stdout).contains("profile compute"), "the result names it: {output:?}");
}
