//! Path sockets: a guest reaches its own, and no service of the host, wherever that put its socket.

use cofferdam_tests::command::{run_without_namespaces, shell, text};
use cofferdam_tests::observe::within;
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::{Command, Output};
use std::time::Duration;

type Runner = fn(&Scratch, &str) -> Output;

/// Both tiers; what holds must hold in each.
const TIERS: [Runner; 2] = [
    |scratch, line| shell(scratch.path(), line),
    |scratch, line| {
        let options = ["--isolation", "landlock"];
        run_without_namespaces(scratch.path(), &options, &["sh", "-c", line]).output().unwrap()
    },
];

/// Tries every way to two sockets of somebody else.
const ATTACK: &str = r#"
import os, socket
def stream(path):
    s = socket.socket(socket.AF_UNIX); s.connect(path); s.send(b"x")
def later(path):
    s = socket.socket(socket.AF_UNIX); s.setblocking(False); s.connect(path); s.send(b"x")
def sequence(path):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.connect(path)
def datagram(path):
    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"x", path)
def pair(path):
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM); a.sendto(b"x", path)
def raw(path):
    socket.socket(socket.AF_UNIX, socket.SOCK_RAW).sendto(b"x", path)
os.symlink("docker.sock", "link")
os.mkdir("deep")
try: os.link("docker.sock", "hard")
except OSError: pass
ways = [(way, path) for path in ["docker.sock", "link", "hard", os.path.abspath("docker.sock"), "deep/../docker.sock"]
        for way in [stream, later, sequence]]
for way, path in ways + [(datagram, "log"), (pair, "log"), (raw, "log")]:
    try:
        way(path)
        print("REACHED", way, path)
    except OSError:
        print("no")
"#;

#[test]
fn ipc_01_services_of_the_host_are_not_reached_through_sockets_in_the_workspace() {
    if skip::program("python3").is_none() {
        return;
    }
    for in_tier in TIERS {
        let scratch = Scratch::new();
        let stream = UnixListener::bind(scratch.join("docker.sock")).unwrap();
        let datagrams = UnixDatagram::bind(scratch.join("log")).unwrap();
        stream.set_nonblocking(true).unwrap();
        datagrams.set_nonblocking(true).unwrap();
        scratch.write("attack.py", ATTACK);
        let seen = in_tier(&scratch, "python3 attack.py");
        assert_eq!(text(&seen.stdout), "no\n".repeat(18), "{seen:?}");
        assert!(stream.accept().is_err(), "a connection arrived: {seen:?}");
        assert!(datagrams.recv(&mut [0; 8]).is_err(), "a message arrived: {seen:?}");
        for made in ["link", "hard"] {
            let _ = std::fs::remove_file(scratch.join(made));
        }
        std::fs::remove_dir(scratch.join("deep")).unwrap();
        let control = Command::new("python3").arg("attack.py").current_dir(scratch.path()).output().unwrap();
        assert!(text(&control.stdout).contains("REACHED") && stream.accept().is_ok(), "control: {control:?}");
        assert!(datagrams.recv(&mut [0; 8]).is_ok(), "control: {control:?}");
    }
}

#[test]
fn a_refused_socket_is_explained() {
    let scratch = Scratch::new();
    let _service = UnixListener::bind(scratch.join("agent")).unwrap();
    let line = "python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect(\"agent\")'";
    if skip::program("python3").is_none() {
        return;
    }
    let output = shell(scratch.path(), line);
    assert!(text(&output.stderr).contains("socket.connect of"), "{output:?}");
    assert!(!text(&output.stderr).contains("to allow it"), "no rule opens it: {output:?}");
}

