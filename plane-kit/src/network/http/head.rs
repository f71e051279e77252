//! The head of one request.

use super::body::Body;
use cofferdam_bridge::network_rules::{canonical_name, canonical_path, is_own_name};
use cofferdam_bridge::profile::HttpScheme;
use httparse::{EMPTY_HEADER, Header, Status};
use std::net::IpAddr;

/// Longest head that is read, in bytes.
pub(super) const LONGEST: usize = 32 << 10;
/// As many fields as a head may have.
const MOST_FIELDS: usize = 128;
/// Methods whose body has no meaning (RFC 9110, 9.3.1, 9.3.2, 9.3.7, 9.3.8): servers that pass it over take it for another request.
const BODILESS: [&str; 4] = ["GET", "HEAD", "OPTIONS", "TRACE"];
/// Fields by which servers take another method or path than the first line has.
const OTHER_REQUEST: [&str; 5] =
    ["x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-rewrite-url"];
/// Fields that are read here. Interfaces such as CGI (RFC 3875, 4.1.18) make one of `_` and `-`, and some of every sign, so that another spelling can be taken for one.
const READ: [&str; 5] = ["host", "connection", "content-length", "transfer-encoding", "upgrade"];
/// What may be said of the connection itself. A front end takes away whatever else is named there, such as a length.
const OF_CONNECTION: [&str; 3] = ["close", "keep-alive", "te"];

/// Fields about the connection to the next server (RFC 9110, 7.6.1; RFC 2068, 19.7.1.1).
const OF_ONE_WAY: [&[u8]; 3] = [b"connection", b"keep-alive", b"te"];

/// A port, and what goes over it.
type Port = (u16, HttpScheme);

/// A request whose head is whole.
#[derive(Debug)]
pub(super) struct Head {
    /// How long it is, in bytes.
    pub(super) length: usize,
    pub(super) method: String,
    /// In the one spelling that is compared.
    pub(super) path: String,
    /// The name of this machine that it is for, where it says one.
    pub(super) own_name: Option<String>,
    pub(super) body: Body,
}

/// Reads the head at the start of `bytes`, of a request to `port` of `host`; none where it is not whole yet.
///
/// # Errors
/// Why it is refused, whatever the rules say.
pub(super) fn read(bytes: &[u8], host: &str, port: Port) -> Result<Option<Head>, &'static str> {
    // The parser passes empty lines over, and takes lone line feeds for ends of lines (RFC 9112, 2.2): servers differ there.
    if bytes.first().is_some_and(|byte| !byte.is_ascii_uppercase()) {
        return Err("it does not begin with a method");
    }
    let mut fields = [EMPTY_HEADER; MOST_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    let length = match request.parse(bytes) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) if bytes.len() > LONGEST => return Err("its head is too long"),
        Ok(Status::Partial) => return Ok(None),
        Err(_) => return Err("it is no HTTP/1"),
    };
    let lines = bytes.get(..length).unwrap_or_default();
    if length > LONGEST || !ends_alike(lines) {
        return Err("its lines end in a way that servers read differently");
    }
    let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) else {
        return Err("it is no HTTP/1");
    };
    if method == "CONNECT" {
        return Err("it asks for a tunnel");
    }
    let path = canonical_path(target).ok_or("its target is no path that every server reads alike")?;
    let named = one(request.headers, "host")?.ok_or("it names no host")?;
    if !names(named, host, port) {
        return Err("it is for another host than the connection");
    }
    let own_name = own_name(named);
    if one(request.headers, "upgrade")?.is_some() {
        return Err("it asks for another protocol");
    }
    check_fields(request.headers)?;
    let body = body(request.headers, version)?;
    if BODILESS.contains(&method) && body != Body::Ended {
        return Err("it has a body, which servers may take for another request");
    }
    Ok(Some(Head { length, method: method.to_owned(), path, own_name, body }))
}

