//! The proxy as a program sees it: through its port, with servers of its own to reach.

use super::*;
use crate::network::resolver::{FixedName, FixedNames, SystemResolver};
use cofferdam_bridge::profile::{HttpRule, HttpScheme, NetworkProfile, NetworkRule};
use cofferdam_bridge::verdict::RuleRef;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long a test waits for what must come.
const LONG: Duration = Duration::from_secs(20);

/// A server that answers one connection with `answer` once it has read `wanted` bytes, and tells all that it read to its end.
fn server(wanted: usize, answer: &'static [u8]) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        let mut seen = vec![0; wanted];
        stream.read_exact(&mut seen).unwrap();
        stream.write_all(answer).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let _ = stream.read_to_end(&mut seen);
        String::from_utf8_lossy(&seen).into_owned()
    });
    (address, thread)
}

/// A proxy that allows `ok.test` on port 80, which is `server`, and on 443; and names that lead where they may not.
fn proxy(server: SocketAddr) -> LocalProxy {
    let mut profile = NetworkProfile::default();
    let rule = RuleRef::new("test", None, "test");
    let local = server.port();
    let inside = HttpRule::new(Vec::new(), "inside.test", 80, "/", rule.clone()).over(HttpScheme::Https);
    profile.http.push(inside);
    for (host, port) in
        [("ok.test", 80), ("ok.test", 443), ("rebound.test", 80), ("inside.test", 80), ("127.0.0.1", local)]
    {
        profile.allow.push(NetworkRule::new(host, port, port, rule.clone()));
    }
    let names = vec![
        FixedName::new("ok.test", None, server.ip(), Some(local)),
        FixedName::new("inside.test", None, server.ip(), Some(local)),
        FixedName::new("rebound.test", None, "127.0.0.2".parse().unwrap(), None),
    ];
    let resolver = Arc::new(FixedNames::new(names, SystemResolver::default()));
    LocalProxy::start(Gate::new(&profile, resolver, true), Arc::new(UnknownAsker::default())).unwrap()
}

