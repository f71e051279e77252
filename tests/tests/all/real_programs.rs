//! Real programs under `dev` do the same inside as outside.

use cofferdam_tests::command::{run, shell, text};
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

/// Runs the same shell line outside and inside, each in a fresh workspace, and compares output and exit code.
#[track_caller]
fn assert_same(prepare: impl Fn(&Scratch), line: &str) {
    let (outside, inside) = (Scratch::new(), Scratch::new());
    prepare(&outside);
    prepare(&inside);
    let expected = Command::new("sh").args(["-c", line]).current_dir(outside.path()).output().unwrap();
    let seen = shell(inside.path(), line);
    let both = format!("outside: {expected:?}\ninside: {seen:?}");
    assert_eq!(expected.status.code(), seen.status.code(), "{both}");
    assert_eq!(text(&expected.stdout), text(&seen.stdout), "{both}");
    assert_eq!(expected.status.code(), Some(0), "the control itself failed: {both}");
}

#[test]
fn python_with_processes_threads_and_loopback_sockets() {
    if skip::program("python3").is_none() {
        return;
    }
    let script = r#"
import socket, subprocess, threading, tempfile, sqlite3, multiprocessing
print(subprocess.check_output(["echo", "child"]).decode().strip())
server = socket.create_server(("127.0.0.1", 0))
def serve():
    peer, _ = server.accept()
    peer.sendall(peer.recv(100).upper())
    peer.close()
thread = threading.Thread(target=serve); thread.start()
client = socket.create_connection(server.getsockname()); client.sendall(b"loopback")
print(client.recv(100).decode()); thread.join()
with tempfile.NamedTemporaryFile() as file:
    file.write(b"x"); print("temporary file")
db = sqlite3.connect("base.db"); db.execute("create table t (a)"); db.execute("insert into t values (42)"); db.commit()
print(db.execute("select a from t").fetchone()[0])
queue = multiprocessing.Queue()
process = multiprocessing.Process(target=queue.put, args=("from a process",)); process.start(); print(queue.get()); process.join()
"#;
    assert_same(|scratch| drop(scratch.write("script.py", script)), "python3 script.py");
}

#[test]
fn node_script() {
    if skip::program("node").is_none() {
        return;
    }
    let script = "const fs=require('fs');fs.writeFileSync('o','node');const {execSync}=require('child_process');\
                  console.log(fs.readFileSync('o','utf8'),execSync('echo child').toString().trim());\
                  new (require('worker_threads').Worker)('console.log(\"worker\")',{eval:true});";
    assert_same(|scratch| drop(scratch.write("script.js", script)), "node script.js");
}

#[test]
fn git_init_add_commit_and_clone() {
    if skip::program("git").is_none() {
        return;
    }
    let line = "export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b \
                GIT_AUTHOR_DATE='2020-01-01T00:00:00Z' GIT_COMMITTER_DATE='2020-01-01T00:00:00Z'; \
                mkdir r && cd r && git init -q -b main . && echo x > f && git add f && git commit -qm one && cd .. && \
                git clone -q r c && cd c && git log --format=%H && cat f && git status --short";
    assert_same(|_| {}, line);
}

#[test]
fn c_program_compiled_and_run() {
    if skip::program("gcc").is_none() {
        return;
    }
    let source = "#include <stdio.h>\nint main(void){printf(\"%d\\n\", 6*7);return 0;}\n";
    assert_same(|scratch| drop(scratch.write("a.c", source)), "gcc -O1 -o a a.c && ./a");
}

#[test]
fn make_with_two_jobs() {
    if skip::program("make").is_none() {
        return;
    }
    let rules = "all: a b\n\t@cat a b\na:\n\t@echo one > a\nb:\n\t@echo two > b\n";
    assert_same(|scratch| drop(scratch.write("Makefile", rules)), "make -s -j2");
}

#[test]
fn cargo_build_of_a_small_crate() {
    let Some(cargo) = skip::program("cargo") else { return };
    if Command::new(&cargo).arg("--version").output().is_ok_and(|output| !output.status.success()) {
        return skip::skipped("cargo is here but does not run for this user");
    }
    let prepare = |scratch: &Scratch| {
        scratch
            .write("Cargo.toml", "[package]\nname = \"small\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n");
        scratch.write("src/main.rs", "fn main() { println!(\"built inside\"); }\n");
    };
    assert_same(prepare, "unset CARGO_TARGET_DIR; cargo build -q --offline && ./target/debug/small");
}

#[test]
fn a_pipeline_of_ten_stages() {
    let line = "seq 1 1000 | grep 7 | sort -r | uniq | awk '{print $1*2}' | sed 's/1/x/' | tr x y | head -50 | tail -20 | wc -l";
    assert_same(|_| {}, line);
}

#[test]
fn two_hundred_megabytes_through_stdin_to_stdout() {
    let scratch = Scratch::new();
    let mut child = run(scratch.path(), &[], &["cat"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        let block = [7_u8; 1 << 20];
        (0..200).try_for_each(|_| input.write_all(&block))
    });
    let (mut seen, mut output, mut block) = (0, child.stdout.take().unwrap(), vec![0; 1 << 20]);
    loop {
        let got = output.read(&mut block).unwrap();
        if got == 0 {
            break;
        }
        assert!(block[..got].iter().all(|byte| *byte == 7));
        seen += got;
    }
    writer.join().unwrap().unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(seen, 200 << 20);
}

#[test]
fn exit_codes_pass_through_and_signals_are_128_and_more() {
    let scratch = Scratch::new();
    assert_eq!(shell(scratch.path(), "exit 7").status.code(), Some(7));
    assert_eq!(shell(scratch.path(), "kill -TERM $$").status.code(), Some(128 + 15));
    assert_eq!(run(scratch.path(), &[], &["no-such-program"]).output().unwrap().status.code(), Some(127));
}

#[test]
fn json_prints_one_object_with_output_and_what_held() {
    let scratch = Scratch::new();
    let output = run(scratch.path(), &["--json"], &["sh", "-c", "echo out; echo err >&2; exit 3"]).output().unwrap();
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["exit_code"], 3, "{value}");
    assert_eq!(value["stdout"], "out\n");
    assert_eq!(value["stderr"], "err\n");
    assert_eq!(value["enforcement"]["tier"], "full");
}
