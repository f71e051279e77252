//! Explaining looks and no more: what is refused is refused without it, too, whatever a guest does while it is looked at.

use crate::explain::{LANDLOCK, in_both_tiers, in_tier};
use cofferdam_tests::command::text;
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// What attacks come to: what they print, how they end, and what is then in the folders.
fn effects(tier: &str, explain: bool, line: &str) -> (String, Option<i32>, String) {
    let (inside, outside) = (Scratch::new(), Scratch::new());
    inside.write("own", "own");
    inside.write(".git/config", "protected");
    inside.write(".envrc", "protected");
    outside.write("secret", "SECRET-CANARY");
    let program = outside.write("prog", "#!/bin/sh\necho HAPPENED\n");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let options: &[&str] = if explain { &["--explain"] } else { &[] };
    let line = line.replace("OUT", &outside.path().display().to_string());
    let output = in_tier(tier, inside.path(), options, &["sh", "-c", &line]).output().unwrap();
    let plain = |text: String| {
        let text = text.replace(&outside.path().display().to_string(), "OUT");
        text.replace(&inside.path().display().to_string(), "IN")
    };
    let tree = |folder: &Path| {
        let find = ["-printf", "%P %y %m %s\\n"];
        let seen = Command::new("find").arg(folder).args(find).output().unwrap();
        let mut lines: Vec<String> = text(&seen.stdout).lines().map(str::to_owned).collect();
        lines.sort();
        lines.join("\n")
    };
    let after = format!("{}\n--\n{}", tree(inside.path()), tree(outside.path()));
    (plain(text(&output.stdout)), output.status.code(), after)
}

#[test]
fn sys_15_explaining_refuses_just_what_is_refused_without_it() {
    let mut lines = vec![
        "cat OUT/secret 2>&1; cat < OUT/secret; head -c9 OUT/../*/secret 2>&1",
        "OUT/prog 2>&1; sh OUT/prog 2>&1; exec OUT/prog",
        "echo x > OUT/new; echo x >> OUT/secret; : > OUT/secret; mkdir OUT/d; rm OUT/secret; mv OUT/secret . ; ls",
        "mv own OUT/own 2>&1; ln own OUT/own 2>&1; ln -s x OUT/link 2>&1; ln OUT/secret here 2>&1; ls",
        "chmod 777 OUT/secret; touch OUT/secret; chown 0 OUT/secret; truncate -s0 OUT/secret; ls",
        "echo x > .envrc; rm .git/config; mv .git away; echo x > away/config; mkdir -p n/.git; echo y > n/.git/config; find . | sort",
        "ls /root /home /etc/shadow 2>&1 | head -3; test -r /etc/shadow; echo $?",
        "echo x > own; cat own; mv own b; cat b; chmod 700 b; stat -c %a b; rm b; ls",
        "unshare -U true; mount -t tmpfs x . ; chroot . true; echo $?",
        "mkfifo f; (echo through > f &); cat f; cd /tmp && echo x > t && cat t; kill -9 1; echo alive",
        "cd /; cd - > /dev/null; readlink /proc/self/root; ls -d /tmp /usr; test -x /usr/bin/env; echo $?",
    ];
    let python = [
        "python3 -c \"import socket; s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(); c = socket.create_connection(s.getsockname()); print('own')\"",
        "python3 -c \"import socket; socket.create_connection(('192.0.2.1', 80), 1)\" 2>&1 | tail -1",
        "python3 -c \"import socket; a = socket.socketpair(); a[0].sendmsg([b'x']); print(a[1].recv(1))\"",
        "python3 -c \"import socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\" 2>&1 | tail -1",
        "python3 -c \"import os; os.setxattr('own', 'user.x', b'y')\" 2>&1 | tail -1",
        "python3 -c \"import ctypes; l = ctypes.CDLL(None, use_errno=True); print([(l.syscall(n, 0, 0, 0, 0, 0), ctypes.get_errno()) for n in (101, 155, 165, 175, 248, 272, 298, 304, 321, 323, 425, 435)])\"",
    ];
    if skip::program("python3").is_some() {
        lines.extend(python);
    }
    for tier in ["full", LANDLOCK] {
        for line in &lines {
            let (plain, explained) = (effects(tier, false, line), effects(tier, true, line));
            assert_eq!(plain, explained, "{tier}: {line}");
            assert!(!plain.0.contains("SECRET") && !plain.0.contains("HAPPENED"), "{tier}: {line}: {plain:?}");
        }
    }
}

