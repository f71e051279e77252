//! Connections to port 443 of a name ask for that name; nothing is decrypted on the way.

use cofferdam_tests::attack::Tier;
use cofferdam_tests::https::Https;
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;
use serde_json::Value;

/// What came of a shell line under `tls`; the certificate lies in the workspace.
#[track_caller]
fn shell(server: &Https, tls: &str, line: &str) -> Value {
    let place = Scratch::new();
    place.write("ca.pem", &server.certificate());
    let policy = place.write("p.toml", &format!("version = 1\nextends = \"dev\"\n[network]\n{tls}\n"));
    let options = [server.named("api.test"), vec!["--policy".to_owned(), policy.display().to_string()]].concat();
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    Tier::Full.shell(place.path(), &options, line)
}

fn note(result: &Value) -> &str {
    result["denials"][0]["note"].as_str().unwrap_or_default()
}

#[test]
fn p6_https_goes_through_as_it_is() {
    let Some(server) = Https::new(&["api.test"]) else { return };
    for (program, line) in [
        ("curl", "curl -sS --cacert ca.pem https://api.test/"),
        (
            "python3",
            "SSL_CERT_FILE=ca.pem python3 -c 'import urllib.request as u; print(u.urlopen(\"https://api.test/\").read().decode(), end=\"\")'",
        ),
        (
            "node",
            "NODE_EXTRA_CA_CERTS=ca.pem node -e 'fetch(\"https://api.test/\").then(r => r.text()).then(t => process.stdout.write(t))'",
        ),
    ] {
        if skip::program(program).is_some() {
            let result = shell(&server, "", line);
            assert_eq!(result["stdout"], "hello api.test\n", "{line}: {result}");
            // Looked at call by call, too: the address that stands for the name is not told as refused.
            let told = result["denials"].as_array().map(Vec::as_slice).unwrap_or_default();
            let network = |one: &&Value| one["access"].as_str().is_some_and(|access| access.starts_with("network."));
            assert_eq!(told.iter().find(network), None, "{line}: {result}");
        }
    }
}

#[test]
fn net_20_a_connection_that_asks_for_another_name_is_refused() {
    let Some(server) = Https::new(&["api.test", "other.test"]) else { return };
    if skip::program("curl").is_none() {
        return;
    }
    let line = "curl -sS --cacert ca.pem --connect-to other.test:443:api.test:443 https://other.test/";
    for tls in ["", "tls = \"match-if-named\""] {
        let result = shell(&server, tls, line);
        assert_ne!(result["exit_code"], 0, "{result}");
        assert_eq!(note(&result), "the connection was for api.test, and its TLS asked for other.test", "{result}");
        assert_eq!(result["denials"][0]["subject"], "api.test:443");
        assert_eq!(result["denials"][0]["program"], "curl");
    }
    let result = shell(&server, "tls = \"opaque\"", line);
    assert_eq!(result["stdout"], "hello other.test\n", "control: {result}");
}

#[test]
fn net_20_a_connection_that_asks_for_no_name_is_refused_unless_that_is_allowed() {
    let Some(server) = Https::new(&["api.test"]) else { return };
    let line = "python3 -c '
import socket, ssl
context = ssl.create_default_context(); context.check_hostname = False; context.verify_mode = ssl.CERT_NONE
s = context.wrap_socket(socket.create_connection((\"api.test\", 443)))
s.send(b\"GET / HTTP/1.0\\r\\n\\r\\n\")
print(s.recv(4096).decode().split()[1])'";
    let result = shell(&server, "", line);
    assert_eq!((&result["stdout"], note(&result)), (&Value::from(""), "its TLS asked for no name"), "{result}");
    let result = shell(&server, "tls = \"match-if-named\"", line);
    assert_eq!(result["stdout"], "200\n", "{result}");
}

#[test]
fn net_20_what_is_not_tls_does_not_pass_on_its_port() {
    let Some(server) = Https::new(&["api.test"]) else { return };
    if skip::program("curl").is_none() {
        return;
    }
    let line = "curl -sS http://api.test:443/; printf 'SSH-2.0-x\\r\\n' | timeout 5 python3 -c '
import socket, sys
s = socket.create_connection((\"api.test\", 443)); s.send(sys.stdin.buffer.read())
print(s.recv(10))'";
    let result = shell(&server, "", line);
    assert_eq!(result["stdout"], "", "{result}");
    assert_eq!(note(&result), "what was sent on port 443 is not TLS", "{result}");
    assert_eq!(result["network"][0]["connections"], 0, "{result}");
    // A first message in pieces is one all the same.
    let pieces = "python3 -c '
import socket, ssl, time
context = ssl.create_default_context(cafile=\"ca.pem\")
raw = socket.create_connection((\"api.test\", 443)); raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
inside, outside = ssl.MemoryBIO(), ssl.MemoryBIO()
s = context.wrap_bio(inside, outside, server_hostname=\"api.test\")
while True:
    try: s.do_handshake(); break
    except ssl.SSLWantReadError:
        for byte in outside.read(): raw.send(bytes([byte]))
        inside.write(raw.recv(65536))
print(s.version()[:3])'";
    let result = shell(&server, "", pieces);
    assert_eq!(result["stdout"], "TLS\n", "{result}");
}
