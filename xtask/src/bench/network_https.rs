//! The rows of `cargo xtask bench network` about requests inside TLS: a connection that is ended and begun anew on the way against the same
//! from end to end, both by name out of a sandbox, and neither.

use super::network::{Server, against_first};
use super::rounds::{Subject, measure};
use super::table::Table;
use crate::workspace::say;
use std::path::Path;
use std::process::{Command, Stdio};

/// Bytes of one answer.
const BYTES: &str = "268435456";
/// Connections of a round, of which the median counts.
const CONNECTIONS: &str = "100";

/// What is measured, its unit.
const KINDS: [(&str, &str, &str, &str); 2] = [
    ("receive", "network-https-receive", "Gbit/s of one answer inside TLS; more is better", BYTES),
    ("connect", "network-https-connect", "connect, begin TLS, ask and be answered, µs; less is better", CONNECTIONS),
];

const HEAD: [&str; 5] = ["subject", "median", "p25–p75", "× end to end", "its p25–p75"];

/// Answers over TLS with as many bytes as the path says.
const SERVER: &str = r#"
import os, socket, ssl, sys, threading
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); context.load_cert_chain('leaf.pem', 'leaf.key')
listener = socket.create_server(('127.0.0.1', 0), backlog=64); block = bytes(1 << 17)
print(listener.getsockname()[1], flush=True)
def serve(raw):
    try:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream = context.wrap_socket(raw, server_side=True); asked = b''
        while not asked.endswith(b'\r\n\r\n'): asked += stream.recv(4096)
        left = int(asked.split()[1][1:])
        stream.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n' % left)
        while left > 0: left -= stream.send(block[:min(left, len(block))])
        stream.recv(1)
    except OSError: pass
def accept():
    while True: threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
threading.Thread(target=accept, daemon=True).start(); sys.stdin.read(); os._exit(0)
"#;

/// Seconds for one answer, or the median of microseconds for short ones.
const CLIENT: &str = r#"
import os, socket, ssl, sys, time
kind, host, port, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
context = ssl.create_default_context(); buffer = bytearray(1 << 17)
def ask(length):
    raw = socket.create_connection((host, port)); raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream = context.wrap_socket(raw, server_hostname='load.test')
    stream.sendall(b'GET /%d HTTP/1.1\r\nHost: load.test:%d\r\n\r\n' % (length, port))
    left, head = length, b''
    while b'\r\n\r\n' not in head: head += stream.recv(256)
    if not head.startswith(b'HTTP/1.1 200'): sys.exit('refused')
    left -= len(head.split(b'\r\n\r\n', 1)[1])
    while left > 0: left -= stream.recv_into(buffer)
    stream.close()
times = []
for _ in range(1 if kind == 'receive' else count):
    begun = time.perf_counter(); ask(count if kind == 'receive' else 1); times.append(time.perf_counter() - begun)
