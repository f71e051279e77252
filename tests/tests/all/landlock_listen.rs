//! `network.listen` where no namespace can be made: what a run listens on is reached at the ports that the policy publishes, by this machine
//! and by the run itself, and no socket of it ever listens anywhere else. Looked at from outside.

use cofferdam_tests::attack::{Attack, Tier};
use cofferdam_tests::host::Host;
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::session_host::HostedSession;
use cofferdam_tests::skip;
use cofferdam_tests::visitor;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

/// A run that serves until it is let go, and where the host has its ports.
struct Serving {
    child: Child,
    told: BufReader<ChildStderr>,
    at: Vec<u16>,
}

impl Serving {
    /// `program` in the sandbox with `options`, once it has told where `ports` ports are.
    #[track_caller]
    fn start(place: &Scratch, options: &[&str], program: &[&str], ports: usize) -> Self {
        let mut command = Tier::Landlock.run(place.path(), options, program);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut told = BufReader::new(child.stderr.take().unwrap());
        let mut at = Vec::new();
        while at.len() < ports {
            let mut line = String::new();
            assert!(told.read_line(&mut line).unwrap() > 0, "it does not start: {at:?}");
            let port = line.contains("of the run is at").then(|| line.trim().rsplit(':').next()?.parse::<u16>().ok());
            at.extend(port.flatten());
        }
        Self { child, told, at }
    }

