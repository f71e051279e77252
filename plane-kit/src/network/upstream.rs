//! A proxy of the host's own, where the world is reached only so: HTTP CONNECT (RFC 9110, 9.3.6) and SOCKS5 (RFC 1928, RFC 1929).
//!
//! The policy is decided before anything is asked of it, by name. A name that the host can resolve itself is looked at as always;
//! one that only the proxy can resolve is the proxy's to judge by its address.

use super::carry::write_all;
use super::dial::NotDialled;
use super::unpaced::unpaced;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long it may take to connect through it.
const LONGEST: Duration = Duration::from_secs(60);
/// Longest head of its answer that is read, in bytes.
const LONGEST_ANSWER: usize = 8192;

/// How it is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Connect,
    Socks5,
}

/// A proxy and what is reached without it.
#[derive(Clone, PartialEq, Eq)]
pub struct Upstream {
    kind: Kind,
    host: String,
    port: u16,
    credentials: Option<(String, String)>,
    direct: Vec<String>,
}

/// Credentials stay out of logs.
impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("kind", &self.kind)
            .field("host", &self.host)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

impl Upstream {
    /// The proxy that `environment` names, as most programs read it: `HTTPS_PROXY`, else `ALL_PROXY`, in lower case first, without what
    /// `NO_PROXY` names. None where there is none.
    ///
    /// # Errors
    /// A sentence, for one that cannot be used. It tells nothing of credentials.
    pub fn of_environment(environment: &BTreeMap<String, String>) -> Result<Option<Self>, String> {
        let value = |name: &str| {
            let spellings = [name.to_ascii_lowercase(), name.to_owned()];
            spellings.iter().find_map(|name| environment.get(name)).filter(|value| !value.is_empty())
        };
        let Some(url) = value("HTTPS_PROXY").or_else(|| value("ALL_PROXY")) else { return Ok(None) };
        let direct =
            value("NO_PROXY").map(|list| list.split([',', ' ']).map(str::to_owned).collect()).unwrap_or_default();
        Self::parse(url, direct).map(Some)
    }

