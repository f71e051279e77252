//! Every system call of the machine, made for real inside: what the reviewed table refuses is refused with the errno that it says.
#![cfg(target_arch = "x86_64")]

use cofferdam_tests::command::{run, run_without_namespaces, text};
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;
use std::collections::BTreeMap;
use std::fs::File;

/// The table as it is reviewed: a line for each call, a column for each tier.
const VERDICTS: &str = include_str!(
    "../../../sandbox-linux/src/seccomp/tests/snapshots/cofferdam_sandbox_linux__seccomp__tests__every_number__the_verdict_of_every_call_of_x86_64.snap"
);

/// Beyond the last call that any kernel has.
const END: u32 = 600;
/// uretprobe and uprobe, which kernels that have them run past every filter (kernel/seccomp.c, since Linux 6.13): a trampoline of theirs makes
/// these calls, and whoever else does gets a signal or an error.
const PAST_ANY_FILTER: [u32; 2] = [335, 336];
const X32_BIT: u32 = 0x4000_0000;

/// Makes each call on its input, in a child of its own, and prints what came of it. With no arguments none of them does any harm;
/// one that ended the child would be seen. Calls by 32-bit numbers come from machine code: mov eax, number; int 0x80; ret.
const CALLER: &str = r#"
import ctypes, errno, mmap, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def named(number):
    return errno.errorcode.get(number, '?').replace('ENOTSUP', 'EOPNOTSUPP')
def in_child(call):
    if sys.argv[1:] == ['alone']:
        return call()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, call().encode())
        os._exit(0)
    os.close(writer)
    told = os.read(reader, 100).decode()
    os.close(reader)
    os.waitpid(child, 0)
    return told or 'ended'
def ordinary(number):
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(0)] * 6)
    return 'done' if result != -1 else named(ctypes.get_errno())
def old(number):
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(b'\x53\x31\xdb\x31\xc9\x31\xd2\xb8' + number.to_bytes(4, 'little') + b'\xcd\x80\x5b\xc3')
    result = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()
    return 'done' if result >= 0 else named(-result)
for line in sys.stdin:
    kind, number = line.split()
    print(kind, number, in_child(lambda: (old if kind == 'i386' else ordinary)(int(number))), flush=True)
"#;

/// Names, numbers, and the verdict that is the same in each of `columns`, where there is one.
fn refused(columns: &[&str]) -> Vec<(String, u32, String)> {
    let mut lines = VERDICTS.lines().skip_while(|line| !line.trim_start().starts_with("call "));
    let head = lines.next().unwrap();
    let starts: Vec<usize> = columns.iter().map(|column| head.find(&format!(" {column}")).unwrap() + 1).collect();
    let of_line = |line: &str| {
        let mut words = line.split_whitespace();
        let (number, name) = (words.next()?.parse().ok()?, words.next()?.to_owned());
        // Where arguments decide, they may make a verdict longer than its column.
        if line.contains("by arguments") {
            return None;
        }
        let verdict =
            |start: &usize| line.get(*start..).and_then(|rest| rest.split_whitespace().next()).map(str::to_owned);
        let first = verdict(starts.first()?)?;
        let alike = starts.iter().all(|start| verdict(start).as_ref() == Some(&first));
        (alike && first.starts_with('E')).then_some((name, number, first))
    };
    lines.filter_map(of_line).collect()
}

/// What to call, and what must come of it.
fn expectations(columns: &[&str]) -> BTreeMap<String, String> {
    let refused = refused(columns);
    assert!(!refused.is_empty(), "the table was not understood");
    let named: Vec<u32> = VERDICTS.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect();
    let mut expected: BTreeMap<String, String> = BTreeMap::new();
    expected.extend(refused.into_iter().map(|(_, number, errno)| (format!("own {number}"), errno)));
    expected.extend(
        (0..END).filter(|number| !named.contains(number)).map(|number| (format!("own {number}"), "ENOSYS".to_owned())),
    );
    for number in PAST_ANY_FILTER {
        expected.remove(&format!("own {number}"));
    }
    for number in 0..END {
        expected.insert(format!("x32 {}", X32_BIT | number), "ENOSYS".to_owned());
        expected.insert(format!("i386 {number}"), "ENOSYS".to_owned());
    }
    expected
}

#[track_caller]
fn assert_answers(columns: &[&str], run: impl FnOnce(&Scratch, &str) -> std::process::Command) {
    let Some(python) = skip::python() else { return };
    let scratch = Scratch::new();
    scratch.write("caller.py", CALLER);
    let expected = expectations(columns);
    let calls = scratch.write("calls", &expected.keys().map(|call| format!("{call}\n")).collect::<String>());
    let output = run(&scratch, &python).stdin(File::open(calls).unwrap()).output().unwrap();
    let told = text(&output.stdout);
    let answers: BTreeMap<String, String> = told
        .lines()
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(call, answer)| (call.into(), answer.into()))
        .collect();
    let wrong: Vec<_> = expected.iter().filter(|(call, errno)| answers.get(*call) != Some(errno)).collect();
    let got = |call: &String| answers.get(call).cloned().unwrap_or_else(|| "nothing".to_owned());
    let shown: Vec<_> = wrong.iter().map(|(call, errno)| format!("{call}: {errno}, but got {}", got(call))).collect();
    assert!(wrong.is_empty(), "{shown:#?}\n{}", text(&output.stderr));
}

#[test]
fn sys_01_02_03_every_call_that_is_refused_answers_what_the_table_says() {
    assert_answers(&["full", "full, all asked"], |scratch, python| run(scratch.path(), &[], &[python, "caller.py"]));
}

#[test]
fn sys_01_02_03_under_profiles_of_calls_too() {
    assert_answers(&["no-exec"], |scratch, python| {
        run(scratch.path(), &["--calls", "no-exec"], &[python, "caller.py"])
    });
    assert_answers(&["compute"], |scratch, python| {
        run(scratch.path(), &["--calls", "compute"], &[python, "caller.py", "alone"])
    });
}

#[test]
fn sys_01_02_03_without_namespaces_too() {
    assert_answers(&["landlock"], |scratch, python| {
        run_without_namespaces(scratch.path(), &["--isolation", "landlock"], &[python, "caller.py"])
    });
}
