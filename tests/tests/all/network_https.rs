//! `network.http` with `https`: on a host that it names just the requests that it lists arrive; the server is the witness. Other hosts keep
//! their own certificates.

use crate::landlock_network::node_takes_proxies;
use cofferdam_tests::attack::{TIERS, Tier, WAY};
use cofferdam_tests::https::Https;
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;
use cofferdam_tests::tls_authority::{TlsAuthority, trusting};
use serde_json::Value;
use std::process::Command;

/// A server that this machine trusts, and an authority of the policy's.
pub(crate) struct Witness {
    pub(crate) server: Https,
    /// Who signed the server's certificate.
    pub(crate) world: TlsAuthority,
    pub(crate) authority: TlsAuthority,
    pub(crate) place: Scratch,
    /// Where its programs run.
    pub(crate) tier: Tier,
}

const ATTACK: &str = r#"
import errno, os, re, socket, ssl, sys, urllib.request
def attempt(name, act):
    try: print(name, act(), flush=True)
    except Exception as error: print(name, repr(error).replace('\n', ' '), flush=True)
def context(check=True, alpn=None):
    own = ssl.create_default_context()
    if not check: own.check_hostname = False; own.verify_mode = ssl.CERT_NONE
    if alpn: own.set_alpn_protocols(alpn)
    return own
def connect(own, name): return own.wrap_socket(way('api.test', 443), server_hostname=name)
def codes(sent, alpn=None):
    s = connect(context(alpn=alpn), 'api.test'); s.sendall(sent)
    got = b''
    try:
        while part := s.recv(65536): got += part
    except OSError: pass
    return ' '.join(code.decode() for code in re.findall(rb'HTTP/1[.]1 ([0-9]+) ', got))
GET = b'GET /v1/x HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n'
BAD = b'GET /secret HTTP/1.1\r\nHost: api.test\r\n\r\n'
def post(fields, body): return b'POST /v1/x HTTP/1.1\r\nHost: api.test\r\n' + fields + b'\r\n' + body
def plain():
    s = way('api.test', 443); s.sendall(BAD); return s.recv(100)[:1]
"#;

impl Witness {
    /// One in namespaces.
    pub(crate) fn new() -> Option<Self> {
        Self::of(Tier::Full)
    }

    /// One in each tier.
    pub(crate) fn everywhere() -> impl Iterator<Item = Self> {
        TIERS.into_iter().map_while(Self::of)
    }

    pub(crate) fn of(tier: Tier) -> Option<Self> {
        let (world, authority) = (TlsAuthority::new("the world")?, TlsAuthority::new("the policy's own")?);
        let server = Https::of(&world, &["api.test", "plain.test"])?;
        Some(Self { server, world, authority, place: Scratch::new(), tier })
    }

    /// A policy where `http` lists what may be asked of `api.test`; nothing is said about `plain.test`.
    pub(crate) fn policy(&self, http: &[&str]) -> String {
        format!(
            "version = 1\nextends = \"dev\"\n[network]\nmode = \"allowlist\"\nallow = [\"api.test:443\"]\nhttp = {http:?}\n{}\n",
            self.authority.line()
        )
    }

    /// What runs a shell line under that policy, on a machine that trusts who signed the server's certificate.
    pub(crate) fn command(&self, http: &[&str], line: &str) -> Command {
        self.under(&self.policy(http), &self.leads(), line)
    }

    /// The same under another policy, where names lead elsewhere.
    pub(crate) fn under(&self, policy: &str, leads: &[String], line: &str) -> Command {
        let policy = self.place.write("policy.toml", policy).display().to_string();
        let options = ["--json", "--policy", &policy].into_iter().chain(leads.iter().map(String::as_str));
        let mut run = self.tier.run(self.place.path(), &options.collect::<Vec<_>>(), &["sh", "-c", line]);
        trusting(&mut run, &self.world.certificate());
        run
    }

    /// What came of it.
    #[track_caller]
    pub(crate) fn shell(&self, http: &[&str], line: &str) -> Value {
        ended(self.command(http, line))
    }