    /// Reads `scheme://user:password@host:port`; `direct`: names that are reached without it, and with them all below.
    ///
    /// # Errors
    /// As [`of_environment`](Self::of_environment).
    pub fn parse(url: &str, direct: Vec<String>) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let (kind, usual) = match scheme {
            "http" => (Kind::Connect, 80),
            "socks5" | "socks5h" => (Kind::Socks5, 1080),
            other => {
                return Err(format!(
                    "proxies of the kind `{other}` cannot be used; there are http, socks5 and socks5h"
                ));
            }
        };
        let rest = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (credentials, place) = match rest.rsplit_once('@') {
            Some((credentials, place)) => (Some(credentials), place),
            None => (None, rest),
        };
        let wrong = || "the proxy's address is none; write scheme://host:port".to_owned();
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !host.ends_with(':') && !port.contains(']') => {
                (host, port.parse().map_err(|_| wrong())?)
            }
            _ => (place, usual),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || port == 0 {
            return Err(wrong());
        }
        let credentials = credentials.map(|both| {
            let (user, password) = both.split_once(':').unwrap_or((both, ""));
            (unescaped(user), unescaped(password))
        });
        Ok(Self { kind, host: host.to_owned(), port, credentials, direct })
    }

    /// Whether `host` is reached through it.
    pub fn takes(&self, host: &str) -> bool {
        !self.direct.iter().map(|one| one.trim().trim_start_matches('.').to_ascii_lowercase()).any(|one| {
            let below = || host.strip_suffix(one.as_str()).is_some_and(|rest| rest.ends_with('.'));
            one == "*" || (!one.is_empty() && (host == one || below()))
        })
    }

    /// Connects to `port` of `host` through it.
    ///
    /// # Errors
    /// `Failed` where it is not there, or will not.
    pub async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, NotDialled> {
        let connecting = async {
            let mut stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
            unpaced(&stream, stream.peer_addr()?.ip());
            match self.kind {
                Kind::Connect => self.ask_http(&mut stream, host, port).await?,
                Kind::Socks5 => self.ask_socks(&mut stream, host, port).await?,
            }
            Ok(stream)
        };
        timeout(LONGEST, connecting)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(NotDialled::Failed)
    }

    async fn ask_http(&self, stream: &mut TcpStream, host: &str, port: u16) -> io::Result<()> {
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let mut text = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n");
        if let Some((user, password)) = &self.credentials {
            text.push_str(&format!(
                "Proxy-Authorization: Basic {}\r\n",
                base64(format!("{user}:{password}").as_bytes())
            ));
        }
        text.push_str("\r\n");
        write_all(stream, text.as_bytes()).await?;
        // Byte by byte: what follows the head is the host's already.
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() >= LONGEST_ANSWER {
                return Err(io::ErrorKind::InvalidData.into());
            }
            head.push(stream.read_u8().await?);
        }
        let status = head.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(1..6));
        match status {
            Some([b' ', b'2', b'0', b'0', b' ' | b'\r']) => Ok(()),
            _ => Err(io::ErrorKind::ConnectionRefused.into()),
        }
    }

    async fn ask_socks(&self, stream: &mut TcpStream, host: &str, port: u16) -> io::Result<()> {
        const VERSION: u8 = 5;
        const NONE: u8 = 0;
        const PASSWORD: u8 = 2;
        let broken = || io::Error::from(io::ErrorKind::InvalidData);
        let short = |text: &str| u8::try_from(text.len()).map_err(|_| broken());
        let method = if self.credentials.is_some() { PASSWORD } else { NONE };
        write_all(stream, &[VERSION, 1, method]).await?;
        let mut chosen = [0; 2];
        stream.read_exact(&mut chosen).await?;
        if chosen != [VERSION, method] {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        if let Some((user, password)) = &self.credentials {
            let mut text = vec![1, short(user)?];
            text.extend(user.as_bytes());
            text.push(short(password)?);
            text.extend(password.as_bytes());
            write_all(stream, &text).await?;
            stream.read_exact(&mut chosen).await?;
            if chosen[1] != 0 {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
        }
        // Connect, by name: the name goes as it was decided.
        let mut text = vec![VERSION, 1, 0, 3, short(host)?];
        text.extend(host.as_bytes());
        text.extend(port.to_be_bytes());
        write_all(stream, &text).await?;
        let mut head = [0; 4];
        stream.read_exact(&mut head).await?;
        if head[0] != VERSION || head[1] != 0 {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let left = match head[3] {
            1 => 4,
            4 => 16,
            3 => usize::from(stream.read_u8().await?),
            _ => return Err(broken()),
        };
        stream.read_exact(&mut vec![0; left + 2]).await.map(drop)
    }
}

/// `%41` for `A`, as it stands in addresses.
fn unescaped(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, after @ ..] = rest {
        let escaped = after
            .get(..2)
            .and_then(|two| std::str::from_utf8(two).ok())
            .and_then(|two| u8::from_str_radix(two, 16).ok());
        match (first, escaped) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Base64 with padding (RFC 4648, 4).
pub(super) fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let letter = LETTERS.get((bits >> (18 - 6 * place) & 63) as usize).copied().unwrap_or(b'=');
            text.push(if place <= three.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    #[test]
    fn a_proxy_is_read_from_the_environment() {
        let of = |pairs: &[(&str, &str)]| {
            Upstream::of_environment(
                &pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            )
        };
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&[("HTTPS_PROXY", "")]), Ok(None));
        let proxy =
            of(&[("HTTPS_PROXY", "http://u%40x:p@proxy.test:3128/"), ("NO_PROXY", "in.test, .corp")]).unwrap().unwrap();
        assert_eq!((proxy.host.as_str(), proxy.port, proxy.kind), ("proxy.test", 3128, Kind::Connect));
        assert_eq!(proxy.credentials, Some(("u@x".to_owned(), "p".to_owned())));
        for (host, takes) in
            [("in.test", false), ("a.in.test", false), ("xin.test", true), ("a.corp", false), ("far.test", true)]
        {
            assert_eq!(proxy.takes(host), takes, "{host}");
        }
        let proxy = of(&[("all_proxy", "socks5h://[::1]:9050")]).unwrap().unwrap();
        assert_eq!((proxy.host.as_str(), proxy.port, proxy.kind), ("::1", 9050, Kind::Socks5));
        let told = of(&[("https_proxy", "https://secret:secret@x:1")]).unwrap_err();
        assert!(!told.contains("secret"), "{told}");
        assert!(of(&[("https_proxy", "http://x:y")]).is_err());
        assert!(!format!("{:?}", Upstream::parse("http://a:secret@x:1", Vec::new())).contains("secret"));
    }

    #[test]
    fn base64_as_in_the_standard() {
        let expected = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (text, encoded) in expected {
            assert_eq!(base64(text.as_bytes()), encoded);
        }
    }

    /// What a proxy was asked, when it answers with `answers` after as many bytes as stand before each.
    async fn asked(url: &str, answers: Vec<(usize, Vec<u8>)>) -> (Vec<u8>, Result<TcpStream, NotDialled>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = url.replace("PORT", &listener.local_addr().unwrap().port().to_string());
        let proxy = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut seen = Vec::new();
            for (count, answer) in answers {
                let mut bytes = vec![0; count];
                stream.read_exact(&mut bytes).await.unwrap();
                seen.extend(bytes);
                stream.write_all(&answer).await.unwrap();
            }
            seen
        });
        let connected = Upstream::parse(&url, Vec::new()).unwrap().connect("far.test", 443).await;
        (proxy.await.unwrap(), connected)
    }

    #[tokio::test]
    async fn http_and_what_follows_its_head() {
        let request = "CONNECT far.test:443 HTTP/1.1\r\nHost: far.test:443\r\nProxy-Authorization: Basic dTpw\r\n\r\n";
        let answer = b"HTTP/1.1 200 OK\r\nX: y\r\n\r\nfirst".to_vec();
        let (seen, stream) = asked("http://u:p@127.0.0.1:PORT", vec![(request.len(), answer)]).await;
        assert_eq!(String::from_utf8_lossy(&seen), request);
        let mut first = [0; 5];
        stream.unwrap().read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"first");
        let plain = "CONNECT far.test:443 HTTP/1.1\r\nHost: far.test:443\r\n\r\n".len();
        for answer in ["HTTP/1.1 403 Forbidden\r\n\r\n", "HTTP/1.1 2000 \r\n\r\n", "SSH-2.0\r\n\r\n"] {
            let (_, stream) = asked("http://127.0.0.1:PORT", vec![(plain, answer.as_bytes().to_vec())]).await;
            assert!(matches!(stream, Err(NotDialled::Failed(_))), "{answer}");
        }
    }

    #[tokio::test]
    async fn socks_with_and_without_a_password() {
        let name = [&[5, 1, 0, 3, 8][..], b"far.test", &[1, 187]].concat();
        let granted = [&[5, 0, 0, 3, 1, b'x', 0, 0][..]].concat();
        let (seen, stream) = asked("socks5://127.0.0.1:PORT", vec![(3, vec![5, 0]), (name.len(), granted)]).await;
        assert_eq!(seen, [&[5, 1, 0][..], &name].concat());
        assert!(stream.is_ok());
        let granted = vec![5, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        let answers = vec![(3, vec![5, 2]), (5, vec![1, 0]), (name.len(), granted)];
        let (seen, stream) = asked("socks5h://u:p@127.0.0.1:PORT", answers).await;
        assert_eq!(seen.get(3..8), Some(&[1, 1, b'u', 1, b'p'][..]));
        assert!(stream.is_ok());
        for answers in [vec![(3, vec![5, 0xff])], vec![(3, vec![5, 0]), (name.len(), vec![5, 2, 0, 1])]] {
            assert!(asked("socks5://127.0.0.1:PORT", answers).await.1.is_err());
        }
    }
}
