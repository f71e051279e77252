//! Which host and port somebody asks for, in the one spelling that is compared, and nothing that another reader could take otherwise.

use super::super::gate::Target;
use cofferdam_bridge::network_rules::canonical_name;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Digits of the highest port.
const LONGEST_PORT: usize = 5;

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Authority {
    /// What to try, one after the other: there are two for this machine itself. Never empty.
    pub(super) targets: Vec<Target>,
    /// As it stands in a URL.
    pub(super) text: String,
}

/// Why it is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoAuthority {
    /// No host and port at all (RFC 3986, 3.2).
    Malformed,
    /// The host is no name and no address, or spelled as no two programs read it alike.
    NoHost,
}

impl Authority {
    /// Reads `host:port`, `[address]:port`; the port may be left out where `usual` stands for it.
    pub(super) fn parse(text: &str, usual: Option<u16>) -> Result<Self, NoAuthority> {
        // Whom it names it names without saying who asks.
        if text.contains('@') {
            return Err(NoAuthority::NoHost);
        }
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, rest) = rest.split_once(']').ok_or(NoAuthority::Malformed)?;
                let address: Ipv6Addr = address.parse().map_err(|_| NoAuthority::NoHost)?;
                let port = match rest {
                    "" => None,
                    rest => Some(rest.strip_prefix(':').ok_or(NoAuthority::Malformed)?),
                };
                (address.to_string(), port)
            }
            None => match text.split_once(':') {
                Some((host, port)) => (host.to_owned(), Some(port)),
                None => (text.to_owned(), None),
            },
        };
        let port = match port {
            Some(port) => number(port).ok_or(NoAuthority::Malformed)?,
            None => usual.ok_or(NoAuthority::Malformed)?,
        };
        Self::of(&host, port)
    }

    /// That of a host without brackets, and a port.
    pub(super) fn of(host: &str, port: u16) -> Result<Self, NoAuthority> {
        let at = |address: IpAddr| Target::Address(SocketAddr::new(address.to_canonical(), port));
        if port == 0 {
            return Err(NoAuthority::Malformed);
        }
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(Self { text: SocketAddr::new(address, port).to_string(), targets: vec![at(address)] });
        }
        let name = canonical_name(host).ok_or(NoAuthority::NoHost)?;
        let text = format!("{name}:{port}");
        // As the name server of a network of the run's own would answer (RFC 6761, 6.3).
        if name == "localhost" || name.ends_with(".localhost") {
            return Ok(Self { text, targets: vec![at(Ipv4Addr::LOCALHOST.into()), at(Ipv6Addr::LOCALHOST.into())] });
        }
        Ok(Self { text, targets: vec![Target::Name(name, port)] })
    }
}

/// A port in digits alone: what else a number may begin with, others read otherwise.
fn number(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.len() <= LONGEST_PORT && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Result<String, NoAuthority> {
        let authority = Authority::parse(text, Some(80))?;
        Ok(authority.targets.iter().map(Target::entry).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn hosts_and_ports() {
        for (text, expected) in [
            ("ok.com:443", "ok.com:443"),
            ("OK.com.", "ok.com:80"),
            ("10.0.0.5:5432", "10.0.0.5:5432"),
            ("[2001:DB8::1]:443", "[2001:db8::1]:443"),
            ("[::1]", "[::1]:80"),
            ("[::ffff:169.254.169.254]:80", "169.254.169.254:80"),
            ("localhost:8080", "127.0.0.1:8080 [::1]:8080"),
            ("a.LocalHost:8080", "127.0.0.1:8080 [::1]:8080"),
        ] {
            assert_eq!(told(text).as_deref(), Ok(expected), "{text}");
        }
        assert_eq!(Authority::parse("ok.com", None), Err(NoAuthority::Malformed));
    }

    #[test]
    fn net_16_other_spellings_are_no_host() {
        for text in [
            "2130706433:80",
            "0177.1:80",
            "127.1:80",
            "0x7f.1:80",
            "ok.com@evil:80",
            "user:password@ok.com:80",
            "%6fk.com:80",
            "ok.com%00.evil:80",
            "ok.com\0.evil:80",
            "[fe80::1%25lo]:80",
            "[127.0.0.1]:80",
            "[]:80",
            "\u{ff4f}k.com:80",
            ":80",
            "..:80",
        ] {
            assert_eq!(told(text), Err(NoAuthority::NoHost), "{text}");
        }
        for text in [
            "ok.com:",
            "ok.com:0",
            "ok.com:65536",
            "ok.com:443x",
            "ok.com:+443",
            "ok.com: 443",
            "ok.com:443:443",
            "ok.com:000443",
            "::1:80",
            "[::1]80",
            "[::1",
        ] {
            assert!(told(text).is_err(), "{text}");
        }
    }
}
