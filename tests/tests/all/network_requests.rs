//! `network.http`: on a host and port that it names just the requests that it lists arrive, whatever else is sent; the server is the
//! witness.

use cofferdam_tests::attack::{Attack, TIERS, Tier, WAY};
use cofferdam_tests::command::text;
use cofferdam_tests::host::Host;
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

/// A server that keeps what arrives, answers each request line that it finds, and keeps connections open.
struct Witness {
    host: Host,
    arrived: Arc<Mutex<Vec<u8>>>,
}

impl Witness {
    fn new() -> Self {
        let arrived: Arc<Mutex<Vec<u8>>> = Arc::default();
        let own = arrived.clone();
        let host = Host::new(move |mut stream| {
            let mut buffer = [0; 65_536];
            loop {
                let count = stream.read(&mut buffer)?;
                if count == 0 {
                    return Ok(());
                }
                let part = &buffer[..count];
                own.lock().unwrap().extend_from_slice(part);
                let heads = part.windows(4).filter(|four| *four == b"\r\n\r\n").count();
                let bodies = part.windows(5).filter(|five| *five == b"0\r\n\r\n").count();
                for _ in 0..heads.saturating_sub(bodies) {
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine")?;
                }
            }
        });
        Self { host, arrived }
    }

    fn text(&self) -> String {
        text(&self.arrived.lock().unwrap())
    }

    /// A policy with these lines under `network.http`, `HOST` standing for the server; and the options that lead to it.
    fn policy(&self, place: &Scratch, http: &[&str]) -> Vec<String> {
        let port = self.host.port();
        let lines: Vec<String> = http.iter().map(|line| line.replace("HOST", &format!("api.test:{port}"))).collect();
        let policy = format!(
            "version = 1\nextends = \"dev\"\n[network]\nmode = \"allowlist\"\nallow = [\"api.test:{port}\", \"127.0.0.1:{port}\"]\nhttp = {lines:?}\n"
        );
        place.write("policy.toml", &policy);
        let path = place.join("policy.toml").display().to_string();
        ["--policy", &path, "--resolve", "api.test=127.0.0.1"].map(str::to_owned).to_vec()
    }
}

#[track_caller]
fn shell(tier: Tier, place: &Scratch, options: &[String], line: &str) -> Value {
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    tier.shell(place.path(), &options, line)
}

#[test]
fn what_is_listed_arrives_and_everything_else_is_refused_and_told() {
    if skip::program("curl").is_none() {
        return;
    }
    for tier in TIERS {
        let (witness, place) = (Witness::new(), Scratch::new());
        let options = witness.policy(&place, &["GET,HEAD http://HOST/v1/", "POST http://HOST/up"]);
        let at = format!("http://api.test:{}", witness.host.port());
        let line = format!(
            "curl -sS {at}/v1/x?q=1; curl -sS --data hello {at}/up; \
         printf '%s' chunked | curl -sS -H 'Transfer-Encoding: chunked' --data-binary @- {at}/up/y; \
         for a in '-X DELETE {at}/v1/x' '{at}/v2' '{at}/v1' '--data x {at}/v1/x' '{at}/' '--path-as-is {at}/v1/../up' '--path-as-is {at}/v1/%2e%2e/up' '--http1.0 {at}/none'; do \
         curl -s -o /dev/null -w '%{{http_code}} ' $a; done"
        );
        let result = shell(tier, &place, &options, &line);
        assert_eq!(result["stdout"], "finefinefine403 403 403 403 403 400 400 403 ", "{result}");
        let arrived = witness.text();
        assert_eq!(arrived.matches("HTTP/1.").count(), 3, "{arrived}");
        assert!(
            arrived.contains("GET /v1/x?q=1 ") && arrived.contains("\r\n\r\nhello") && arrived.contains("7\r\nchunked")
        );
        let subject = format!("DELETE {at}/v1/x");
        let denials = result["denials"].as_array().unwrap();
        let denial = denials.iter().find(|denial| denial["subject"] == subject.as_str());
        let denial = denial.unwrap_or_else(|| panic!("{subject} is not told of: {result}"));
        assert_eq!((&denial["access"], &denial["program"]), (&Value::from("network.request"), &Value::from("curl")));
        assert!(denial["remedy"].as_str().unwrap().contains("network.http"), "{denial}");
        // What was proposed is what opens it.
        let options = witness.policy(&place, &["GET http://HOST/v1/", "DELETE http://HOST/v1/x"]);
        let result = shell(tier, &place, &options, &format!("curl -sS -X DELETE {at}/v1/x"));
        assert_eq!(result["stdout"], "fine", "{result}");
    }
}