    /// What the first of its ports answers, once it does.
    #[track_caller]
    fn answer(&mut self, address: &str) -> String {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(answer) = ask(address, self.at[0]) {
                return answer;
            }
            if self.child.try_wait().unwrap().is_some() || Instant::now() > end {
                let _ = self.child.kill();
                let mut told = String::new();
                self.told.read_to_string(&mut told).unwrap();
                panic!("it serves nothing at {address}: {told}");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it, and waits until it has.
    fn end(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.child.wait().unwrap();
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What `address` answers to a request; none where nobody takes it, or it breaks or says nothing.
fn ask(address: &str, port: u16) -> Option<String> {
    visitor::ask(address, port, "/told.txt").filter(|body| !body.is_empty())
}

/// A port on which nobody listens now.
fn free() -> u16 {
    visitor::free_port(true)
}

/// An address of this machine that is not loopback's, if it has one.
fn outer_address() -> Option<String> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    socket.local_addr().ok().map(|own| own.ip().to_string()).filter(|own| own != "0.0.0.0" && !own.starts_with("127."))
}

#[test]
fn p6_servers_of_python_node_and_c_are_reached_and_end_with_the_run() {
    let place = Scratch::new();
    place.write("told.txt", "from inside");
    place.write("server.c", C_SERVER);
    let node = "require('http').createServer((q, s) => s.end('from inside')).listen(8000)";
    let servers: [(&str, &[&str]); 5] = [
        ("python3", &["python3", "-m", "http.server", "8000"]),
        ("python3", &["python3", "-m", "http.server", "8000", "--bind", "::"]),
        ("python3", &["python3", "-m", "http.server", "8000", "--bind", "127.0.0.1"]),
        ("node", &["node", "-e", node]),
        ("cc", &["./server"]),
    ];
    for (needed, program) in servers {
        if skip::program(needed).is_none() {
            continue;
        }
        if needed == "cc" {
            let made = Command::new("cc").args(["-o", "server", "server.c"]).current_dir(place.path()).status();
            assert!(made.unwrap().success());
        }
        let port = free();
        let listen = format!("{port}:8000");
        let mut serving = Serving::start(&place, &["--listen", &listen], program, 1);
        assert_eq!(serving.at, [port], "{program:?}");
        assert_eq!(serving.answer("127.0.0.1"), "from inside", "{program:?}");
        if Host::http().has_v6() {
            assert_eq!(serving.answer("::1"), "from inside", "{program:?}");
        }
        for elsewhere in outer_address().iter().map(String::as_str).chain(["127.0.0.2"]) {
            assert_eq!(ask(elsewhere, port), None, "{program:?} at {elsewhere}");
        }
        serving.end();
        assert_eq!(ask("127.0.0.1", port), None, "{program:?}");
        drop(TcpListener::bind(("127.0.0.1", port)).unwrap());
    }
}

/// The plainest of servers, which asks for nothing but an address.
const C_SERVER: &str = r#"
#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
int main(void) {
    const char *answer = "HTTP/1.0 200 OK\r\n\r\nfrom inside";
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(8000), .sin_addr = {htonl(INADDR_ANY)}};
    int server = socket(AF_INET, SOCK_STREAM, 0);
    char asked[4096];
    if (bind(server, (struct sockaddr *)&at, sizeof at) || listen(server, 8)) return 1;
    for (;;) {
        int one = accept(server, 0, 0);
        if (one < 0) return 2;
        if (read(one, asked, sizeof asked) > 0) write(one, answer, strlen(answer));
        close(one);
    }
}
"#;

/// A server at each of the addresses, and clients who ask for others.
const OWN_CLIENTS: &str = "
def serve(*servers):
    def one(s):
        while True:
            try: a, _ = s.accept()
            except OSError: return
            a.sendall(b'own'); a.close()
    for s in servers: s.listen(8); threading.Thread(target=one, args=(s,), daemon=True).start()
    return servers
def at(family, address, only=None):
    s = socket.socket(family, socket.SOCK_STREAM); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if only is not None: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
    s.bind((address, 8000)); return s
def hears(address):
    c = socket.create_connection((address, 8000), 10); answer = c.recv(9); c.close()
    if answer != b'own': raise OSError(errno.EPROTO, 'another')
def case(name, servers, addresses):
    for address in addresses: attempt(name + '_' + address, lambda: hears(address))
    for s in servers: s.shutdown(socket.SHUT_RDWR); s.close()
four, six = socket.AF_INET, socket.AF_INET6
case('loopback', serve(at(four, '127.0.0.1')), ['127.0.0.1', 'localhost', '0.0.0.0'])
case('any', serve(at(four, '0.0.0.0')), ['127.0.0.1', 'localhost'])
case('both', serve(at(six, '::', 0)), ['127.0.0.1', '::1', 'localhost', '::ffff:127.0.0.1'])
case('six', serve(at(six, '::1')), ['::1'])
case('apart', serve(at(four, '127.0.0.1'), at(six, '::', 1)), ['127.0.0.1', '::1'])
case('four_again', serve(at(four, '127.0.0.1')), ['127.0.0.1', 'localhost'])
attempt('nobody', lambda: hears('127.0.0.1'))
";

#[test]
fn p6_a_run_reaches_what_it_listens_on_itself() {
    let Some(attack) = Attack::new(OWN_CLIENTS) else { return };
    if !Host::http().has_v6() {
        return skip::skipped("this machine has no IPv6");
    }
    // Somebody else at the very port, on all addresses of the machine, is not who answers.
    let host = Host::http();
    for options in [&["--listen", "*:8000"][..], &["--listen", "*:8000", "--allow-net", "api.test:443"]] {
        let answers = attack.inside(Tier::Landlock, Scratch::new().path(), options);
        answers.assert("nobody", &["ECONNREFUSED"]);
        for name in ["loopback_127.0.0.1", "loopback_localhost", "loopback_0.0.0.0", "any_127.0.0.1", "both_::1"] {
            answers.assert(name, &["ok"]);
        }
        let refused = answers.printed.lines().filter(|line| !line.ends_with(" ok")).collect::<Vec<_>>();
        assert_eq!(refused, ["nobody ECONNREFUSED"], "{answers:?}");
        assert_eq!(
            answers.result["published"][0]["connections"], 0,
            "what the run does itself is no visit: {answers:?}"
        );
    }
    assert_eq!(host.arrived(), 0);
}

#[test]
fn net_30_who_asks_for_all_addresses_gets_none_that_others_can_take_or_reach() {
    if skip::python().is_none() {
        return;
    }
    let place = Scratch::new();
    place.write("told.txt", "from inside");
    let inside = free();
    let (listen, number) = (format!("*:{inside}"), inside.to_string());
    let mut serving = Serving::start(&place, &["--listen", &listen], &["python3", "-m", "http.server", &number], 1);
    assert_eq!(serving.answer("127.0.0.1"), "from inside");
    for elsewhere in outer_address().iter().map(String::as_str).chain(["127.0.0.1", "127.0.0.2"]) {
        assert_eq!(ask(elsewhere, inside), None, "{elsewhere}");
    }
    // A second run with the same port inside has a place of its own.
    let other = Scratch::new();
    other.write("told.txt", "from another");
    let mut second = Serving::start(&other, &["--listen", &listen], &["python3", "-m", "http.server", &number], 1);
    assert_eq!(second.answer("127.0.0.1"), "from another");
    assert_eq!(serving.answer("127.0.0.1"), "from inside");
    // Nobody on this machine gets the port on all addresses while they run, and answers in their place.
    assert!(TcpListener::bind(("0.0.0.0", inside)).is_err());
    serving.end();
    second.end();
    drop(TcpListener::bind(("0.0.0.0", inside)).unwrap());
}

#[test]
fn net_30_a_port_that_is_taken_refuses_the_start_and_one_that_others_have_inside_does_not() {
    let (host, place) = (Host::http(), Scratch::new());
    let listen = format!("{}:8000", host.port());
    let result = Tier::Landlock.shell(place.path(), &["--listen", &listen], "echo ran > mark");
    assert_eq!(result["error"]["code"], "port_unavailable", "{result}");
    assert!(!place.join("mark").exists(), "{result}");
    if skip::python().is_none() {
        return;
    }
    // The machine has the port that the program will ask for, on all addresses.
    let taken = TcpListener::bind("0.0.0.0:0").unwrap();
    let number = taken.local_addr().unwrap().port().to_string();
    let listen = format!("*:{number}");
    place.write("told.txt", "from inside");
    let mut serving = Serving::start(&place, &["--listen", &listen], &["python3", "-m", "http.server", &number], 1);
    assert_eq!(serving.answer("127.0.0.1"), "from inside");
    // So has a port that is otherwise root's.
    let mut low = Serving::start(&place, &["--listen", "*:80"], &["python3", "-m", "http.server", "80"], 1);
    assert_eq!(low.answer("127.0.0.1"), "from inside");
}

#[test]
fn what_came_is_counted_and_who_comes_while_nobody_listens_is_let_go() {
    let Some(_) = skip::python() else { return };
    let place = Scratch::new();
    let line = "import os, socket, sys, time
s = socket.create_server(('127.0.0.1', 8000))
print('x', file=open('listens', 'w'), flush=True)
c, peer = s.accept(); c.sendall(c.recv(99)); c.close(); print(peer[0])";
    let mut command = Tier::Landlock.run(
        place.path(),
        &["--json", "--listen", "*:8000", "--listen", "*:8001"],
        &["python3", "-c", line],
    );
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut at = || told.next().unwrap().unwrap().trim().rsplit(':').next().unwrap().parse::<u16>().unwrap();
    let (first, second) = (at(), at());
    let end = Instant::now() + Duration::from_secs(60);
    while !place.join("listens").exists() {
        assert!(Instant::now() < end && child.try_wait().unwrap().is_none(), "it does not listen");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(ask("127.0.0.1", second), None);
    let mut stream = TcpStream::connect(("127.0.0.1", first)).unwrap();
    stream.write_all(b"hello").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "hello");
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    child.wait().unwrap();
    let result: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(result["stdout"], "127.0.0.1\n", "{result}");
    let of = |port: u16| result["published"].as_array().unwrap().iter().find(|one| one["port"] == port).unwrap();
    assert_eq!((&of(8000)["connections"], &of(8000)["sent_bytes"]), (&json!(1), &json!(5)), "{result}");
    assert_eq!((&of(8001)["connections"], &of(8001)["failed"]), (&json!(0), &json!(1)), "{result}");
}

#[test]
fn commands_of_a_session_share_its_ports_until_it_is_closed() {
    if skip::python().is_none() {
        return;
    }
    let port = free();
    let commands = "[commands.web]\nargv = [\"python3\", \"-m\", \"http.server\", \"8000\"]\npersistent = true\nready = { port = 8000 }\n\
         [commands.ask]\nargv = [\"python3\", \"-c\", \"import urllib.request as u; print(u.urlopen('http://127.0.0.1:8000/told.txt').read().decode())\"]\n";
    let session = HostedSession::without_namespaces(commands);
    let policy = format!(
        "version = 1\nextends = \"dev\"\nisolation.require = \"landlock\"\n[network]\nlisten = [\"{port}:8000\"]\n"
    );
    session.workspace.write("policy.toml", &policy);
    session.workspace.write("told.txt", "of the session");
    session.opened(&["--policy", "policy.toml"]);
    session.told(&["start", "s", "web", "--wait"]);
    assert_eq!(session.status("web")["published"][0]["host_port"], port);
    assert_eq!(ask("127.0.0.1", port).as_deref(), Some("of the session"));
    assert!(session.told(&["run", "s", "ask"]).contains("of the session"));
    session.told(&["stop", "s", "web"]);
    session.told(&["start", "s", "web", "--wait"]);
    assert_eq!(ask("127.0.0.1", port).as_deref(), Some("of the session"));
    session.told(&["close", "s"]);
    assert_eq!(ask("127.0.0.1", port), None);
}

#[test]
fn a_port_that_is_not_published_is_told_with_the_line_that_publishes_it() {
    let Some(python) = skip::python() else { return };
    let script = "
import socket
def attempt(act):
    try: act()
    except PermissionError: print('refused')
attempt(lambda: socket.create_server(('127.0.0.1', 8001)))
attempt(lambda: socket.create_server(('127.0.0.1', 0)))
";
    for options in [&["--listen", "*:8000"][..], &["--allow-net", "api.test:80"]] {
        let result = Tier::Landlock.json(Scratch::new().path(), options, &[&python, "-c", script]);
        assert_eq!(result["stdout"], "refused\nrefused\n", "{result}");
        let denials = result["denials"].as_array().unwrap();
        let told = |subject: &str| denials.iter().find(|denial| denial["subject"] == subject).unwrap();
        let port = told("8001");
        assert_eq!((&port["access"], &port["remedy"]), (&"network.listen".into(), &"network.listen = [8001]".into()));
        assert!(port["program"].as_str().unwrap().starts_with("python"), "{port}");
        let any = told("a port of the system's choice");
        assert!(any["remedy"].is_null() && any["note"].as_str().unwrap().contains("network.listen"), "{any}");
    }
    // Not where the policy names hosts on the same port; and who tries all does not hide what else is refused.
    let script = "
import socket
for port in [8001, *range(9000, 9100)]:
    try: socket.create_server(('127.0.0.1', port))
    except PermissionError: pass
try: open('.git/hooks/x', 'w')
except OSError as error: print(error.errno)
";
    let place = Scratch::new();
    std::fs::create_dir_all(place.join(".git/hooks")).unwrap();
    let result = Tier::Landlock.json(place.path(), &["--allow-net", "api.test:8001"], &[&python, "-c", script]);
    let denials = result["denials"].as_array().unwrap();
    let ports: Vec<_> = denials.iter().filter(|denial| denial["access"] == "network.listen").collect();
    assert_eq!((ports.len(), ports[0]["remedy"].is_null()), (8, true), "{result}");
    assert!(ports[0]["note"].as_str().unwrap().contains("network.allow"), "{result}");
    assert!(denials.iter().any(|denial| denial["access"] == "filesystem.write"), "{result}");
    // What was proposed does it.
    let script = "import socket; socket.create_server(('127.0.0.1', 8001)); print('listens')";
    let result = Tier::Landlock.json(Scratch::new().path(), &["--listen", "*:8001"], &[&python, "-c", script]);
    assert_eq!((&result["stdout"], &result["denials"]), (&"listens\n".into(), &json!([])), "{result}");
}
