//! Where namespaces are refused: Landlock, seccomp and the broker alone hold the same policy.

use cofferdam_tests::command::{run_without_namespaces, text};
use cofferdam_tests::observe::{processes_with, within};
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

const TIER: [&str; 2] = ["--isolation", "landlock"];
const SECOND: Duration = Duration::from_secs(1);

fn shell(scratch: &Scratch, line: &str) -> Output {
    run_without_namespaces(scratch.path(), &TIER, &["sh", "-c", line]).output().unwrap()
}

fn outside(scratch: &Scratch, line: &str) -> Output {
    Command::new("sh").args(["-c", line]).current_dir(scratch.path()).output().unwrap()
}

/// The line prints the same in the tier as outside.
#[track_caller]
fn assert_same(line: &str) {
    let (inside, other) = (Scratch::new(), Scratch::new());
    let (seen, expected) = (shell(&inside, line), outside(&other, line));
    assert_eq!(expected.status.code(), Some(0), "the control itself failed: {expected:?}");
    assert_eq!((text(&expected.stdout), Some(0)), (text(&seen.stdout), seen.status.code()), "{line}: {seen:?}");
}

/// A Python expression fails in the tier with an `OSError` and succeeds outside.
#[track_caller]
fn assert_refused(expression: &str) {
    let script = format!(
        "import os, socket, resource, ctypes, fcntl\ntry:\n    {expression}\n    print('HAPPENED')\nexcept OSError:\n    print('refused')"
    );
    let scratch = Scratch::new();
    fs::write(scratch.join("script.py"), script).unwrap();
    assert_eq!(text(&outside(&scratch, "python3 script.py").stdout), "HAPPENED\n", "control: {expression}");
    let output = shell(&scratch, "python3 script.py");
    assert_eq!(text(&output.stdout), "refused\n", "{expression}: {output:?}");
}

#[test]
fn programs_do_the_same_as_outside() {
    for line in [
        "seq 1 1000 | cat | sort -n | tail -1 | rev | rev | tr 0 0 | sed s/a/b/ | awk '{print}' | cat",
        "mkdir -p a/b && echo x > a/b/c && mv a d && cp -p d/b/c e && touch -d @5 e && stat -c %Y e && rm -r d && ls",
        "f=$(mktemp) && echo temporary > $f && cat $f && test -r /proc/self/maps && echo own",
        "for i in 1 2 3; do (sleep 0.01; echo $i > out.$i) & done; wait; cat out.*",
    ] {
        assert_same(line);
    }
}