/// Adds the lines of a head to `passed`, of which it says that the connection ends with its request (RFC 9112, 9.6), whatever it said, and
/// nothing else: some servers compare the whole value. `TE` goes with `Connection`, in which it has to stand (RFC 9110, 10.1.4).
pub(super) fn closing(lines: &[u8], passed: &mut Vec<u8>) {
    for line in lines.split_inclusive(|byte| *byte == b'\n').filter(|line| *line != b"\r\n") {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        if !OF_ONE_WAY.iter().any(|known| name.eq_ignore_ascii_case(known)) {
            passed.extend_from_slice(line);
        }
    }
    passed.extend_from_slice(b"Connection: close\r\n\r\n");
}

/// Whether each line ends by both characters, none is continued, and nothing in it steers.
fn ends_alike(lines: &[u8]) -> bool {
    let mut before = 0;
    lines.iter().all(|byte| {
        let fine = match byte {
            b'\n' => before == b'\r',
            b' ' | b'\t' => before != b'\n' && before != b'\r',
            0..=0x1f | 0x7f => *byte == b'\r' && before != b'\r',
            _ => before != b'\r',
        };
        before = *byte;
        fine
    })
}

/// Refuses fields that make another request of it for some servers, or for those behind them.
fn check_fields(fields: &[Header<'_>]) -> Result<(), &'static str> {
    for field in fields {
        let name = field.name.to_ascii_lowercase().replace(|letter: char| !letter.is_ascii_alphanumeric(), "-");
        if OTHER_REQUEST.contains(&name.as_str()) {
            return Err("a field of it asks for another method or path than its first line");
        }
        if !READ.contains(&name.as_str()) {
            continue;
        }
        if !field.name.eq_ignore_ascii_case(&name) {
            return Err("a field of it is named in a way that servers read differently");
        }
        let fine =
            |one: &[u8]| one.is_empty() || OF_CONNECTION.iter().any(|known| one.eq_ignore_ascii_case(known.as_bytes()));
        if name == "connection" && !field.value.split(|byte| *byte == b',').all(|one| fine(one.trim_ascii())) {
            return Err("it has a field taken away on its way (Connection)");
        }
    }
    Ok(())
}

/// The value of a field that may stand once.
fn one<'a>(fields: &'a [Header<'_>], name: &str) -> Result<Option<&'a [u8]>, &'static str> {
    let mut own = fields.iter().filter(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value);
    let first = own.next();
    if own.next().is_some() { Err("a field stands twice that may stand once") } else { Ok(first) }
}

/// Whether the value of `Host` is `host`, with the port unless it is the usual one.
fn names(value: &[u8], host: &str, (port, scheme): Port) -> bool {
    let Ok(text) = std::str::from_utf8(value) else { return false };
    let (name, own_port) = match text.rsplit_once(':') {
        Some((name, digits)) if !digits.ends_with(']') => (name, plain_port(digits)),
        _ => (text, Some(scheme.usual_port())),
    };
    // A server may take either for a host that it does not have, and answer as its first.
    if name.ends_with('.') {
        return false;
    }
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let same = match host.parse::<IpAddr>() {
        // A rule about `localhost` is one about the loopback addresses, which a program may call by either.
        Ok(address) if bare.is_none() && canonical_name(name).as_deref().is_some_and(is_own_name) => {
            address.is_loopback()
        }
        Ok(address) => bare.unwrap_or(name).parse() == Ok(address) && bare.is_some() == address.is_ipv6(),
        Err(_) => bare.is_none() && canonical_name(name).as_deref() == Some(host),
    };
    same && own_port == Some(port)
}

/// The name of this machine in a value of `Host`: a server may have many, all of which lead to the same addresses.
fn own_name(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    let name = text.rsplit_once(':').map_or(text, |(name, _)| name);
    canonical_name(name).filter(|name| is_own_name(name))
}

/// A port in the one spelling that is compared.
fn plain_port(digits: &str) -> Option<u16> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    digits.parse().ok().filter(|_| plain)
}

/// How the body is framed (RFC 9112, 6.3): by one of two ways, and never by both.
fn body(fields: &[Header<'_>], version: u8) -> Result<Body, &'static str> {
    let (coding, length) = (one(fields, "transfer-encoding")?, one(fields, "content-length")?);
    match (coding, length) {
        (None, None) => Ok(Body::default()),
        (None, Some(digits)) => {
            // Some read a number that begins with 0 in base 8.
            let plain = (1..=18).contains(&digits.len()) && (digits == b"0" || !digits.starts_with(b"0"));
            let plain = plain && digits.iter().all(u8::is_ascii_digit);
            let text = std::str::from_utf8(digits).ok().filter(|_| plain);
            text.and_then(|text| text.parse().ok()).map(Body::of_length).ok_or("its length is no plain number")
        }
        (Some(coding), None) if coding == b"chunked" && version == 1 => Ok(Body::chunked()),
        (Some(_), None) => Err("its body is encoded in a way that is not read here"),
        (Some(_), Some(_)) => Err("its body has two lengths"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use HttpScheme::{Http, Https};

    fn read_of(text: &str) -> Result<Option<Head>, &'static str> {
        read(text.as_bytes(), "a.test", (80, Http))
    }

    #[test]
    fn a_request_is_read() {
        let text = "GET /v1/x?q HTTP/1.1\r\nHost: A.test:80\r\nX: y z\r\n\r\nrest";
        let head = read_of(text).unwrap().unwrap();
        assert_eq!((head.length, head.method.as_str(), head.path.as_str()), (text.len() - 4, "GET", "/v1/x"));
        for length in 1..head.length {
            assert!(matches!(read_of(&text[..length]), Ok(None)), "{length}");
        }
        assert!(read(b"GET / HTTP/1.1\r\nHost: [::1]:81\r\n\r\n", "::1", (81, Http)).unwrap().is_some());
        assert!(read(b"GET / HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n", "10.0.0.1", (80, Http)).unwrap().is_some());
        for host in ["127.0.0.1", "::1"] {
            assert!(read(b"GET / HTTP/1.1\r\nHost: LocalHost:81\r\n\r\n", host, (81, Http)).unwrap().is_some());
        }
        assert!(read(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "10.0.0.1", (80, Http)).is_err());
    }

    #[test]
    fn inside_tls_another_port_need_not_be_told() {
        let told = |host: &str, port| {
            let text = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
            read(text.as_bytes(), "a.test", (port, Https)).is_ok()
        };
        assert!(told("a.test", 443) && told("a.test:443", 443) && told("a.test:80", 80));
        assert!(!told("a.test:80", 443) && !told("a.test", 80) && !told("a.test", 8443) && !told("b.test", 443));
    }

    #[test]
    fn net_22_a_body_that_servers_pass_over_is_refused() {
        for method in ["GET", "HEAD", "OPTIONS", "TRACE"] {
            let told = |fields: &str| read_of(&format!("{method} / HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n"));
            for framed in ["Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"] {
                assert!(told(framed).unwrap_err().contains("has a body"), "{method} {framed}");
            }
            assert!(told("Content-Length: 0\r\nConnection: keep-alive, TE\r\n").unwrap().is_some(), "{method}");
        }
        assert!(
            read_of("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n").is_ok()
        );
    }

    #[test]
    fn net_22_what_servers_read_differently_is_refused() {
        for (fields, why) in [
            ("Host: a.test\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n", "two lengths"),
            ("Host: a.test\r\nContent-Length: 5\r\nContent-Length: 6\r\n", "twice"),
            ("Host: a.test\r\nContent-Length: 5\r\nContent-Length: 5\r\n", "twice"),
            ("Host: a.test\r\nContent-Length: +5\r\n", "plain number"),
            ("Host: a.test\r\nContent-Length: 5, 5\r\n", "plain number"),
            ("Host: a.test\r\nContent-Length: 010\r\n", "plain number"),
            ("Host: a.test\r\nContent-Length: 0003\r\n", "plain number"),
            ("Host: a.test\r\nContent-Length: 00\r\n", "plain number"),
            ("Host: a.test\r\nTransfer-Encoding: Chunked\r\n", "not read here"),
            ("Host: a.test\r\nTransfer-Encoding : chunked\r\n", "no HTTP"),
            ("Host: a.test\r\nTransfer-Encoding: xchunked\r\n", "not read here"),
            ("Host: a.test\r\nTransfer-Encoding: chunked, identity\r\n", "not read here"),
            ("Host: a.test\r\nTransfer-Encoding:\x0bchunked\r\n", "no HTTP"),
            ("Host: a.test\nX: y\r\n", "lines end"),
            ("Host: a.test\r\nX: y\r\n folded\r\n", "no HTTP"),
            ("Host: a.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n", "another protocol"),
            ("", "no host"),
            ("Host: b.test\r\n", "another host"),
            ("Host: a.test:81\r\n", "another host"),
            ("Host: a.test\r\nHost: b.test\r\n", "twice"),
            ("Host: [a.test]\r\n", "another host"),
            ("Host: u@a.test\r\n", "another host"),
            ("Host: a.test:+80\r\n", "another host"),
            ("Host: a.test:080\r\n", "another host"),
            ("Host: a.test:\r\n", "another host"),
            ("Host: a.test.\r\n", "another host"),
            ("Host: a.test.:80\r\n", "another host"),
            ("Host: a.test\r\nConnection: Content-Length\r\nContent-Length: 5\r\n", "taken away"),
            ("Host: a.test\r\nConnection: close, host\r\n", "taken away"),
            ("Host: a.test\r\nConnection: close\r\nconnection: x\r\n", "taken away"),
            ("Host: a.test\r\nX-HTTP-Method-Override: DELETE\r\n", "another method or path"),
            ("Host: a.test\r\nX_Http_Method_Override: DELETE\r\n", "another method or path"),
            ("Host: a.test\r\nX-Original-URL: /admin\r\n", "another method or path"),
            ("Host: a.test\r\nX.HTTP.Method.Override: DELETE\r\n", "another method or path"),
            ("Host: a.test\r\nX-Rewrite~URL: /admin\r\n", "another method or path"),
            ("Host: a.test\r\nContent_Length: 5\r\n", "read differently"),
            ("Host: a.test\r\nTransfer.Encoding: chunked\r\n", "read differently"),
            ("Host: a.test\r\nX: y\r z\r\n", "no HTTP"),
        ] {
            let text = format!("POST / HTTP/1.1\r\n{fields}\r\n");
            let refused = read_of(&text).unwrap_err();
            assert!(refused.contains(why), "{fields}: {refused}");
        }
        for line in [
            "GET http://a.test/ HTTP/1.1",
            "GET a HTTP/1.1",
            "OPTIONS * HTTP/1.1",
            "CONNECT a.test:80 HTTP/1.1",
            "GET /../x HTTP/1.1",
            "GET /%2e%2e/x HTTP/1.1",
            "GET /a%c0%afb HTTP/1.1",
            "GET /",
            "GET / HTTP/2.0",
            "get / HTTP/1.1",
            "\r\nGET / HTTP/1.1",
            " GET / HTTP/1.1",
        ] {
            assert!(read_of(&format!("{line}\r\nHost: a.test\r\n\r\n")).is_err(), "{line}");
        }
        assert!(read_of("POST / HTTP/1.0\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
        assert!(read_of(&format!("GET / HTTP/1.1\r\nHost: a.test\r\nX: {}", "y".repeat(LONGEST))).is_err());
    }
}
