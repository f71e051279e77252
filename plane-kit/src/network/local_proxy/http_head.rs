//! The head of a request to a proxy (RFC 9112), read strictly: what two readers could take differently is no request.

use super::super::head_end;
use super::authority::{Authority, NoAuthority};
use std::fmt;

/// Longest head that is read, in bytes.
pub const LONGEST_HEAD: usize = 32 << 10;
/// As many fields as a head may have.
const MOST_FIELDS: usize = 128;
/// Longest method.
const LONGEST_METHOD: usize = 32;
/// The port of `http` (RFC 9110, 4.2.1).
const HTTP_PORT: u16 = 80;
/// Fields about the connection to a proxy alone (RFC 9110, 7.6.1), and those of an offer to speak otherwise, which is not made.
const OF_ONE_CONNECTION: [&str; 9] = [
    "connection",
    "proxy-connection",
    "proxy-authorization",
    "proxy-authenticate",
    "keep-alive",
    "te",
    "upgrade",
    "http2-settings",
    "host",
];
/// Fields that stay whatever `Connection` says of them: without them the body would be read otherwise.
const OF_THE_BODY: [&str; 2] = ["content-length", "transfer-encoding"];

/// What came first on a connection.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Beginning {
    /// More is needed.
    Unfinished,
    /// No request that is served.
    Broken(Fault),
    /// A head, and how many bytes it has.
    Whole(Box<Head>, usize),
}

/// Why something is no request that is served.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fault {
    /// The status of the answer (RFC 9110, 15).
    pub status: u16,
    /// A sentence.
    pub why: &'static str,
}

/// The head of a request that can be served.
#[derive(PartialEq, Eq)]
pub struct Head {
    /// Whom it goes to; or what was written for a host and is none.
    authority: Result<Authority, String>,
    /// What is asked of them; none: a way there for whatever the run says (`CONNECT`).
    asked: Option<Asked>,
    /// The value of `Proxy-Authorization`.
    authorization: Option<String>,
}

/// A request to be handed on.
#[derive(PartialEq, Eq)]
pub(super) struct Asked {
    /// Its head as the host gets it.
    pub(super) head: Vec<u8>,
    /// What follows.
    pub(super) body: Body,
}

/// How a body ends (RFC 9112, 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// After so many bytes.
    Length(u64),
    /// After its last chunk.
    Chunked,
}

/// What it says is the run's own.
impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Head").field("authority", &self.authority).finish_non_exhaustive()
    }
}

impl Head {
    pub(super) fn authority(&self) -> Result<&Authority, &str> {
        self.authority.as_ref().map_err(String::as_str)
    }

    pub(super) fn authorization(&self) -> Option<&str> {
        self.authorization.as_deref()
    }

    pub(super) fn into_asked(self) -> Option<Asked> {
        self.asked
    }

    /// The head as the host gets it; none where nothing is asked but a way there.
    pub fn handed_on(&self) -> Option<&[u8]> {
        self.asked.as_ref().map(|asked| asked.head.as_slice())
    }
}

/// Reads what has come so far. What is broken stays so, whatever comes after it.
pub fn read(bytes: &[u8]) -> Beginning {
    let Some(length) = head_end::of(bytes) else {
        // What no line feed has come for yet may be anything; a line that is there can be judged.
        let first = bytes.iter().position(|byte| *byte == b'\n').and_then(|at| bytes.get(..=at));
        return match first.map(|line| lines(line).and_then(|lines| request_line(lines.first().copied()))) {
            Some(Err(fault)) => Beginning::Broken(fault),
            _ if bytes.len() > LONGEST_HEAD => Beginning::Broken(fault(431, "the head of the request is too long")),
            _ => Beginning::Unfinished,
        };
    };
    if length > LONGEST_HEAD {
        return Beginning::Broken(fault(431, "the head of the request is too long"));
    }
    match head(bytes.get(..length).unwrap_or_default()) {
        Ok(head) => Beginning::Whole(Box::new(head), length),
        Err(fault) => Beginning::Broken(fault),
    }
}