impl LocalProxy {
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream
    }

    fn authorization(&self) -> String {
        let encoded = crate::network::upstream::base64(self.credential.user_info().as_bytes());
        format!("Proxy-Authorization: Basic {encoded}\r\n")
    }

    /// What is answered on the way to `ok.test` when `hello` is said before the way is open, which must not be lost.
    fn hello(&self) -> String {
        let mut stream = self.connect();
        stream
            .write_all(format!("CONNECT ok.test:80 HTTP/1.1\r\n{}\r\nhello", self.authorization()).as_bytes())
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// What is answered to `text`, to its end, on a connection whose other direction stays open.
    fn said(&self, text: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(text.as_bytes()).unwrap();
        let mut answer = Vec::new();
        // What is refused when the way is open already breaks.
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// What is answered to the messages of SOCKS5, the last of which ends the talk.
    fn socks(&self, greeting: &[u8], user: &str, password: &str, wish: &[u8]) -> Vec<u8> {
        let mut stream = self.connect();
        let length = |text: &str| u8::try_from(text.len()).unwrap();
        let who = [&[1, length(user)][..], user.as_bytes(), &[length(password)], password.as_bytes()].concat();
        // Byte by byte, so that each comes alone.
        stream.set_nodelay(true).unwrap();
        for byte in [greeting, &who, wish].concat() {
            if stream.write_all(&[byte]).is_err() {
                break;
            }
        }
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        answer
    }

    fn socks_by_name(&self, name: &[u8], port: u16) -> Vec<u8> {
        let secret = self.credential.user_info();
        let (user, password) = secret.split_once(':').unwrap();
        let mut wish = vec![5, 1, 0, 3, u8::try_from(name.len()).unwrap()];
        wish.extend(name);
        wish.extend(port.to_be_bytes());
        self.socks(&[5, 2, 0, 2], user, password, &wish)
    }
}

#[test]
fn a_way_is_opened_and_counted() {
    let (address, thread) = server(5, b"world");
    let mut proxy = proxy(address);
    assert_eq!(proxy.hello(), "HTTP/1.1 200 Connection established\r\n\r\nworld");
    assert_eq!(thread.join().unwrap(), "hello");
    proxy.end();
    let (traffic, denials) = proxy.take();
    let told: Vec<_> =
        traffic.iter().map(|one| (one.host.as_str(), one.port, one.sent_bytes, one.received_bytes)).collect();
    assert_eq!((told, denials), (vec![("ok.test", 80, 5, 5)], vec![]));
}

#[test]
fn net_23_one_request_is_handed_on_and_no_second_one() {
    let answer = b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok";
    let (address, thread) = server("PUT /a HTTP/1.1\r\n".len(), answer);
    let proxy = proxy(address);
    let own = proxy.authorization();
    let second = format!("GET http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n{own}\r\n");
    let said = proxy.said(&format!(
        "PUT http://ok.test/a HTTP/1.1\r\nHost: ok.test\r\n{own}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n{second}"
    ));
    assert_eq!(said, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
    let seen = thread.join().unwrap();
    let expected = "PUT /a HTTP/1.1\r\nHost: ok.test\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    assert_eq!(seen, expected, "no secret, and nothing of the second request");
}

#[test]
fn net_22_what_belongs_inside_tls_goes_nowhere_in_the_clear() {
    let (address, _thread) = server(1, b"");
    let proxy = proxy(address);
    let own = proxy.authorization();
    let said = proxy.said(&format!("GET http://inside.test/ HTTP/1.1\r\nHost: inside.test\r\n{own}\r\n"));
    assert!(said.starts_with("HTTP/1.1 400 ") && said.contains("inside TLS"), "{said}");
    let (traffic, denials) = proxy.take();
    assert!(traffic.iter().all(|one| one.connections == 0), "{traffic:?}");
    assert!(denials[0].note.as_ref().unwrap().contains("inside TLS"), "{denials:?}");
}

#[test]
fn net_26_who_does_not_know_the_secret_gets_nothing() {
    let (address, _thread) = server(1, b"");
    let (proxy, other) = (proxy(address), proxy(address));
    let foreign = other.authorization();
    for own in ["", "Proxy-Authorization: Basic eDp5\r\n", foreign.as_str()] {
        let said = proxy.said(&format!("CONNECT ok.test:80 HTTP/1.1\r\n{own}\r\n"));
        assert!(said.starts_with("HTTP/1.1 407 ") && said.contains("Proxy-Authenticate: Basic "), "{said}");
        let said = proxy.said(&format!("GET http://ok.test/ HTTP/1.1\r\nHost: ok.test\r\n{own}\r\n"));
        assert!(said.starts_with("HTTP/1.1 407 "), "{said}");
    }
    let wish = [&[5, 1, 0, 3, 7][..], b"ok.test", &[0, 80]].concat();
    assert_eq!(proxy.socks(&[5, 1, 0], "", "", &wish), [5, 0xff], "no way without a password");
    let secret = other.credential.user_info();
    let (user, password) = secret.split_once(':').unwrap();
    assert_eq!(proxy.socks(&[5, 2, 0, 2], user, password, &wish), [5, 2, 1, 1]);
    assert_eq!(proxy.take(), (vec![], vec![]), "nobody was asked about a host");
}

#[test]
fn what_no_rule_names_is_refused_by_name() {
    let (address, _thread) = server(1, b"");
    let proxy = proxy(address);
    let own = proxy.authorization();
    let way = |host: &str| proxy.said(&format!("CONNECT {host} HTTP/1.1\r\n{own}\r\n"));
    for host in ["evil.test:80", "ok.test:81", "127.0.0.1:9", "[::1]:80", "169.254.169.254:80", "rebound.test:80"] {
        let said = way(host);
        assert!(said.starts_with("HTTP/1.1 403 ") && said.contains(host), "{said}");
    }
    for host in ["ok.test@evil:80", "2130706433:80", "ok%2etest:80"] {
        assert!(way(host).starts_with("HTTP/1.1 400 "), "{host}");
    }
    let (traffic, denials) = proxy.take();
    assert!(traffic.iter().all(|one| one.connections == 0), "{traffic:?}");
    let told: Vec<&str> = denials.iter().map(|one| one.subject.as_str()).collect();
    let expected = [
        "evil.test:80",
        "ok.test:81",
        "127.0.0.1:9",
        "[::1]:80",
        "169.254.169.254:80",
        "rebound.test:80",
        "ok.test@evil:80",
        "2130706433:80",
        "ok%2etest:80",
    ];
    assert_eq!(told, expected);
    let rebound = denials.iter().find(|one| one.subject == "rebound.test:80").unwrap();
    assert_eq!(rebound.resolved.as_deref(), Some("127.0.0.2:80"));
}

#[test]
fn socks_by_name_and_by_an_address_that_a_rule_names() {
    for by_name in [true, false] {
        let (address, thread) = server(0, b"x");
        let proxy = proxy(address);
        let answer = match by_name {
            true => proxy.socks_by_name(b"ok.test", 80),
            false => {
                let secret = proxy.credential.user_info();
                let (user, password) = secret.split_once(':').unwrap();
                let wish = [&[5, 1, 0, 1, 127, 0, 0, 1][..], &address.port().to_be_bytes()].concat();
                proxy.socks(&[5, 1, 2], user, password, &wish)
            }
        };
        assert_eq!(answer, [5, 2, 1, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0, b'x']);
        thread.join().unwrap();
    }
}

#[test]
fn net_15_net_17_net_18_what_socks_refuses() {
    let (address, _thread) = server(1, b"");
    let proxy = proxy(address);
    let refused = |code: u8| [5, 2, 1, 0, 5, code, 0, 1, 0, 0, 0, 0, 0, 0];
    for name in [
        &b"evil\0ok.test"[..],
        b"ok.test\r\nHost: evil",
        b"",
        &[b'a'; 255],
        b"\xff\xfe",
        b"169.254.169.254",
        b"evil.test",
    ] {
        assert_eq!(proxy.socks_by_name(name, 80), refused(2), "{}", String::from_utf8_lossy(name));
    }
    let secret = proxy.credential.user_info();
    let (user, password) = secret.split_once(':').unwrap();
    for (wish, code) in [
        (&[5, 1, 0, 1, 10, 0, 0, 1, 0, 80][..], 2),
        (&[5, 2, 0, 1, 127, 0, 0, 1, 0, 80], 7),
        (&[5, 3, 0, 1, 127, 0, 0, 1, 0, 80], 7),
        (&[5, 1, 0, 9], 8),
    ] {
        assert_eq!(proxy.socks(&[5, 1, 2], user, password, wish), refused(code), "{wish:?}");
    }
    // SOCKS4 and its kin with names.
    let said = proxy.said("\u{4}\u{1}\0P\0\0\0\u{1}\0ok.test\0\r\n\r\n");
    assert!(said.starts_with("HTTP/1.1 400 "), "{said}");
}

#[test]
fn net_20_tls_is_looked_at_behind_the_proxy_too() {
    let (address, _thread) = server(1, b"");
    let mut proxy = proxy(address);
    let own = proxy.authorization();
    let said = proxy.said(&format!("CONNECT ok.test:443 HTTP/1.1\r\n{own}\r\nGET / HTTP/1.1\r\n\r\n"));
    assert!(said.is_empty() || said == "HTTP/1.1 200 Connection established\r\n\r\n", "{said}");
    let said = proxy.said(&format!("GET http://ok.test:443/ HTTP/1.1\r\nHost: ok.test:443\r\n{own}\r\n"));
    assert!(said.starts_with("HTTP/1.1 403 "), "{said}");
    proxy.end();
    let (traffic, denials) = proxy.take();
    assert!(traffic.iter().all(|one| one.connections == 0), "{traffic:?}");
    assert!(denials.iter().all(|one| one.subject == "ok.test:443") && !denials.is_empty(), "{denials:?}");
}

#[test]
fn net_13_below_a_wildcard_only_so_many_names_are_asked_for() {
    let mut profile = NetworkProfile::default();
    profile.allow.push(NetworkRule::new("*.wild.test", 80, 80, RuleRef::new("test", None, "test")));
    let nowhere = vec![FixedName::new("*.wild.test", None, "127.0.0.2".parse().unwrap(), None)];
    let resolver = Arc::new(FixedNames::new(nowhere, SystemResolver::default()));
    let gate = Gate::new(&profile, resolver, true);
    for number in 0..crate::network::address_book::MOST_NAMES {
        assert!(gate.may_ask(&format!("n{number}.wild.test"), || None));
    }
    let proxy = LocalProxy::start(gate, Arc::new(UnknownAsker::default())).unwrap();
    let own = proxy.authorization();
    let said = proxy.said(&format!("CONNECT one.more.wild.test:80 HTTP/1.1\r\n{own}\r\n"));
    assert!(said.starts_with("HTTP/1.1 403 "), "{said}");
    let (_, denials) = proxy.take();
    assert_eq!(denials[0].access, "network.resolve");
}

#[test]
fn a_program_finds_it_and_logs_do_not_tell_the_secret() {
    let (address, _thread) = server(1, b"");
    let proxy = proxy(address);
    let environment: std::collections::BTreeMap<_, _> = proxy.environment().into_iter().collect();
    let expected = format!("http://{}@127.0.0.1:{}", proxy.credential.user_info(), proxy.port());
    for name in PROXY_VARIABLES {
        assert_eq!(environment[name], expected);
    }
    assert_eq!((environment["no_proxy"].as_str(), environment["NODE_USE_ENV_PROXY"].as_str()), ("", "1"));
    let secret = proxy.credential.user_info();
    assert!(!format!("{proxy:?}").contains(secret.split_once(':').unwrap().1));
}

#[test]
fn net_29_who_does_not_show_whose_it_is_takes_no_place_of_the_run() {
    let (address, thread) = server(5, b"world");
    let proxy = proxy(address);
    // More than wait at once, in every manner of saying nothing: silent, half a head, half of SOCKS5's talk.
    let mut held = Vec::new();
    for number in 0..100 {
        let mut stream = proxy.connect();
        stream
            .write_all([&b""[..], b"CONNECT ok.test:80 HTTP/1.1\r\nX: ", b"\x05\x01\x02\x01\x09cof"][number % 3])
            .unwrap();
        held.push(stream);
    }
    assert_eq!(proxy.hello(), "HTTP/1.1 200 Connection established\r\n\r\nworld");
    assert_eq!(thread.join().unwrap(), "hello");
    // Some gave way to it and to one another; it never was the other way round.
    let gone = held.iter_mut().filter_map(|stream| {
        stream.set_nonblocking(true).unwrap();
        loop {
            match stream.read(&mut [0; 64]) {
                Ok(1..) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                _ => return Some(()),
            }
        }
    });
    assert!(gone.count() >= 100 - 64, "nobody gave way");
}