#[test]
fn what_is_proposed_opens_what_was_asked_for_and_nothing_is_where_a_part_is_known() {
    if skip::program("curl").is_none() {
        return;
    }
    for tier in TIERS {
        let (witness, place) = (Witness::new(), Scratch::new());
        let options = witness.policy(&place, &["GET http://HOST/v1/"]);
        let at = format!("http://api.test:{}", witness.host.port());
        let line = format!("for path in a%3fb/x q%23 %c3%a4 c%22,%22d; do curl -sS {at}/$path; done");
        let result = shell(tier, &place, &options, &line);
        assert_eq!(
            result["stdout"].as_str().unwrap().matches("write in the policy: network.http").count(),
            4,
            "{result}"
        );
        let denials = result["denials"].as_array().unwrap();
        let proposed = denials.iter().map(|denial| {
            let line = denial["remedy"].as_str().unwrap();
            let entry = line.strip_prefix("network.http = [").and_then(|rest| rest.strip_suffix(']'));
            serde_json::from_str(entry.unwrap()).unwrap()
        });
        let proposed: Vec<String> = proposed.collect();
        assert_eq!(proposed.len(), 4, "{result}");
        let options = witness.policy(&place, &proposed.iter().map(String::as_str).collect::<Vec<_>>());
        let result = shell(tier, &place, &options, &format!("{line}; curl -s -o /dev/null -w '%{{http_code}}' {at}/a"));
        assert_eq!(result["stdout"], "finefinefinefine403", "{result}");
        // An entry for `/` is one for all beneath it, which whoever writes it is to know.
        let result = shell(tier, &place, &witness.policy(&place, &["GET http://HOST/v1/"]), &format!("curl -sS {at}/"));
        let note = result["denials"][0]["note"].as_str().unwrap_or_default();
        assert!(note.contains("every path") && result["stdout"].as_str().unwrap().contains(note), "{result}");
        // A beginning of a path could be a folder, and one of a method is another.
        let line = format!(
            "curl -sS {at}/folder/$(printf 'x%.0s' $(seq 300)); curl -sS -X $(printf 'A%.0s' $(seq 5000)) {at}/v1/x"
        );
        let result = shell(tier, &place, &options, &line);
        let denials = result["denials"].as_array().unwrap();
        // The proxy of runs without namespaces takes no such method at all, whatever the host.
        assert_eq!(denials.len(), if tier == Tier::Full { 2 } else { 1 }, "{result}");
        for denial in denials {
            assert!(denial["remedy"].is_null() && denial["subject"].as_str().unwrap().len() < 350, "{denial}");
        }
        assert!(!result["stdout"].as_str().unwrap().contains("write in"), "{result}");
    }
}

#[test]
fn much_data_passes_in_bodies_and_answers() {
    if skip::program("curl").is_none() {
        return;
    }
    const BYTES: usize = 48 << 20;
    for tier in TIERS {
        let (host, place) = (Host::http(), Scratch::new());
        let witness = Witness { host, arrived: Arc::default() };
        let options = witness.policy(&place, &["* http://HOST/"]);
        let at = format!("http://api.test:{}", witness.host.port());
        let line = format!(
            "curl -sS {at}/bytes/{BYTES} | wc -c; head -c {BYTES} /dev/zero | curl -sS -H 'Expect:' --data-binary @- {at}/"
        );
        let result = shell(tier, &place, &options, &line);
        let stdout = result["stdout"].as_str().unwrap();
        assert!(stdout.starts_with(&format!("{BYTES}\n")), "{result}");
        assert!(result["network"][0]["sent_bytes"].as_u64().unwrap() > BYTES as u64, "{result}");
    }
}