times.sort(); print(count * 8 / times[0] / 1e9 if kind == 'receive' else times[len(times) // 2] * 1e6)
"#;

/// Measures, in `folder`, where the tools for it are installed.
pub(super) fn run(binary: &str, folder: &Path, rounds: usize) -> Result<(), String> {
    let has = |name: &str| Command::new(name).arg("--version").output().is_ok();
    if !has("python3") || Command::new("openssl").arg("version").output().is_err() {
        say("no python3 or no openssl: requests inside TLS are not measured");
        return Ok(());
    }
    // The workspace is apart from the keys, which no rule may show.
    let place = folder.join("w");
    std::fs::create_dir_all(&place).map_err(|error| error.to_string())?;
    for name in ["world", "own"] {
        authority(folder, name)?;
    }
    leaf(folder)?;
    write(&place.join("client.py"), CLIENT)?;
    write(&place.join("world.pem"), &read(&folder.join("world.pem"))?)?;
    let server = serve(folder)?;
    let policies = [policy(folder, &server.port, true)?, policy(folder, &server.port, false)?];
    KINDS.iter().try_for_each(|kind| transfers(kind, binary, folder, &server.port, &policies, rounds))
}

fn transfers(
    (kind, name, what, count): &(&str, &'static str, &'static str, &str),
    binary: &str,
    folder: &Path,
    port: &str,
    [ended, whole]: &[String; 2],
    rounds: usize,
) -> Result<(), String> {
    let lead = format!("load.test:{port}=127.0.0.1:{port}");
    let place = folder.join("w");
    let inside = |policy: &str| {
        let line =
            [binary, "run", "--policy", policy, "--resolve", &lead, "--no-tty", "--env", "SSL_CERT_FILE=world.pem"];
        let client = ["--", "python3", "client.py", kind, "load.test", port, count];
        line.into_iter().chain(client).map(str::to_owned).collect::<Vec<_>>()
    };
    let direct = ["python3", "client.py", kind, "127.0.0.1", port, count].map(str::to_owned).to_vec();
    let (place, world) = (&place, &folder.join("world.pem"));
    let subject = |name: &str, line: Vec<String>| Subject::new(name, move || told(&line, place, world));
    let subjects = vec![
        subject("TLS from end to end out of a sandbox", inside(whole)),
        subject("TLS ended for rules about requests", inside(ended)),
        subject("TLS directly over loopback", direct),
    ];
    let mut table = Table::new(name, *what, &HEAD);
    against_first(&mut table, &measure(subjects, rounds, 1)?, if *kind == "connect" { 0 } else { 2 });
    table.emit()
}

fn told(line: &[String], place: &Path, world: &Path) -> Result<f64, String> {
    let (program, arguments) = line.split_first().ok_or("nothing to run")?;
    let mut command = Command::new(program);
    command.args(arguments).current_dir(place).env("SSL_CERT_FILE", world).env_remove("SSL_CERT_DIR");
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    text.parse().map_err(|_| format!("it printed `{text}` and said {}", String::from_utf8_lossy(&output.stderr)))
}

/// A policy that allows the server, and looks at what is asked of it or not.
fn policy(folder: &Path, port: &str, looks: bool) -> Result<String, String> {
    let path = folder.join(if looks { "ended.toml" } else { "whole.toml" });
    let (certificate, key) = (folder.join("own.pem"), folder.join("own.key"));
    let rules = format!(
        "http = [\"GET https://load.test:{port}/\"]\nhttp_authority = {{ certificate = {certificate:?}, key = {key:?} }}\n"
    );
    let allow = format!("allow = [\"load.test:{port}\", \"127.0.0.1:{port}\"]");
    let head = "version = 1\nextends = \"dev\"\n[network]\nmode = \"allowlist\"";
    write(&path, &format!("{head}\n{allow}\n{}", if looks { &rules } else { "" }))?;
    Ok(path.display().to_string())
}

fn authority(folder: &Path, name: &str) -> Result<(), String> {
    let (certificate, key, subject) = (format!("{name}.pem"), format!("{name}.key"), format!("/CN={name}"));
    let made = [
        "req",
        "-x509",
        "-nodes",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-days",
        "2",
        "-subj",
        &subject,
    ];
    let usage = ["-addext", "keyUsage=critical,keyCertSign", "-keyout", &key, "-out", &certificate];
    openssl(folder, &[&made[..], &usage].concat())
}

fn leaf(folder: &Path) -> Result<(), String> {
    write(&folder.join("leaf.txt"), "subjectAltName=DNS:load.test\nextendedKeyUsage=serverAuth\n")?;
    let asked = ["req", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-subj", "/CN=leaf"];
    openssl(folder, &[&asked[..], &["-keyout", "leaf.key", "-out", "leaf.csr"]].concat())?;
    let signed = ["x509", "-req", "-days", "2", "-set_serial", "7", "-in", "leaf.csr", "-CA", "world.pem"];
    openssl(folder, &[&signed[..], &["-CAkey", "world.key", "-extfile", "leaf.txt", "-out", "leaf.pem"]].concat())
}

fn openssl(folder: &Path, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("openssl").args(arguments).current_dir(folder).output();
    let output = output.map_err(|error| format!("openssl: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

fn serve(folder: &Path) -> Result<Server, String> {
    Server::start(Command::new("python3").args(["-c", SERVER]).current_dir(folder))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}
