//! `network.listen`: a port of a run is reached from this machine's loopback where a rule says so, and nowhere else; it leads into the
//! run alone, and ends with it.

use cofferdam_tests::attack::Tier;
use cofferdam_tests::command::{run, text};
use cofferdam_tests::host::Host;
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::session_host::HostedSession;
use cofferdam_tests::skip;
use cofferdam_tests::visitor;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

/// Serves at the port of its first argument until its input ends, and says when it listens.
const SERVER: &str = "
import http.server, sys, threading
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        text = b'from inside'
        self.send_response(200); self.send_header('Content-Length', str(len(text))); self.end_headers(); self.wfile.write(text)
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer((sys.argv[2] if len(sys.argv) > 2 else '127.0.0.1', int(sys.argv[1])), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print('listens', flush=True)
sys.stdin.read()
";

/// A run that serves until it is let go.
struct Serving {
    child: Child,
    /// Where the host has the port, if the run told.
    at: Option<u16>,
}

impl Serving {
    /// `program` in the sandbox with `options`, once it has printed that it listens.
    #[track_caller]
    fn start(place: &Scratch, options: &[&str], program: &[&str]) -> Self {
        let mut command = run(place.path(), options, program);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let mut told = String::new();
        if line != "listens\n" {
            child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
            panic!("it does not listen: {told}");
        }
        let mut serving = Self { child, at: None };
        if options.contains(&"--listen") {
            BufReader::new(serving.child.stderr.take().unwrap()).read_line(&mut told).unwrap();
            serving.at = told.trim().rsplit(':').next().and_then(|port| port.parse().ok());
            assert!(serving.at.is_some(), "{told}");
        }
        serving
    }

    /// A server of Python's at `port` inside.
    #[track_caller]
    fn python(place: &Scratch, options: &[&str], port: &str) -> Self {
        Self::start(place, options, &["python3", "-c", SERVER, port])
    }

    /// Lets it end, and waits until it has.
    fn end(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What `address` answers to a request; none where nobody takes it, or it breaks.
fn ask(address: &str, port: u16) -> Option<String> {
    visitor::ask(address, port, "/")
}

/// A port on which nobody listens now.
fn free() -> u16 {
    visitor::free_port(false)
}

#[test]
fn a_port_is_published_where_a_rule_says_so_and_ends_with_the_run() {
    if skip::python().is_none() {
        return;
    }
    let (place, port) = (Scratch::new(), free());
    let host = Host::http();
    for (listen, at) in [(format!("{port}:8000"), Some(port)), ("*:8000".to_owned(), None)] {
        let serving = Serving::python(&place, &["--listen", &listen], "8000");
        let found = serving.at.unwrap();
        assert!(at.is_none_or(|at| at == found), "{listen}: {found}");
        assert_eq!(ask("127.0.0.1", found).as_deref(), Some("from inside"), "{listen}");
        if host.has_v6() {
            assert_eq!(ask("::1", found).as_deref(), Some("from inside"), "{listen}");
        }
        // On loopback alone: not at another address of this machine.
        assert_eq!(ask("127.0.0.2", found), None, "{listen}");
        serving.end();
        assert_eq!(ask("127.0.0.1", found), None, "{listen}");
        drop(TcpListener::bind(("127.0.0.1", found)).unwrap());
    }
}

#[test]
fn many_connections_and_much_data_pass_a_published_port() {
    if skip::python().is_none() {
        return;
    }
    const ECHO: &str = "
import asyncio, sys
async def one(r, w):
    while data := await r.read(65536): w.write(data); await w.drain()
    w.write_eof(); w.close()
async def go():
    server = await asyncio.start_server(one, '127.0.0.1', 8000)
    print('listens', flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
asyncio.run(go())
";
    let place = Scratch::new();
    let serving = Serving::start(&place, &["--listen", "*:8000"], &["python3", "-c", ECHO]);
    let at = serving.at.unwrap();
    let threads: Vec<_> = (0..50_usize)
        .map(|number| {
            std::thread::spawn(move || {
                let mut stream = TcpStream::connect(("127.0.0.1", at)).unwrap();
                let own = vec![u8::try_from(number).unwrap(); 400_000];
                let (mut out, sent) = (stream.try_clone().unwrap(), own.clone());
                let sender = std::thread::spawn(move || {
                    out.write_all(&sent).unwrap();
                    out.shutdown(std::net::Shutdown::Write).unwrap();
                });
                let mut got = Vec::new();
                stream.read_to_end(&mut got).unwrap();
                sender.join().unwrap();
                got == own
            })
        })
        .collect();
    assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
    serving.end();
}

#[test]
fn a_server_of_node_on_ipv6_alone_is_reached_with_curl() {
    let (Some(node), Some(curl)) = (skip::program("node"), skip::program("curl")) else { return };
    if !Host::http().has_v6() {
        return skip::skipped("this machine has no IPv6");
    }
    let line = "process.stdin.resume().on('end', () => process.exit(0)); \
                require('http').createServer((q, s) => s.end('of node')).listen(8000, '::1', () => console.log('listens'))";
    let place = Scratch::new();
    let serving = Serving::start(&place, &["--listen", "*:8000"], &[node.to_str().unwrap(), "-e", line]);
    let address = format!("http://127.0.0.1:{}/", serving.at.unwrap());
    let output = Command::new(curl).args(["-sS", &address]).output().unwrap();
    assert_eq!(text(&output.stdout), "of node", "{output:?}");
}

#[test]
fn nothing_is_published_without_a_rule_nor_another_port_than_it_names() {
    if skip::python().is_none() {
        return;
    }
    let (place, port) = (Scratch::new(), free());
    let inside = port.to_string();
    let serving = Serving::start(&place, &[], &["python3", "-c", SERVER, &inside, "0.0.0.0"]);
    assert_eq!(ask("127.0.0.1", port), None);
    serving.end();
    let other = format!("*:{}", if port > 60_000 { port - 1 } else { port + 1 });
    let serving = Serving::start(&place, &["--listen", &other], &["python3", "-c", SERVER, &inside, "0.0.0.0"]);
    assert_eq!(ask("127.0.0.1", port), None, "it listens there, and no rule names the port");
    assert_eq!(ask("127.0.0.1", serving.at.unwrap()), None, "nobody listens at the port that the rule names");
}

#[test]
fn a_published_port_leads_into_the_run_alone() {
    // A service of the host has the very port that the run would have listened on.
    let (host, place) = (Host::http(), Scratch::new());
    let port = host.port();
    let listen = format!("*:{port}");
    let serving = Serving::start(&place, &["--listen", &listen], &["sh", "-c", "echo listens; cat"]);
    assert_eq!(ask("127.0.0.1", serving.at.unwrap()), None);
    assert_eq!(host.arrived(), 0, "what came to the published port arrived at the host's own");
}

#[test]
fn a_port_that_is_taken_refuses_the_start() {
    let (host, place) = (Host::http(), Scratch::new());
    let listen = format!("{}:8000", host.port());
    let result = Tier::Full.shell(place.path(), &["--listen", &listen], "echo ran > mark");
    assert_eq!(result["error"]["code"], "port_unavailable", "{result}");
    assert!(result["error"]["message"].as_str().unwrap().contains(&host.port().to_string()), "{result}");
    assert!(!place.join("mark").exists(), "{result}");
}

#[test]
fn the_result_tells_where_and_how_much() {
    let (Some(_), place) = (skip::python(), Scratch::new()) else { return };
    // What the run itself does at the port is no traffic of the published one.
    let line = "import socket; s = socket.create_server(('127.0.0.1', 8000)); c = socket.create_connection(('127.0.0.1', 8000)); print('own')";
    let mut command = run(place.path(), &["--json", "--listen", "*:8000"], &["python3", "-c", line]);
    let output = command.output().unwrap();
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["stdout"], "own\n", "{result}");
    let published = &result["published"][0];
    assert_eq!((&published["port"], &published["connections"]), (&json!(8000), &json!(0)), "{result}");
    let at = published["host_port"].as_u64().unwrap();
    assert!(text(&output.stderr).contains(&format!("port 8000 of the run is at 127.0.0.1:{at}")), "{output:?}");
}

#[test]
fn hosts_by_name_and_a_published_port_go_together_and_exclude_each_other_on_one() {
    let (Some(_), place, host) = (skip::python(), Scratch::new(), Host::http()) else { return };
    let named = host.named("api.test");
    let mut options: Vec<&str> = named.iter().map(String::as_str).collect();
    let listen = if host.port() == 8000 { "*:8001" } else { "*:8000" };
    options.extend(["--listen", listen]);
    let fetch =
        format!("import urllib.request; urllib.request.urlopen('http://api.test:{}/').read()\n{SERVER}", host.port());
    let serving = Serving::start(&place, &options, &["python3", "-c", &fetch, listen.rsplit(':').next().unwrap()]);
    assert_eq!(host.arrived(), 1);
    assert_eq!(ask("127.0.0.1", serving.at.unwrap()).as_deref(), Some("from inside"));
    let same = format!("*:{}", host.port());
    let options = [&options[..options.len() - 1], &[same.as_str()]].concat();
    let refused = run(place.path(), &options, &["true"]).output().unwrap();
    assert!(text(&refused.stderr).contains("nothing inside can listen on port"), "{refused:?}");
}

#[test]
fn a_command_of_a_session_is_reached_until_the_session_is_closed() {
    if skip::python().is_none() {
        return;
    }
    let port = free();
    let session = HostedSession::declared(
        "[commands.web]\nargv = [\"python3\", \"-m\", \"http.server\", \"8000\", \"--bind\", \"127.0.0.1\"]\n\
         persistent = true\nready = { port = 8000 }\n",
    );
    let policy = format!("version = 1\nextends = \"dev\"\n[network]\nlisten = [\"{port}:8000\"]\n");
    session.workspace.write("policy.toml", &policy);
    session.workspace.write("told.txt", "of the session");
    session.opened(&["--policy", "policy.toml"]);
    session.told(&["start", "s", "web", "--wait"]);
    assert_eq!(session.status("web")["published"][0]["host_port"], port);
    assert!(session.told(&["list", "s"]).contains(&format!("port 8000 at 127.0.0.1:{port}")));
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"GET /told.txt HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("of the session"), "{answer}");
    // Stopped and started again it is at the same place.
    session.told(&["stop", "s", "web"]);
    session.told(&["start", "s", "web", "--wait"]);
    assert!(ask("127.0.0.1", port).is_some());
    session.told(&["close", "s"]);
    assert_eq!(ask("127.0.0.1", port), None);
}

#[test]
fn net_29_ports_that_wait_take_no_place_from_those_that_are_used() {
    if skip::python().is_none() {
        return;
    }
    const SERVER: &str = "
import socket, sys, threading
def serve(port):
    server = socket.create_server(('127.0.0.1', port), backlog=4)
    ready.release()
    while True:
        one, _ = server.accept(); one.sendall(str(port).encode()); one.close()
ready = threading.Semaphore(0)
for port in range(8000, 8040): threading.Thread(target=serve, args=(port,), daemon=True).start()
for _ in range(40): ready.acquire()
print('listens', flush=True)
sys.stdin.read()
";
    let place = Scratch::new();
    let ports: Vec<String> = (8000..8040).map(|port| format!("\"*:{port}\"")).collect();
    let policy = format!("version = 1\nextends = \"dev\"\n[network]\nlisten = [{}]\n", ports.join(","));
    let policy = place.write("policy.toml", &policy).display().to_string();
    let plain = run(place.path(), &["--policy", &policy], &["python3", "-c", SERVER]);
    // A quarter of the descriptors is for connections: fewer than there are listeners.
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 200; exec \"$0\" \"$@\""]).arg(plain.get_program()).args(plain.get_args());
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(place.path());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
    let serving = Serving { child, at: None };
    assert_eq!(line, "listens\n");
    let at: Vec<u16> =
        (0..40).map(|_| told.next().unwrap().unwrap().trim().rsplit(':').next().unwrap().parse().unwrap()).collect();
    // The last first: what the others have done by then would have made room for it.
    for (at, port) in at.into_iter().zip(8000..8040).rev() {
        let mut stream = TcpStream::connect(("127.0.0.1", at)).unwrap();
        stream.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, port.to_string());
    }
    serving.end();
}