fn head(bytes: &[u8]) -> Result<Head, Fault> {
    let lines = lines(bytes)?;
    let (method, target, version) = request_line(lines.first().copied())?;
    let fields = fields(lines.get(1..).unwrap_or_default())?;
    let authorization = only(&fields, "proxy-authorization")?.map(str::to_owned);
    if method == "CONNECT" {
        return Ok(Head { authority: authority(target, None)?, asked: None, authorization });
    }
    let (text, path) = absolute(target)?;
    let authority = match authority(text, Some(HTTP_PORT))? {
        Ok(authority) => authority,
        no_host => return Ok(Head { authority: no_host, asked: None, authorization }),
    };
    match only(&fields, "host")? {
        None if version == "HTTP/1.1" => return Err(fault(400, "the request names no host")),
        // Which of the two the host goes by is its own affair, and a way to say one thing and ask for another.
        Some(host) if Authority::parse(host, Some(HTTP_PORT)).as_ref() != Ok(&authority) => {
            return Err(fault(400, "the request names two hosts"));
        }
        _ => {}
    }
    let body = body(&fields, version)?;
    let path = match (path, method) {
        ("", "OPTIONS") => "*".to_owned(),
        ("", _) => "/".to_owned(),
        (path, _) if path.starts_with('?') => format!("/{path}"),
        (path, _) => path.to_owned(),
    };
    let host = authority.text.strip_suffix(":80").unwrap_or(&authority.text);
    let mut head = format!("{method} {path} {version}\r\nHost: {host}\r\n").into_bytes();
    let named: Vec<&str> = values(&fields, "connection").flat_map(|value| value.split(',')).map(str::trim).collect();
    for (name, value) in &fields {
        let is_in = |known: &[&str]| known.iter().any(|known| known.eq_ignore_ascii_case(name));
        if is_in(&OF_THE_BODY) || !(is_in(&OF_ONE_CONNECTION) || is_in(&named)) {
            head.extend([name.as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
    }
    // One request, one connection: the next may be for another host.
    head.extend(b"Connection: close\r\n\r\n");
    Ok(Head { authority: Ok(authority), asked: Some(Asked { head, body }), authorization })
}

/// The lines of `bytes`, without their ends, up to the empty one. Each ends in both characters, and there are no others of theirs.
fn lines(bytes: &[u8]) -> Result<Vec<&str>, Fault> {
    let broken = || fault(400, "the request has characters or line ends that no request has");
    let mut lines = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let at = rest.iter().position(|byte| *byte == b'\n').ok_or_else(broken)?;
        let (line, after) = rest.split_at_checked(at + 1).ok_or_else(broken)?;
        let line = line.strip_suffix(b"\r\n").ok_or_else(broken)?;
        let fine = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
        if !line.iter().all(fine) {
            return Err(broken());
        }
        // What is no text of this day could be two things to two readers.
        lines.push(std::str::from_utf8(line).map_err(|_| broken())?);
        rest = after;
    }
    Ok(lines)
}

/// Method, target and version (RFC 9112, 3).
fn request_line(line: Option<&str>) -> Result<(&str, &str, &str), Fault> {
    let line = line.unwrap_or_default();
    let broken = || fault(400, "what was sent is no request to a proxy");
    let mut words = line.split(' ');
    let (Some(method), Some(target), Some(version), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(broken());
    };
    if method.is_empty() || method.len() > LONGEST_METHOD || !method.bytes().all(is_token) {
        return Err(broken());
    }
    if target.is_empty() || !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(broken());
    }
    match version {
        "HTTP/1.1" | "HTTP/1.0" => Ok((method, target, version)),
        "HTTP/2.0" => Err(fault(505, "the proxy speaks HTTP/1.1")),
        _ => Err(broken()),
    }
}

/// The characters of a token (RFC 9110, 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The fields, with no white space where it could mean something else.
fn fields<'a>(lines: &[&'a str]) -> Result<Vec<(&'a str, &'a str)>, Fault> {
    let broken = || fault(400, "a field of the request is malformed");
    let mut fields = Vec::new();
    for line in lines.iter().take_while(|line| !line.is_empty()) {
        if fields.len() >= MOST_FIELDS {
            return Err(fault(431, "the request has too many fields"));
        }
        // A line that begins with white space goes on with the one before it, or does not (RFC 9112, 5.2).
        let (name, value) = line.split_once(':').ok_or_else(broken)?;
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(broken());
        }
        fields.push((name, value.trim_matches([' ', '\t'])));
    }
    Ok(fields)
}