/// Threads that change a path while the call that names it is looked at.
const RACE: &str = "
import ctypes, os, threading, sys
outside, rounds = sys.argv[1], 400
sys.setswitchinterval(1e-4)
libc = ctypes.CDLL(None, use_errno=True)
good, bad = b'./harmless'.ljust(200, b'\\0'), outside.encode().ljust(200, b'\\0')
path = ctypes.create_string_buffer(200)
stop = False
# Each ends a turn with another one: on a busy machine it may be a while until the next.
def flip(one, other):
    while not stop:
        path.raw = one; path.raw = other
threads = [threading.Thread(target=flip, args=order) for order in ((good, bad), (bad, good))]
for thread in threads: thread.start()
seen, met = set(), set()
status = ctypes.create_string_buffer(512)
for _ in range(rounds):
    descriptor = libc.syscall(257, -100, path, os.O_RDONLY, 0)
    if descriptor >= 0: seen.add(os.read(descriptor, 99)); os.close(descriptor)
    else: met.add(ctypes.get_errno())
    libc.syscall(4, path, status)
    libc.syscall(76, path, 0)
    libc.syscall(90, path, 0o777)
    libc.syscall(87, path)
    with open('harmless', 'w') as file: file.write('harmless')
stop = True
for thread in threads: thread.join()
print(sorted(seen), sorted(met))
";

#[test]
fn sys_15_a_path_that_changes_while_it_is_looked_at_gives_no_access() {
    if skip::program("python3").is_none() || cfg!(not(target_arch = "x86_64")) {
        return;
    }
    in_both_tiers(|tier, inside, outside| {
        inside.write("harmless", "harmless");
        let secret = outside.write("secret", "SECRET-CANARY");
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
        // Once where opens go on, and once where the broker answers them.
        for deny in ["", "\n[filesystem]\ndeny = [\"{workspace}/**/.env\"]\n"] {
            let policy =
                outside.write("p.toml", &format!("version = 1\nextends = \"dev\"\n{deny}")).display().to_string();
            let options = ["--policy", policy.as_str(), "--explain"];
            let secret = secret.display().to_string();
            let output = in_tier(tier, inside.path(), &options, &["python3", "-c", RACE, &secret]).output().unwrap();
            let printed = text(&output.stdout);
            assert!(printed.contains("harmless"), "the race was run: {output:?}");
            assert!(!printed.contains("SECRET"), "{tier}: {printed}");
            assert_eq!(fs::read_to_string(&secret).unwrap(), "SECRET-CANARY", "{tier}");
            assert_eq!(fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o644, "{tier}");
        }
    });
}

/// A program is executed whose name changes while the call is looked at.
const RACE_OF_PROGRAMS: &str = "
import ctypes, os, threading, sys
libc = ctypes.CDLL(None)
good, bad = b'./harmless'.ljust(200, b'\\0'), sys.argv[1].encode().ljust(200, b'\\0')
path = ctypes.create_string_buffer(good, 200)
stop = False
def flip():
    while not stop:
        path.raw = good; path.raw = bad
thread = threading.Thread(target=flip); thread.start()
arguments = (ctypes.c_char_p * 2)(b'x', None)
for _ in range(50):
    child = os.fork()
    if child == 0:
        flipping = threading.Thread(target=flip); flipping.start()
        libc.syscall(59, path, arguments, None)
        os._exit(0)
    os.waitpid(child, 0)
stop = True; thread.join()
";

#[test]
fn sys_15_a_program_whose_name_changes_while_it_is_looked_at_is_no_other_one() {
    if skip::program("python3").is_none() || cfg!(not(target_arch = "x86_64")) {
        return;
    }
    in_both_tiers(|tier, inside, outside| {
        for (folder, name, says) in [(inside, "harmless", "echo fine"), (outside, "prog", "echo HAPPENED")] {
            let path = folder.write(name, &format!("#!/bin/sh\n{says}\n"));
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let program = outside.join("prog").display().to_string();
        let command = ["python3", "-c", RACE_OF_PROGRAMS, &program];
        let output = in_tier(tier, inside.path(), &["--explain"], &command).output().unwrap();
        assert!(text(&output.stdout).contains("fine"), "the race was run: {output:?}");
        assert!(!text(&output.stdout).contains("HAPPENED"), "{tier}: {output:?}");
    });
}