#[test]
fn net_22_23_no_request_is_smuggled_past_the_rules() {
    let script = r#"
import re
PORT = int(os.environ['PORT'])
GET = b'GET /v1/x HTTP/1.1\r\nHost: api.test:%d\r\n\r\n' % PORT
BAD = b'GET /secret HTTP/1.1\r\nHost: api.test:%d\r\n\r\n' % PORT
def post(fields, body): return b'POST /v1/x HTTP/1.1\r\nHost: api.test:%d\r\n' % PORT + fields + b'\r\n' + body
def answer(sent, slowly=False):
    s = way('api.test', PORT); s.settimeout(20)
    if slowly:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in sent: s.send(bytes([byte]))
    else: s.sendall(sent)
    got = b''
    try:
        s.shutdown(socket.SHUT_WR)
        while part := s.recv(65536): got += part
    except OSError: pass
    return [code.decode() for code in re.findall(rb'HTTP/1[.]1 ([0-9]+) ', got)]
def expect(name, sent, *codes, slowly=False):
    def act():
        found = answer(sent, slowly)
        if found != list(codes): raise Exception(repr(found))
    attempt(name, act)
expect('plain', GET, '200')
expect('pipelined', GET + GET, '200', '200')
expect('slowly', GET + BAD, '200', slowly=True)
expect('second', GET + BAD, '200')
expect('first', BAD + GET, '403')
expect('behind-a-body', post(b'Content-Length: 1\r\n', b'x' + BAD), '200')
expect('both-lengths', post(b'Content-Length: 4\r\nTransfer-Encoding: chunked\r\n', b'0\r\n\r\n' + BAD), '400')
expect('both-lengths-turned', post(b'Transfer-Encoding: chunked\r\nContent-Length: 4\r\n', b'0\r\n\r\n' + BAD), '400')
expect('two-lengths', post(b'Content-Length: 0\r\nContent-Length: 60\r\n', BAD), '400')
expect('space-before-colon', post(b'Transfer-Encoding : chunked\r\n', b'0\r\n\r\n' + BAD), '400')
expect('tab', post(b'Transfer-Encoding:\tchunked\r\nContent-Length: 5\r\n', b'0\r\n\r\n' + BAD), '400')
expect('xchunked', post(b'Transfer-Encoding: xchunked\r\n', b'0\r\n\r\n' + BAD), '400')
expect('folded', post(b'X: y\r\n Transfer-Encoding: chunked\r\n', b''), '400')
expect('bare-line-feed', GET.replace(b'\r\n', b'\n'), '400')
expect('one-bare-line-feed', post(b'X: y\nTransfer-Encoding: chunked\r\n', b'0\r\n\r\n' + BAD), '400')
expect('absolute', b'GET http://api.test:%d/v1/x HTTP/1.1\r\nHost: other.test\r\n\r\n' % PORT, '400')
expect('other-host', b'GET /v1/x HTTP/1.1\r\nHost: other.test\r\n\r\n', '400')
expect('two-hosts', b'GET /v1/x HTTP/1.1\r\nHost: api.test:%d\r\nHost: other.test\r\n\r\n' % PORT, '400')
expect('no-host', b'GET /v1/x HTTP/1.1\r\n\r\n', '400')
expect('nine', b'GET /v1/x\r\n\r\n', '400')
expect('two', b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', '400')
expect('upgrade', GET[:-2] + b'Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n', '400')
expect('tunnel', b'CONNECT api.test:%d HTTP/1.1\r\nHost: api.test:%d\r\n\r\n' % (PORT, PORT), '400')
expect('tls', bytes([22, 3, 1, 0, 5, 1, 0, 0, 1, 0]), '400')
expect('traversal', b'GET /v1/..%%2fsecret HTTP/1.1\r\nHost: api.test:%d\r\n\r\n' % PORT, '400')
expect('semicolon', b'GET /v1/..;/secret HTTP/1.1\r\nHost: api.test:%d\r\n\r\n' % PORT, '400')
expect('endless', b'GET /v1/x HTTP/1.1\r\nX: ' + b'y' * 100000 + b'\r\n', '400')
"#;
    let Some(attack) = Attack::new(&[WAY, script].concat()) else { return };
    for tier in TIERS {
        let (witness, place) = (Witness::new(), Scratch::new());
        let mut options = witness.policy(&place, &["GET,POST http://HOST/v1/"]);
        options.extend(["--env".to_owned(), format!("PORT={}", witness.host.port())]);
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let answers = attack.inside(tier, place.path(), &options);
        answers.assert_each(27, &["ok"]);
        let arrived = witness.text();
        for never in ["secret", "other.test", "Upgrade", "CONNECT", "PRI", "yyyy", "Transfer-Encoding"] {
            assert!(!arrived.contains(never), "{never} arrived: {arrived}");
        }
        // Just what was answered above: plain, twice pipelined, and the first of each of three.
        assert_eq!(arrived.matches("/v1/x HTTP/1.1").count(), 6, "{arrived}");
    }
}

/// A server as many are: it obeys `Connection: close` and says nothing of it. Where `READS` is false it answers without having read the body,
/// which it takes for the next request then. It tells what it answers.
const SERVER: &str = r#"
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        print(self.command, self.path, flush=True)
        if READS: self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200); self.send_header("Content-Length", "4"); self.end_headers(); self.wfile.write(b"fine")
    do_POST = do_GET
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"#;