#[test]
fn a_guest_s_own_sockets_work() {
    if skip::program("python3").is_none() {
        return;
    }
    let script = r#"
import asyncio, os, socket, stat, subprocess, sys, threading, time
def serve(server, times=1):
    for _ in range(times):
        peer, _ = server.accept(); peer.sendall(peer.recv(100).upper()); peer.close()
for path in ["own.sock", os.path.abspath("own2.sock"), os.environ["TMPDIR"] + "/t.sock"]:
    old = os.umask(0o027)
    server = socket.socket(socket.AF_UNIX); server.bind(path); server.listen(5)
    os.umask(old)
    print(oct(stat.S_IMODE(os.stat(path).st_mode)))
    try: socket.socket(socket.AF_UNIX).bind(path); print("twice")
    except OSError as e: print(e.strerror)
    thread = threading.Thread(target=serve, args=(server,)); thread.start()
    client = socket.socket(socket.AF_UNIX); client.connect(path); client.sendall(b"own"); print(client.recv(100)); thread.join()
os.rename("own2.sock", "moved.sock")
# A child process is the guest, too; a full queue of connections keeps nobody else waiting.
server = socket.socket(socket.AF_UNIX); server.bind("full.sock"); server.listen(0)
def knock():
    try: c = socket.socket(socket.AF_UNIX); c.connect("full.sock"); c.recv(10)
    except OSError: pass
for _ in range(4): threading.Thread(target=knock, daemon=True).start()
time.sleep(0.2)
open("made-meanwhile", "w").close(); print(os.path.exists("made-meanwhile"))
a, b = socket.socketpair(); a.send(b"pair"); print(b.recv(10))
async def main():
    async def handle(reader, writer):
        writer.write(await reader.read(10)); await writer.drain(); writer.close()
    server = await asyncio.start_unix_server(handle, "async.sock")
    reader, writer = await asyncio.open_unix_connection("async.sock")
    writer.write(b"asyncio"); writer.write_eof(); print(await reader.read(10)); server.close()
asyncio.run(main())
try: socket.socket(socket.AF_UNIX).connect("nowhere"); print("connected")
except OSError as e: print(e.strerror)
try: socket.socket(socket.AF_UNIX).connect("made-meanwhile"); print("connected")
except OSError as e: print(e.strerror)
sys.stdout.flush(); os._exit(0)
"#;
    for in_tier in TIERS {
        let (inside, outside) = (Scratch::new(), Scratch::new());
        for scratch in [&inside, &outside] {
            scratch.write("script.py", script);
        }
        let mut control = Command::new("python3");
        control.arg("script.py").current_dir(outside.path()).env("TMPDIR", outside.path());
        let (control, seen) = (control.output().unwrap(), in_tier(&inside, "python3 script.py"));
        assert_eq!(control.status.code(), Some(0), "control: {control:?}");
        assert_eq!(text(&control.stdout), text(&seen.stdout), "{seen:?}");
    }
}

#[test]
fn a_socket_takes_no_protected_name() {
    if skip::program("python3").is_none() {
        return;
    }
    let scratch = Scratch::new();
    let line = "python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\".envrc\")'";
    let output = shell(scratch.path(), line);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(!scratch.join(".envrc").exists());
}

/// Connections that wait take a thread of the host's each; a guest that kills who waits must not pile them up.
#[test]
fn connections_that_nobody_waits_for_any_more_do_not_pile_up() {
    if skip::program("python3").is_none() {
        return;
    }
    const SCRIPT: &str = "
import os, signal, socket, time
server = socket.socket(socket.AF_UNIX); server.bind('full'); server.listen(0)
for n in range(700):
    child = os.fork()
    if child == 0:
        s = socket.socket(socket.AF_UNIX)
        # Each holds what it connects, so that the queue is full soon.
        while True:
            try: s.connect('full'); s = socket.socket(socket.AF_UNIX)
            except OSError: os._exit(0)
    time.sleep(0.002); os.kill(child, signal.SIGKILL); os.waitpid(child, 0)
open('done', 'w').close()
while not os.path.exists('go'): time.sleep(0.01)
";
    let scratch = Scratch::new();
    scratch.write("script.py", SCRIPT);
    let mut command =
        cofferdam_tests::command::run(scratch.path(), &["--no-tty"], &["python3", "script.py"]).spawn().unwrap();
    let done = within(Duration::from_secs(60), || scratch.join("done").exists());
    let status = std::fs::read_to_string(format!("/proc/{}/status", command.id())).unwrap();
    let threads: u64 = status.lines().find_map(|line| line.strip_prefix("Threads:")?.trim().parse().ok()).unwrap();
    std::fs::write(scratch.join("go"), "").unwrap();
    assert!(command.wait().unwrap().success());
    assert!(done && threads < 200, "{threads} threads");
}