#[test]
fn python_and_node_do_the_same_as_outside() {
    if skip::program("python3").is_some() {
        assert_same(
            "python3 -c 'import subprocess, tempfile, threading, sqlite3, os
print(subprocess.check_output([\"echo\", \"child\"]).decode())
with tempfile.NamedTemporaryFile() as file: file.write(b\"x\"); print(\"temporary\")
base = sqlite3.connect(\"base.db\"); base.execute(\"create table t (a)\"); base.execute(\"insert into t values (42)\"); base.commit()
print(base.execute(\"select a from t\").fetchone()[0]); print(len(os.listdir(\"/proc/self/fd\")) > 2)'",
        );
    }
    if skip::program("node").is_some() {
        assert_same(
            "echo 'const c = require(\"child_process\"), f = require(\"fs\"); f.writeFileSync(\"x\", \"y\"); \
             console.log(c.execSync(\"echo child\").toString(), f.readFileSync(\"x\", \"utf8\"))' > s.js && node s.js",
        );
    }
}

#[test]
fn git_gcc_and_make_do_the_same_as_outside() {
    if skip::program("git").is_some() {
        assert_same(
            "git init -q a && cd a && git config user.email a@b.c && git config user.name n && echo 1 > f && git add f && \
             git commit -qm first && git log --format=%s && cd .. && git clone -q a b && cat b/f",
        );
    }
    if skip::program("gcc").is_some() && skip::program("make").is_some() {
        assert_same(
            "printf '#include <stdio.h>\\nint main(void) { puts(\"compiled\"); }\\n' > a.c && \
             printf 'a: a.c\\n\\tgcc -o a a.c\\n' > Makefile && make -s -j2 && ./a",
        );
    }
}

#[test]
fn fs_01_files_outside_are_neither_read_nor_changed() {
    let (other, inside) = (Scratch::new(), Scratch::new());
    let canary = other.write("canary", "SECRET-CANARY");
    symlink(&canary, inside.join("planted")).unwrap();
    let (path, folder) = (canary.display(), other.path().display());
    let before = fs::metadata(&canary).unwrap();
    for line in [
        format!("cat {path}"),
        "cat planted".to_owned(),
        format!("cat /proc/self/root{path}"),
        format!("cat ../../../../..{path}"),
        format!("cd {folder} && cat canary"),
        format!("ln {path} hard && cat hard"),
        format!("cp {path} copy; cat copy"),
        format!("mv {path} here; cat here"),
        format!("echo changed > {path}"),
        "echo changed > planted".to_owned(),
        format!("chmod 777 {path}"),
        format!("touch -d @1 {path}"),
        format!("rm -f {path}"),
        format!("truncate -s 0 {path}"),
        format!("echo new > {folder}/new; mkdir {folder}/newer; ln -s x {folder}/newest"),
        format!("ls {folder}"),
    ] {
        let output = shell(&inside, &line);
        assert!(!text(&output.stdout).contains("SECRET"), "{line}: {output:?}");
        let now = fs::metadata(&canary).unwrap();
        let facts = |metadata: &fs::Metadata| (metadata.permissions().mode(), metadata.mtime(), metadata.ino());
        assert_eq!(facts(&before), facts(&now), "{line}: {output:?}");
        assert_eq!(fs::read_dir(other.path()).unwrap().count(), 1, "{line}: {output:?}");
    }
    assert_eq!(fs::read_to_string(&canary).unwrap(), "SECRET-CANARY");
}

#[test]
fn the_place_that_a_rule_names_is_changed_but_not_removed_or_replaced() {
    let (other, inside) = (Scratch::new(), Scratch::new());
    let file = other.write("file", "old");
    let path = file.display().to_string();
    let options = ["--isolation", "landlock", "--write", &path];
    let run = |line: &str| run_without_namespaces(inside.path(), &options, &["sh", "-c", line]).output().unwrap();
    let written = run(&format!("echo new > {path}"));
    assert_eq!(fs::read_to_string(&file).unwrap(), "new\n", "{written:?}");
    let inode = fs::metadata(&file).unwrap().ino();
    for line in [
        format!("rm {path}"),
        format!("mv {path} taken"),
        format!("ln -sf /etc/passwd {path}"),
        format!("echo x > made; mv made {path}"),
        "rmdir $PWD; mv $PWD ../elsewhere; rm -rf $PWD".to_owned(),
    ] {
        let output = run(&line);
        assert_eq!(fs::symlink_metadata(&file).map(|file| file.ino()).ok(), Some(inode), "{line}: {output:?}");
        assert!(inside.path().is_dir(), "{line}: {output:?}");
    }
}

#[test]
fn what_is_denied_or_protected_in_the_workspace_stays_so() {
    let scratch = Scratch::new();
    scratch.write("secret/key", "SECRET-KEY");
    scratch.write(".git/hooks/post-commit", "old");
    scratch.write(".git/config", "[core]\n");
    let policy = scratch.write(
        "policy.toml",
        "version = 1\nextends = \"dev\"\n[filesystem]\ndeny = [\"{workspace}/secret/key\"]\n[isolation]\nrequire = \"landlock\"\n",
    );
    let policy = policy.to_str().unwrap();
    for line in [
        "cat secret/key; cd secret && cat key",
        "ln -s secret other; cat other/key",
        "ln secret/key hard; cat hard",
        "mv secret open; cat open/key",
        "cat /proc/self/cwd/secret/key",
        "echo evil > .git/hooks/post-commit",
        "echo evil > .git/hooks/pre-push",
        "mv .git .moved && mkdir -p .git/hooks && echo evil > .git/hooks/post-commit",
        "rm -rf .git/hooks",
        "echo evil > .envrc",
    ] {
        let run = run_without_namespaces(scratch.path(), &["--policy", policy], &["sh", "-c", line]).output().unwrap();
        assert_ne!(run.status.code(), Some(125), "{line} was not run: {run:?}");
        assert!(!text(&run.stdout).contains("SECRET"), "{line}: {run:?}");
        assert_eq!(fs::read_to_string(scratch.join(".git/hooks/post-commit")).unwrap(), "old", "{line}");
        assert_eq!(fs::read_dir(scratch.join(".git/hooks")).unwrap().count(), 1, "{line}");
        assert!(!scratch.join(".envrc").exists(), "{line}");
        assert_eq!(fs::read_to_string(scratch.join("secret/key")).unwrap(), "SECRET-KEY", "{line}");
    }
}

#[test]
fn host_processes_are_neither_looked_at_nor_signalled() {
    let mut victim = Command::new("sleep").arg("987654").env("VICTIM", "SECRET-ENVIRONMENT").spawn().unwrap();
    let (pid, scratch) = (victim.id(), Scratch::new());
    let line = format!(
        "cat /proc/{pid}/environ /proc/{pid}/cmdline; ls /proc; ls /proc/{pid}/fd; kill -9 {pid}; kill -9 -1; kill -0 {pid} && echo REACHED"
    );
    // It runs a little before its variables can be seen.
    let control = || text(&outside(&scratch, &format!("cat /proc/{pid}/environ")).stdout).contains("SECRET");
    assert!(within(SECOND, control));
    let output = shell(&scratch, &line);
    assert!(!text(&output.stdout).contains("SECRET") && !text(&output.stdout).contains("REACHED"), "{output:?}");
    assert!(!text(&output.stdout).contains("987654"), "{output:?}");
    assert_eq!(victim.try_wait().unwrap(), None, "the host's process was ended: {output:?}");
    if skip::program("python3").is_some() {
        assert_refused(&format!("os.sched_setaffinity({pid}, [0])"));
        assert_refused(&format!("os.setpriority(os.PRIO_PROCESS, {pid}, 19)"));
        assert_refused(&format!("resource.prlimit({pid}, resource.RLIMIT_NOFILE, (10, 10))"));
        assert_refused(&format!("os.kill({pid}, 0)"));
    }
    victim.kill().unwrap();
    victim.wait().unwrap();
}

#[test]
fn no_socket_leaves_the_run() {
    if skip::program("python3").is_none() {
        return;
    }
    let scratch = Scratch::new();
    let service = UnixListener::bind(scratch.join("service")).unwrap();
    let path = scratch.join("service");
    assert_refused(&format!("socket.socket(socket.AF_UNIX).connect('{}')", path.display()));
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = tcp.local_addr().unwrap().port();
    assert_refused(&format!("socket.create_connection(('127.0.0.1', {port}))"));
    assert_refused("socket.socket().listen()");
    assert_refused("socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))");
    for listener in [service.set_nonblocking(true), tcp.set_nonblocking(true)] {
        listener.unwrap();
    }
    // The controls outside connected once each; nobody else did.
    assert!(service.accept().is_ok() && service.accept().is_err());
    assert!(tcp.accept().is_ok() && tcp.accept().is_err());
}

#[test]
fn metadata_of_what_can_only_be_read_cannot_be_changed() {
    if skip::program("python3").is_none() {
        return;
    }
    let (other, inside) = (Scratch::new(), Scratch::new());
    let file = other.write("file", "words");
    let script = format!(
        "import os, fcntl\nf = os.open('{0}', os.O_RDONLY)\nfor change in [lambda: os.fchmod(f, 0o777), lambda: os.utime(f, (1, 1)), \
         lambda: os.setxattr(f, 'user.x', b'y'), lambda: os.fchown(f, -1, os.getgid()), \
         lambda: fcntl.ioctl(f, 0x40086602, (128).to_bytes(8, 'little'))]:\n    try:\n        change(); print('CHANGED')\n    except OSError as e:\n        print('refused')\n",
        file.display()
    );
    inside.write("script.py", &script);
    let read = file.to_str().unwrap();
    let options = ["--isolation", "landlock", "--read", read];
    let before = fs::metadata(&file).unwrap();
    let run = run_without_namespaces(inside.path(), &options, &["python3", "script.py"]).output().unwrap();
    assert_eq!(text(&run.stdout), "refused\n".repeat(5), "{run:?}");
    let after = fs::metadata(&file).unwrap();
    assert_eq!((before.mode(), before.mtime(), before.ctime_nsec()), (after.mode(), after.mtime(), after.ctime_nsec()));
}

/// A run with a daemon of its own, and its temporary directory; the guard and the launcher, by number.
struct Started {
    command: Child,
    guard: u32,
    launcher: u32,
    mark: String,
    temporary: PathBuf,
}

fn child_of(parent: u32) -> u32 {
    let numbers = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_child = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest).to_owned();
        rest.split_ascii_whitespace().nth(1) == Some(&parent.to_string())
    };
    numbers.into_iter().find(is_child).unwrap_or_else(|| panic!("{parent} has no child"))
}

fn started(scratch: &Scratch, number: u32) -> Started {
    let mark = format!("8{:05}{number:02}", std::process::id() % 100_000);
    let line = format!(
        "echo $TMPDIR > where.new; mkdir -p $TMPDIR/a/b/c; touch $TMPDIR/a/b/c/d; ln -s / $TMPDIR/a/root; chmod 0 $TMPDIR/a/b; \
         setsid sh -c 'setsid sleep {mark} > /dev/null 2>&1 < /dev/null &'; mv where.new where; sleep {mark}"
    );
    let mut run = run_without_namespaces(scratch.path(), &TIER, &["sh", "-c", &line]);
    let command = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let place = scratch.join("where");
    assert!(within(SECOND * 10, || place.exists() && processes_with(&format!("sleep\0{mark}")).len() == 2));
    let temporary = PathBuf::from(fs::read_to_string(place).unwrap().trim());
    assert!(temporary.join("a").is_dir());
    let guard = child_of(command.id());
    Started { guard, launcher: child_of(guard), command, mark, temporary }
}

#[test]
fn whoever_of_the_run_s_overseers_is_killed_nothing_outlives_it() {
    for (number, who) in ["command", "guard", "launcher"].into_iter().enumerate() {
        let scratch = Scratch::new();
        let mut started = started(&scratch, u32::try_from(number).unwrap());
        let victim = match who {
            "command" => started.command.id(),
            "guard" => started.guard,
            _ => started.launcher,
        };
        kill(Pid::from_raw(victim.cast_signed()), Signal::SIGKILL).unwrap();
        assert!(within(SECOND, || processes_with(&started.mark).is_empty()), "{who}: the guest lives on");
        started.command.wait().unwrap();
        // A directory that the guest has closed is opened by the guard; without a guard root alone can.
        if who != "guard" {
            assert!(within(SECOND, || !started.temporary.exists()), "{who}: {} is left", started.temporary.display());
        }
        let _ = fs::set_permissions(started.temporary.join("a/b"), fs::Permissions::from_mode(0o700));
        let _ = fs::remove_dir_all(&started.temporary);
    }
}

#[test]
fn limits_end_the_run_and_say_so() {
    let scratch = Scratch::new();
    let cases = [
        (vec!["--timeout", "200ms"], "trap '' TERM; sleep 60", "timed_out"),
        (vec!["--processes", "40"], "sh -c 'for i in $(seq 200); do sleep 60 & done; wait'; sleep 60", "limit"),
    ];
    for (options, line, cause) in cases {
        let options: Vec<&str> = TIER.into_iter().chain(["--json"]).chain(options).collect();
        let output = run_without_namespaces(scratch.path(), &options, &["sh", "-c", line]).output().unwrap();
        let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(value["cause"]["cause"], cause, "{value}");
        assert_eq!(value["enforcement"]["tier"], "landlock");
    }
}

#[test]
fn a_policy_that_asks_for_everything_is_refused_and_told_what_would_do() {
    let scratch = Scratch::new();
    let output = run_without_namespaces(scratch.path(), &[], &["touch", "made"]).output().unwrap();
    assert_eq!(output.status.code(), Some(125), "{output:?}");
    assert!(text(&output.stderr).contains("--isolation landlock"), "{output:?}");
    assert!(!scratch.join("made").exists());
}

#[test]
fn a_denied_program_among_allowed_ones_is_refused_before_anything_runs() {
    let scratch = Scratch::new();
    let program = scratch.write("tools/evil", "#!/bin/sh\ntouch made\n");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let policy = scratch.write(
        "policy.toml",
        "version = 1\nextends = \"dev\"\n[commands]\ndeny = [\"{workspace}/tools\"]\n[isolation]\nrequire = \"landlock\"\n",
    );
    let options = ["--policy", policy.to_str().unwrap()];
    let output = run_without_namespaces(scratch.path(), &options, &["sh", "-c", "tools/evil"]).output().unwrap();
    assert_eq!(output.status.code(), Some(125), "{output:?}");
    assert!(!scratch.join("made").exists());
}