#[test]
fn net_22_a_body_that_its_server_leaves_unread_is_no_request() {
    let Some((_server, port, mut told)) = Served::start(false) else { return };
    let script = r#"
PORT = int(os.environ['PORT'])
HIDDEN = b'GET /secret HTTP/1.1\r\nHost: api.test:%d\r\n\r\n' % PORT
def post(fields, body):
    s = way('api.test', PORT) if 'INSIDE' in os.environ else socket.create_connection(('127.0.0.1', PORT))
    s.settimeout(20); s.sendall(b'POST /v1/x HTTP/1.1\r\nHost: api.test:%d\r\n' % PORT + fields + b'\r\n' + body)
    s.shutdown(socket.SHUT_WR); answer = b''
    while part := s.recv(4096): answer += part
    if b'fine' not in answer: raise Exception(repr(answer))
LENGTH = b'Content-Length: %d\r\n' % len(HIDDEN)
attempt('length', lambda: post(LENGTH, HIDDEN))
attempt('kept-alive', lambda: post(b'Connection: keep-alive\r\n' + LENGTH, HIDDEN))
attempt('coded', lambda: post(b'Connection: TE\r\nTE: trailers\r\n' + LENGTH, HIDDEN))
attempt('one-after-it', lambda: post(LENGTH, HIDDEN * 2))
"#;
    let outside = format!("os.environ['PORT'] = '{port}'\n{WAY}{script}");
    let (Some(control), Some(attack)) = (Attack::new(&outside), Attack::new(&[WAY, script].concat())) else { return };
    let place = Scratch::new();
    control.outside(place.path()).assert_each(4, &["ok"]);
    let mut answered = |until: usize| -> Vec<String> { told.by_ref().take(until).collect() };
    let secret = |lines: &[String]| lines.iter().filter(|line| *line == "GET /secret").count();
    assert_eq!(secret(&answered(9)), 5, "so the server is one that does");
    let policy = format!(
        "version = 1\nextends = \"dev\"\n[network]\nmode = \"allowlist\"\nallow = [\"api.test:{port}\", \"127.0.0.1:{port}\"]\nhttp = [\"POST http://api.test:{port}/v1/\"]\n"
    );
    let policy = place.write("policy.toml", &policy).display().to_string();
    let own = format!("PORT={port}");
    for tier in TIERS {
        let options = ["--policy", &policy, "--resolve", "api.test=127.0.0.1", "--env", &own, "--env", "INSIDE=1"];
        attack.inside(tier, place.path(), &options).assert_each(4, &["ok"]);
        // What comes last shows that nothing came between.
        let mut last = TcpStream::connect(("127.0.0.1", port)).unwrap();
        last.write_all(b"GET /last HTTP/1.0\r\n\r\n").unwrap();
        last.read_to_end(&mut Vec::new()).unwrap();
        assert_eq!(answered(5), ["POST /v1/x", "POST /v1/x", "POST /v1/x", "POST /v1/x", "GET /last"], "{tier:?}");
    }
}