fn values<'a>(fields: &'a [(&'a str, &'a str)], name: &'a str) -> impl Iterator<Item = &'a str> {
    fields.iter().filter(move |(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
}

/// The value of a field that may be there once.
fn only<'a>(fields: &'a [(&'a str, &'a str)], name: &'a str) -> Result<Option<&'a str>, Fault> {
    let mut all = values(fields, name);
    match (all.next(), all.next()) {
        (first, None) => Ok(first),
        _ => Err(fault(400, "a field is there twice that may be there once")),
    }
}

/// Host and port of a URL, and what comes after them (RFC 3986).
fn absolute(target: &str) -> Result<(&str, &str), Fault> {
    let Some((scheme, rest)) = target.split_once("://") else {
        return Err(fault(400, "this is a proxy: it takes CONNECT and whole URLs"));
    };
    if !scheme.eq_ignore_ascii_case("http") {
        return Err(fault(400, "of URLs the proxy takes those of http alone; everything else goes by CONNECT"));
    }
    if rest.contains('#') {
        return Err(fault(400, "what was sent is no request to a proxy"));
    }
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    rest.split_at_checked(at).ok_or_else(|| fault(400, "what was sent is no request to a proxy"))
}

fn body(fields: &[(&str, &str)], version: &str) -> Result<Body, Fault> {
    let broken = || fault(400, "how long the body of the request is cannot be told for certain");
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match (only(fields, "transfer-encoding")?, only(fields, "content-length")?) {
        (None, None) => Ok(Body::Length(0)),
        (None, Some(length)) if digits(length) => length.parse().map(Body::Length).map_err(|_| broken()),
        (Some(coding), None) if coding.eq_ignore_ascii_case("chunked") && version == "HTTP/1.1" => Ok(Body::Chunked),
        _ => Err(broken()),
    }
}

fn authority(text: &str, usual: Option<u16>) -> Result<Result<Authority, String>, Fault> {
    match Authority::parse(text, usual) {
        Ok(authority) => Ok(Ok(authority)),
        Err(NoAuthority::NoHost) => Ok(Err(text.to_owned())),
        Err(NoAuthority::Malformed) => Err(fault(400, "the request names no host with a port from 1 to 65535")),
    }
}

fn fault(status: u16, why: &'static str) -> Fault {
    Fault { status, why }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &str) -> Head {
        match read(text.as_bytes()) {
            Beginning::Whole(head, length) if length == text.len() => *head,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn status(text: &str) -> u16 {
        match read(text.as_bytes()) {
            Beginning::Broken(fault) => fault.status,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_way_and_a_request() {
        let way = whole("CONNECT ok.com:443 HTTP/1.1\r\nHost: other\r\nProxy-Authorization: Basic eA==\r\n\r\n");
        assert_eq!((way.authority().unwrap().text.as_str(), way.authorization()), ("ok.com:443", Some("Basic eA==")));
        assert!(way.handed_on().is_none());
        let asked = whole(
            "POST http://OK.com?q=1 HTTP/1.1\r\nHost: ok.com:80\r\nProxy-Authorization: Basic eA==\r\nX-One: 1\r\nTE: gzip\r\n\
             Connection: keep-alive, x-one, content-length\r\nUpgrade: h2c\r\nContent-Length: 3\r\nAccept: \u{e9}\r\n\r\n",
        );
        let head = String::from_utf8(asked.handed_on().unwrap().to_vec()).unwrap();
        let expected =
            "POST /?q=1 HTTP/1.1\r\nHost: ok.com\r\nContent-Length: 3\r\nAccept: \u{e9}\r\nConnection: close\r\n\r\n";
        assert_eq!(head, expected);
        assert!(asked.into_asked().is_some_and(|asked| asked.body == Body::Length(3)));
        let other = whole("OPTIONS http://ok.com:8080 HTTP/1.0\r\n\r\n");
        assert!(other.handed_on().unwrap().starts_with(b"OPTIONS * HTTP/1.0\r\nHost: ok.com:8080\r\n"));
        let chunked = whole("PUT http://ok.com/a HTTP/1.1\r\nhost:ok.com\r\ntransfer-encoding: Chunked\r\n\r\n");
        assert!(chunked.into_asked().is_some_and(|asked| asked.body == Body::Chunked));
    }

    #[test]
    fn what_comes_in_parts_is_waited_for() {
        let text = "GET http://ok.com/ HTTP/1.1\r\nHost: ok.com\r\n\r\n";
        for length in 0..text.len() {
            assert_eq!(read(&text.as_bytes()[..length]), Beginning::Unfinished, "{length}");
        }
        assert!(matches!(read(format!("{text}more").as_bytes()), Beginning::Whole(_, length) if length == text.len()));
    }

    #[test]
    fn net_22_what_two_readers_could_take_differently_is_refused() {
        let of = |fields: &str| format!("POST http://ok.com/ HTTP/1.1\r\nHost: ok.com\r\n{fields}\r\n\r\n");
        whole(&of("X: y"));
        for fields in [
            "Content-Length: 1\r\nTransfer-Encoding: chunked",
            "Content-Length: 1\r\nContent-Length: 1",
            "Content-Length: 1, 1",
            "Content-Length: +1",
            "Content-Length: ",
            "Content-Length: 99999999999999999999",
            "Transfer-Encoding : chunked",
            "Transfer-Encoding: xchunked",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding:\u{b}chunked",
            "X: a\r\n b",
            "X: a\n\r\nY: b",
            "X: a\rY: b",
            "X: a\0b",
            " X: a",
            "X",
            ": a",
            "Host: ok.com",
            "Proxy-Authorization: a\r\nProxy-Authorization: b",
        ] {
            assert_eq!(status(&of(fields)), 400, "{fields:?}");
        }
        for text in [
            "GET http://ok.com/\r\n\r\n",
            "GET http://ok.com/ HTTP/1.1\n\n",
            "GET  http://ok.com/ HTTP/1.1\r\n\r\n",
            "GET http://ok.com/ HTTP/1.1 \r\n\r\n",
            "GET http://ok.com/ HTTP/1.1\r\nHost: evil.com\r\n\r\n",
            "GET http://ok.com/ HTTP/1.1\r\n\r\n",
            "GET http://ok.com/#x HTTP/1.1\r\nHost: ok.com\r\n\r\n",
            "GET http://ok.com/\u{e9} HTTP/1.1\r\nHost: ok.com\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: ok.com\r\n\r\n",
            "GET https://ok.com/ HTTP/1.1\r\nHost: ok.com\r\n\r\n",
            "\r\nGET http://ok.com/ HTTP/1.1\r\nHost: ok.com\r\n\r\n",
            "PUT http://ok.com/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            assert_eq!(status(text), 400, "{text:?}");
        }
        assert_eq!(status("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505);
    }

    #[test]
    fn net_16_net_17_hosts_that_are_none_are_told() {
        for host in ["ok.com@evil:443", "2130706433:443", "%6f.com:443", "[fe80::1%25lo]:443", "a_b..c:443"] {
            let heads = [
                format!("CONNECT {host} HTTP/1.1\r\n\r\n"),
                format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n"),
            ];
            for head in heads {
                assert_eq!(whole(&head).authority(), Err(host));
                assert!(whole(&head).handed_on().is_none());
            }
        }
        assert_eq!(status("CONNECT ok.com HTTP/1.1\r\n\r\n"), 400);
        assert_eq!(status("CONNECT ok.com:443\r\nHost: evil HTTP/1.1\r\n\r\n"), 400);
        let long = format!("CONNECT {}.com:443 HTTP/1.1\r\n\r\n", "a".repeat(LONGEST_HEAD));
        assert_eq!(status(&long), 431);
        assert_eq!(status(&"A".repeat(LONGEST_HEAD + 1)), 431);
    }

    #[test]
    fn net_29_a_head_has_an_end() {
        let many = "X: y\r\n".repeat(MOST_FIELDS + 1);
        assert_eq!(status(&format!("CONNECT ok.com:443 HTTP/1.1\r\n{many}\r\n")), 431);
        assert_eq!(status(&format!("CONNECT ok.com:443 HTTP/1.1\r\nX: {}", "y".repeat(LONGEST_HEAD))), 431);
    }
}
