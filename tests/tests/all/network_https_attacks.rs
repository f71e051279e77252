//! Ways around rules about requests inside TLS: requests that two servers take differently, other ways to the same host, and hosts that
//! speak otherwise than they should. The server is the witness.

use crate::network_https::{Witness, denial, ended};
use cofferdam_tests::host::Host;
use cofferdam_tests::skip;
use serde_json::Value;
use std::io::{Read, Write};

const RULES: [&str; 1] = ["GET,POST https://api.test/v1/"];

#[test]
fn net_22_what_servers_and_those_before_them_read_differently_never_arrives() {
    for witness in Witness::everywhere() {
        let (answers, result) = witness.attempts(
        &RULES,
        r#"
def get(fields, body=b''): return GET.replace(b'Connection: close\r\n', fields) + body
def line(text): return GET.replace(b'GET /v1/x HTTP/1.1', text)
def host(text): return GET.replace(b'api.test', text)
hidden = b'Content-Length: %d\r\n' % len(BAD)
attempt('control', lambda: codes(GET))
attempt('body-of-get', lambda: codes(get(hidden, BAD)))
attempt('chunks-of-get', lambda: codes(get(b'Transfer-Encoding: chunked\r\n', b'0\r\n\r\n' + BAD)))
attempt('length-taken-away', lambda: codes(post(b'Connection: close, Content-Length\r\n' + hidden, BAD)))
attempt('coding-taken-away', lambda: codes(post(b'Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n', b'0\r\n\r\n' + BAD)))
attempt('length-as-cgi', lambda: codes(post(b'Content_Length: 0\r\n' + hidden, BAD)))
attempt('other-method', lambda: codes(get(b'X-HTTP-Method-Override: DELETE\r\n')))
attempt('other-method-as-cgi', lambda: codes(get(b'X_HTTP_METHOD_OVERRIDE: DELETE\r\n')))
attempt('other-method-with-dots', lambda: codes(get(b'X.HTTP.Method.Override: DELETE\r\n')))
attempt('length-in-base-8', lambda: codes(post(b'Content-Length: 010\r\n', b'x' * 8)))
attempt('coding-in-capitals', lambda: codes(post(b'Transfer-Encoding: Chunked\r\n', b'0\r\n\r\n' + BAD)))
attempt('overlong', lambda: codes(line(b'GET /v1/%c0%ae%c0%ae%c0%afsecret HTTP/1.1')))
attempt('body-of-options', lambda: codes(get(hidden, BAD).replace(b'GET', b'OPTIONS', 1)))
attempt('other-path', lambda: codes(get(b'X-Original-URL: /secret\r\n')))
attempt('whole-address', lambda: codes(line(b'GET https://api.test/v1/x HTTP/1.1')))
attempt('other-address', lambda: codes(line(b'GET https://plain.test/v1/x HTTP/1.1')))
attempt('signed-port', lambda: codes(host(b'api.test:+443')))
attempt('padded-port', lambda: codes(host(b'api.test:0443')))
attempt('dotted-host', lambda: codes(host(b'api.test.')))
attempt('address-as-host', lambda: codes(host(b'127.0.0.1')))
attempt('bare-return', lambda: codes(get(b'X: y\r z\r\n')))
attempt('version-0.9', lambda: codes(b'GET /v1/x\r\n'))
"#,
    );
        assert_eq!(answers[0], "control 200", "{result}");
        assert_eq!(answers.len(), 22, "{answers:#?} {result}");
        for answer in &answers[1..] {
            assert!(answer.ends_with(" 400"), "{answer}: {result}");
        }
        assert_eq!(witness.server.arrived(), "GET /v1/x HTTP/1.1 \n");
    }
}

#[test]
fn net_20_nothing_is_resumed_or_sent_early() {
    let Some(witness) = Witness::new() else { return };
    if skip::program("openssl").is_none() {
        return;
    }
    let (answers, result) = witness.attempts(
        &RULES,
        r#"
import subprocess
def again():
    first = connect(context(), 'api.test'); first.sendall(GET)
    while first.recv(65536): pass
    ticket = first.session
    second = context()
    s = second.wrap_socket(socket.create_connection(('api.test', 443)), server_hostname='api.test') if ticket is None else None
    if s is None:
        own = first.context; s = own.wrap_socket(socket.create_connection(('api.test', 443)), server_hostname='api.test', session=ticket)
    return s.session_reused
def openssl(said, *options):
    told = subprocess.run(['openssl', 's_client', '-connect', 'api.test:443', '-servername', 'api.test', *options],
        input=said, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20).stdout
    return told
attempt('resumed', again)
def tickets():
    told = openssl(b'', '-tls1_3', '-msg')
    return [name in told for name in (b'EncryptedExtensions', b'NewSessionTicket')]
attempt('tickets', tickets)
"#,
    );
    assert_eq!(answers, ["resumed False", "tickets [True, False]"], "{result}");
    assert_eq!(witness.server.arrived(), "GET /v1/x HTTP/1.1 \n");
}