#[test]
fn clients_that_keep_their_connection_go_on_after_a_body() {
    if skip::program("curl").is_none() {
        return;
    }
    let Some((_server, port, _told)) = Served::start(true) else { return };
    let place = Scratch::new();
    let policy = format!(
        "version = 1\nextends = \"dev\"\n[network]\nmode = \"allowlist\"\nallow = [\"api.test:{port}\", \"127.0.0.1:{port}\"]\nhttp = [\"* http://api.test:{port}/\"]\n"
    );
    let policy = place.write("policy.toml", &policy).display().to_string();
    let at = format!("http://api.test:{port}/");
    let python = format!(
        "python3 -c '
import http.client
c = http.client.HTTPConnection(\"api.test\", {port}, timeout=20)
for n in range(20):
    c.request(\"GET\" if n % 3 == 0 else \"POST\", \"/\", body=None if n % 3 == 0 else b\"x\" * 5000)
    print(c.getresponse().read().decode(), end=\"\")'"
    );
    let node = format!(
        "node -e 'const http = require(\"http\"), agent = new http.Agent({{ keepAlive: true, maxSockets: 1 }}); \
         const one = n => n && http.request({{ host: \"api.test\", port: {port}, method: \"POST\", agent }}, a => {{ a.on(\"data\", d => process.stdout.write(d)); a.on(\"end\", () => setImmediate(one, n - 1)) }}).end(\"body\"); one(20)'"
    );
    let curl = format!(
        "curl -sS{}",
        format!(" --data hello {at} {at} --next").repeat(9) + &format!(" --data hello {at} {at}")
    );
    for (tier, program, line) in [
        (Tier::Full, "python3", &python),
        (Tier::Full, "node", &node),
        (Tier::Full, "curl", &curl),
        (Tier::Landlock, "curl", &curl),
        (Tier::Landlock, "curl", &curl.replace("curl -sS", "curl -sS -p")),
    ] {
        if skip::program(program).is_none() {
            continue;
        }
        let options = ["--policy", &policy, "--resolve", "api.test=127.0.0.1"].map(str::to_owned);
        let result = shell(tier, &place, &options, line);
        assert_eq!(result["stdout"], "fine".repeat(20), "{tier:?} {line}: {result}");
    }
}

/// A server that ends with the test.
struct Served(Child);

impl Served {
    /// One of [`SERVER`], its port, and what it tells.
    fn start(reads: bool) -> Option<(Self, u16, impl Iterator<Item = String>)> {
        let mut server = Command::new(skip::python()?);
        let script = SERVER.replace("READS", if reads { "True" } else { "False" });
        let mut server = Self(server.args(["-c", &script]).stdout(Stdio::piped()).spawn().unwrap());
        let mut told = BufReader::new(server.0.stdout.take().unwrap()).lines().map(Result::unwrap);
        let port = told.next().unwrap().parse().unwrap();
        Some((server, port, told))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn net_16_a_rule_about_this_machine_by_name_holds_by_address_too() {
    if skip::program("curl").is_none() {
        return;
    }
    for tier in TIERS {
        let (witness, place) = (Witness::new(), Scratch::new());
        let port = witness.host.port();
        let policy = format!(
            "version = 1\nextends = \"dev\"\n[network]\nmode = \"allowlist\"\nallow = [\"localhost:{port}\"]\nhttp = [\"GET http://localhost:{port}/v1\"]\n"
        );
        let path = place.write("policy.toml", &policy).display().to_string();
        let line = format!(
            "for host in localhost 127.0.0.1; do for path in v1/fine v2/secret; do curl -s -m 10 http://$host:{port}/$path; done; done; true"
        );
        let result = shell(tier, &place, &["--policy".to_owned(), path], &line);
        let arrived = witness.text();
        assert_eq!(arrived.matches("GET /v1/fine").count(), 2, "{result}");
        assert!(!arrived.contains("secret"), "{arrived}");
        // One of this machine's names is not another, though all lead to the same addresses.
        let policy = policy.replace(
            &format!("http = [\"GET http://localhost:{port}/v1\"]"),
            &format!("http = [\"GET http://a.localhost:{port}/v1\", \"* http://b.localhost:{port}/\"]"),
        );
        let path = place
            .write(
                "policy.toml",
                &policy
                    .replace("\"localhost:", "\"*.localhost:{port}\", \"localhost:")
                    .replace("{port}", &port.to_string()),
            )
            .display()
            .to_string();
        let line = format!(
            "curl -s -o /dev/null -w '%{{http_code}} ' -X DELETE http://a.localhost:{port}/all; \
             curl -s -o /dev/null -w '%{{http_code}} ' -H 'Host: b.localhost:{port}' -X DELETE http://b.localhost:{port}/some"
        );
        let result = shell(tier, &place, &["--policy".to_owned(), path], &line);
        assert_eq!(result["stdout"], "403 200 ", "{result}");
        let arrived = witness.text();
        assert!(arrived.contains("DELETE /some") && !arrived.contains("/all"), "{arrived}");
    }
}

#[test]
fn rules_about_a_host_that_only_an_option_allows_hold_for_it() {
    if skip::program("curl").is_none() {
        return;
    }
    for tier in TIERS {
        let (witness, place) = (Witness::new(), Scratch::new());
        let port = witness.host.port();
        let policy = format!("version = 1\nextends = \"dev\"\n[network]\nhttp = [\"GET http://api.test:{port}/v1\"]\n");
        let path = place.write("policy.toml", &policy).display().to_string();
        let at = format!("http://api.test:{port}");
        let line =
            format!("curl -sS -m 20 {at}/v1/fine; curl -s -o /dev/null -m 20 -w '%{{http_code}}' {at}/v2/secret");
        let options = [vec!["--policy".to_owned(), path.clone()], witness.host.named("api.test")].concat();
        let result = shell(tier, &place, &options, &line);
        assert_eq!(result["stdout"], "fine403", "{result}");
        assert!(!witness.text().contains("secret"), "{result}");
        // Where no option allows it either, the file is refused before anything runs.
        let mut alone =
            cofferdam_tests::command::run(place.path(), &["--policy", &path], &["sh", "-c", "echo ran > mark"]);
        let output = alone.output().unwrap();
        assert!(text(&output.stderr).contains("can never match") && !place.join("mark").exists(), "{output:?}");
    }
}