    pub(crate) fn leads(&self) -> Vec<String> {
        [self.server.named("api.test"), self.server.named("plain.test")].concat()
    }

    /// What came of the attempts of a script.
    #[track_caller]
    pub(crate) fn attempts(&self, http: &[&str], script: &str) -> (Vec<String>, Value) {
        self.place.write("attack.py", &format!("{ATTACK}{WAY}{script}"));
        let result = self.shell(http, "timeout 60 python3 attack.py");
        (result["stdout"].as_str().unwrap().lines().map(str::to_owned).collect(), result)
    }
}

/// What `run` tells as JSON.
#[track_caller]
pub(crate) fn ended(mut run: Command) -> Value {
    ended_by(&mut run)
}

/// The same.
#[track_caller]
pub(crate) fn ended_by(run: &mut Command) -> Value {
    let output = run.output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[track_caller]
pub(crate) fn denial<'a>(result: &'a Value, subject: &str) -> &'a Value {
    let denials = result["denials"].as_array().map(Vec::as_slice).unwrap_or_default();
    let found = denials.iter().find(|denial| denial["subject"] == subject);
    found.unwrap_or_else(|| panic!("{subject} is not told of: {result}"))
}

#[test]
fn what_is_listed_arrives_by_any_program_and_everything_else_is_refused_and_told() {
    for witness in Witness::everywhere() {
        let rules = ["GET,HEAD https://api.test/v1/", "POST https://api.test/up"];
        for (program, fine, refused) in [
        (
            "curl",
            "curl -sS https://api.test/v1/x?q=1; curl -sS --data hello https://api.test/up",
            "for a in '-X DELETE https://api.test/v1/x' https://api.test/v2 https://api.test/v1 '--data x https://api.test/v1/x' '--path-as-is https://api.test/v1/../up'; do \
             curl -s -o /dev/null -w '%{http_code} ' $a; done",
        ),
        (
            "python3",
            "python3 -c '
import urllib.request as u
for a in (\"/v1/x?q=1\", None), (\"/up\", b\"hello\"): print(u.urlopen(\"https://api.test\" + a[0], a[1]).read().decode(), end=\"\")'",
            "python3 -c '
import urllib.request as u
for m, p in (\"DELETE\", \"/v1/x\"), (\"GET\", \"/v2\"), (\"GET\", \"/v1\"), (\"POST\", \"/v1/x\"), (\"GET\", \"/v1/%2e%2e/up\"):
    try: print(u.urlopen(u.Request(\"https://api.test\" + p, method=m)).status, end=\" \")
    except u.HTTPError as error: print(error.code, end=\" \")'",
        ),
        (
            "node",
            "node -e '(async () => { for (const [p, o] of [[\"/v1/x?q=1\", {}], [\"/up\", { method: \"POST\", body: \"hello\" }]]) process.stdout.write(await (await fetch(\"https://api.test\" + p, o)).text()) })()'",
            "node -e '(async () => { for (const [m, p] of [[\"DELETE\", \"/v1/x\"], [\"GET\", \"/v2\"], [\"GET\", \"/v1\"], [\"POST\", \"/v1/x\"], [\"GET\", \"/v1/%2fup\"]]) process.stdout.write((await fetch(\"https://api.test\" + p, { method: m })).status + \" \") })()'",
        ),
    ] {
        let unaware = program == "node" && witness.tier == Tier::Landlock && !node_takes_proxies();
            if unaware || skip::program(program).is_none() {
            continue;
        }
        let before = witness.server.arrived().lines().count();
        let result = witness.shell(&rules, &format!("{fine}; echo; {refused}"));
        let greeting = "hello api.test\nhello api.test\n";
        assert_eq!(result["stdout"], format!("{greeting}\n403 403 403 403 400 "), "{program}: {result}");
        let arrived: Vec<String> = witness.server.arrived().lines().skip(before).map(str::to_owned).collect();
        assert_eq!(arrived, ["GET /v1/x?q=1 HTTP/1.1 ", "POST /up HTTP/1.1 hello"], "{program}");
        let told = denial(&result, "DELETE https://api.test:443/v1/x");
        assert_eq!((&told["access"], &told["program"]), (&"network.request".into(), &program.into()), "{told}");
        let line = "network.http = [\"DELETE https://api.test:443/v1/x\"]";
        assert!(told["remedy"].as_str().unwrap().contains(line));
        if program == "curl" {
            let result = witness.shell(&rules, "curl -s -X DELETE https://api.test/v1/x");
            assert!(result["stdout"].as_str().unwrap().contains(line), "the program is told as well: {result}");
        }
    }
        if skip::program("curl").is_some() {
            // What was proposed is what opens it.
            let result =
                witness.shell(&["DELETE https://api.test:443/v1/x"], "curl -sS -X DELETE https://api.test/v1/x");
            assert_eq!(result["stdout"], "hello api.test\n", "{result}");
        }
    }
}

#[test]
fn a_host_without_rules_keeps_its_own_certificate() {
    for witness in Witness::everywhere() {
        let (answers, result) = witness.attempts(
        &["GET https://api.test/v1/"],
        "
def issuer(name):
    s = context().wrap_socket(way(name, 443), server_hostname=name)
    return dict(pair[0] for pair in s.getpeercert()['issuer'])['commonName'] + ' ' + ' '.join(v for _, v in s.getpeercert()['subjectAltName'])
attempt('looked-into', lambda: issuer('api.test'))
attempt('untouched', lambda: issuer('plain.test'))
attempt('any-request', lambda: urllib.request.urlopen('https://plain.test/anything').read().decode().strip())
",
    );
        let expected = [
            "looked-into the policy's own api.test",
            "untouched the world api.test plain.test",
            "any-request hello plain.test",
        ];
        assert_eq!(answers, expected, "{result}");
    }
}

#[test]
fn net_20_a_server_with_a_certificate_of_nobody_is_refused() {
    let (Some(witness), Some(other)) = (Witness::new(), TlsAuthority::new("others")) else { return };
    if skip::program("curl").is_none() {
        return;
    }
    let line = "curl -s -w ' %{http_code}' https://api.test/v1/x";
    let refused = |witness: &Witness, trusted: &TlsAuthority, why: &str| {
        let mut run = witness.command(&["GET https://api.test/v1/"], line);
        trusting(&mut run, &trusted.certificate());
        let result = ended(run);
        assert!(result["stdout"].as_str().unwrap().ends_with(" 502"), "{result}");
        let told = denial(&result, "api.test:443");
        let note = format!("this machine does not trust the certificate of api.test: {why}");
        assert_eq!((told["note"].as_str(), &told["remedy"]), (Some(note.as_str()), &Value::Null), "{told}");
        assert_eq!(witness.server.arrived(), "");
    };
    refused(&witness, &other, "nobody whom it trusts has signed it");
    let Some(server) = Https::of(&witness.world, &["other.test"]) else { return };
    let witness = Witness { server, ..witness };
    refused(&witness, &witness.world, "it is for other names");
    let Some(server) = Https::expired(&witness.world, &["api.test"]) else { return };
    let witness = Witness { server, ..witness };
    refused(&witness, &witness.world, "it has expired");
}

#[test]
fn net_20_22_no_other_name_protocol_or_request_passes() {
    for witness in Witness::everywhere() {
        let (answers, result) = witness.attempts(
            &["GET,POST https://api.test/v1/"],
            r#"
attempt('control', lambda: codes(GET))
attempt('wrong-name', lambda: connect(context(False), 'plain.test').version())
attempt('no-name', lambda: connect(context(False), None).version())
attempt('h2', lambda: connect(context(alpn=['h2']), 'api.test').version())
attempt('negotiated', lambda: connect(context(alpn=['h2', 'http/1.1']), 'api.test').selected_alpn_protocol())
attempt('h2-unasked', lambda: codes(b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'))
attempt('second', lambda: codes(GET.replace(b'Connection: close\r\n', b'') + BAD))
attempt('both-lengths', lambda: codes(post(b'Content-Length: 4\r\nTransfer-Encoding: chunked\r\n', b'0\r\n\r\n' + BAD)))
attempt('two-lengths', lambda: codes(post(b'Content-Length: 0\r\nContent-Length: 60\r\n', BAD)))
attempt('other-host', lambda: codes(GET.replace(b'api.test', b'plain.test')))
attempt('other-port', lambda: codes(GET.replace(b'api.test', b'api.test:80')))
attempt('tunnel', lambda: codes(b'CONNECT api.test:443 HTTP/1.1\r\nHost: api.test\r\n\r\n'))
attempt('upgrade', lambda: codes(GET[:-2] + b'Upgrade: h2c\r\n\r\n'))
attempt('traversal', lambda: codes(GET.replace(b'/x', b'/..%2fsecret')))
attempt('no-tls', plain)
"#,
        );
        let starts = [
            "control 200",
            "wrong-name SSLError",
            "no-name SSLError",
            "h2 SSLError",
            "negotiated http/1.1",
            "h2-unasked 400",
            "second 200",
            "both-lengths 400",
            "two-lengths 400",
            "other-host 400",
            "other-port 400",
            "tunnel 400",
            "upgrade 400",
            "traversal 400",
        ];
        assert_eq!(answers.len(), starts.len() + 1, "{answers:#?} {result}");
        for (answer, start) in answers.iter().zip(starts) {
            assert!(answer.starts_with(start), "{answer}, not {start}: {result}");
        }
        assert!(!answers.last().unwrap().contains("HTTP"), "{answers:#?}");
        // The control, and the first of two.
        assert_eq!(witness.server.arrived(), "GET /v1/x HTTP/1.1 \n".repeat(2));
        // Of one port a refusal is told once, by what came first.
        for (act, note) in [
            ("lambda: connect(context(False), 'plain.test')", "its TLS asked for plain.test"),
            ("lambda: connect(context(False), None)", "its TLS asked for no name"),
            ("lambda: connect(context(alpn=['h2']), 'api.test')", "another protocol than HTTP/1.1"),
            ("plain", "not TLS"),
        ] {
            let script = format!("attempt('one', {act})\n");
            let (_, result) = witness.attempts(&["GET,POST https://api.test/v1/"], &script);
            let told = denial(&result, "api.test:443");
            assert!(told["note"].as_str().unwrap().contains(note), "{note}: {told}");
        }
    }
}

#[test]
fn a_client_that_keeps_its_connection_goes_on_after_a_body() {
    let Some(witness) = Witness::new() else { return };
    let (answers, result) = witness.attempts(
        &["POST https://api.test/v1/"],
        "
import http.client
c = http.client.HTTPSConnection('api.test', timeout=20, context=context())
def post():
    c.request('POST', '/v1/x', body=b'x' * 5000)
    return c.getresponse().read().decode().strip()
for _ in range(10): attempt('post', post)
",
    );
    assert_eq!(answers, ["post hello api.test"; 10], "{result}");
}

#[test]
fn handshakes_that_never_end_hold_up_nobody_else() {
    for witness in Witness::everywhere() {
        let (answers, result) = witness.attempts(
            &["GET https://api.test/v1/"],
            "
def hello():
    inside, outside = ssl.MemoryBIO(), ssl.MemoryBIO()
    s = context().wrap_bio(inside, outside, server_hostname='api.test')
    try: s.do_handshake()
    except ssl.SSLWantReadError: pass
    raw = way('api.test', 443); raw.sendall(outside.read()); return raw
waiting = [hello() for _ in range(48)]
attempt('elsewhere', lambda: urllib.request.urlopen('https://plain.test/x', timeout=15).status)
attempt('there', lambda: urllib.request.urlopen('https://api.test/v1/x', timeout=15).status)
for one in waiting: one.close()
attempt('afterwards', lambda: urllib.request.urlopen('https://api.test/v1/x', timeout=15).status)
",
        );
        assert_eq!(answers, ["elsewhere 200", "there 200", "afterwards 200"], "{result}");
    }
}