#[test]
fn net_22_a_host_whose_requests_are_looked_at_is_not_opened_to_datagrams() {
    let Some(witness) = Witness::new() else { return };
    for entry in ["udp://api.test:443", "udp://*.test:443", "udp://*:400-500"] {
        let plain = witness.policy(&RULES);
        let wide = plain.replace("allow = [", &format!("allow = [\"{entry}\", "));
        let added = [witness.leads(), vec!["--allow-net".to_owned(), entry.to_owned()]].concat();
        // In the file, and where the command line adds it.
        for (policy, options) in [(&wide, &witness.leads()), (&plain, &added)] {
            let output = witness.under(policy, options, "echo ran > mark").output().unwrap();
            let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            assert!(!output.status.success() && told.contains("HTTP/3") && told.contains(entry), "{told}");
        }
    }
    assert!(!witness.place.join("mark").exists());
    // A program that tries is told that no entry would open it.
    let (answers, result) = witness.attempts(
        &RULES,
        "
def quic():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(20)
    s.connect((socket.gethostbyname('api.test'), 443)); s.send(b'x'); return s.recv(9)
attempt('quic', quic)
",
    );
    assert!(answers[0].contains("ConnectionRefused"), "{answers:?}");
    let told = denial(&result, "api.test:443/udp");
    assert!(told["remedy"].is_null() && told["note"].as_str().unwrap().contains("looked at"), "{told}");
}

#[test]
fn net_20_hosts_that_speak_otherwise_are_answered_for() {
    for witness in Witness::everywhere() {
        if skip::program("curl").is_none() {
            return;
        }
        let line = "timeout 50 curl -s -w ' %{http_code}' https://api.test/v1/x";
        let silent = Host::new(|stream| stream.shutdown(std::net::Shutdown::Both));
        // An answer as of HTTP without TLS; and the alert by which a server without HTTP/1.1 refuses (RFC 7301, 3.2).
        let plain = Host::new(|mut stream| {
            let _ = stream.read(&mut [0; 4096])?;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno")
        });
        let newer = Host::new(|mut stream| {
            let _ = stream.read(&mut [0; 4096])?;
            stream.write_all(&[21, 3, 3, 0, 2, 2, 120])
        });
        for (host, why) in [(&silent, None), (&plain, None), (&newer, Some("takes other protocols than HTTP/1.1"))] {
            let lead = format!("api.test:443=127.0.0.1:{}", host.port());
            let leads = ["--resolve", &lead, "--allow-net", &format!("localhost:{}", host.port())].map(str::to_owned);
            let result = ended(witness.under(&witness.policy(&RULES), &leads, line));
            assert!(result["stdout"].as_str().unwrap().ends_with(" 502"), "{result}");
            if let Some(why) = why {
                let told = denial(&result, "api.test:443");
                assert!(told["note"].as_str().unwrap().contains(why), "{told}");
                assert!(told["remedy"].as_str().unwrap().contains("remove the entries"), "{told}");
            } else {
                let none = |denials: &Value| denials.as_array().is_none_or(Vec::is_empty);
                assert!(none(&result["denials"]), "{result}");
            }
        }
    }
}

#[test]
fn who_asks_for_nothing_is_told_of_until_somebody_has() {
    let Some(witness) = Witness::new() else { return };
    let quiet = "
def quiet(): connect(context(), 'api.test').close()
attempt('quiet', quiet)
";
    let (_, result) = witness.attempts(&RULES, quiet);
    let told = denial(&result, "api.test:443");
    assert!(told["note"].as_str().unwrap().contains("asked for nothing"), "{told}");
    // A program decides by itself whether it asks: that nobody look inside any more is not for it to propose.
    assert!(told["remedy"].is_null(), "{told}");
    if skip::program("node").is_some() {
        let line =
            "env -u NODE_EXTRA_CA_CERTS node -e 'fetch(\"https://api.test/v1/x\").catch(() => console.log(\"no\"))'";
        let result = witness.shell(&RULES, line);
        let told = denial(&result, "api.test:443")["note"].as_str().unwrap();
        assert!(result["stdout"] == "no\n" && told.contains("NODE_EXTRA_CA_CERTS"), "{result}");
    }
    assert_eq!(told["rule"]["text"], "network.http \"GET,POST https://api.test/v1/\"", "{told}");
    let (_, result) = witness.attempts(&RULES, &format!("attempt('control', lambda: codes(GET))\n{quiet}"));
    assert!(result["denials"].as_array().is_none_or(Vec::is_empty), "{result}");
}
