//! Network entries: a host and its ports.

use cofferdam_bridge::network_rules::canonical_name;
use std::net::IpAddr;

/// A host with a range of ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HostRule {
    pub(super) host: String,
    pub(super) first: u16,
    pub(super) last: u16,
}

/// Reads `name:443`, `*.name:1-1024`, `10.0.0.0/8:5432`, `[::1]:80`, `*:443`. The port is required.
pub(super) fn host_rule(text: &str) -> Result<HostRule, String> {
    let wrong = || {
        format!("`{text}` is no network entry; write `host:port`, `host:first-last`, `*.name:port` or `[address]:port`")
    };
    let (host, ports) = text.rsplit_once(':').ok_or_else(wrong)?;
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0 && !text.starts_with('+'));
    let (first, last) =
        if ports == "*" { (1, u16::MAX) } else { (port(first).ok_or_else(wrong)?, port(last).ok_or_else(wrong)?) };
    if first > last {
        return Err(format!("`{text}` names no port: {first} is above {last}"));
    }
    Ok(HostRule { host: canonical_host(host).ok_or_else(wrong)?, first, last })
}

/// How an entry begins that is about datagrams.
const DATAGRAMS: &str = "udp://";
/// Where the run's own name server answers datagrams to whatever address.
const NAME_SERVER: u16 = 53;

/// Reads an entry about datagrams, `udp://` before what [`host_rule`] reads; none for one about connections.
pub(super) fn datagram_rule(text: &str) -> Option<Result<HostRule, String>> {
    let rule = host_rule(text.strip_prefix(DATAGRAMS)?);
    Some(rule.and_then(|rule| {
        if (rule.first..=rule.last).contains(&NAME_SERVER) {
            return Err(format!(
                "`{text}` names port 53, on which the run's own name server answers whatever address is asked; names that network.allow has are answered there"
            ));
        }
        Ok(rule)
    }))
}

/// Reads an entry of `prompt.network`.
pub(super) fn asked_rule(text: &str) -> Result<HostRule, String> {
    if text.starts_with(DATAGRAMS) {
        return Err(format!(
            "`{text}` is about datagrams, which nobody can wait for: they are allowed by network.allow or refused"
        ));
    }
    host_rule(text)
}

fn canonical_host(host: &str) -> Option<String> {
    if let Some(inner) = host.strip_prefix('[') {
        let address: IpAddr = inner.strip_suffix(']')?.parse().ok()?;
        return Some(address.to_string());
    }
    if host == "*" {
        return Some(host.to_owned());
    }
    if let Some((address, length)) = host.split_once('/') {
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let length = length.parse::<u8>().ok().filter(|length| *length <= most)?;
        return Some(format!("{address}/{length}"));
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        return address.is_ipv4().then(|| address.to_string());
    }
    match host.strip_prefix("*.") {
        Some(above) => Some(format!("*.{}", canonical_name(above)?)),
        None => canonical_name(host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports() {
        let rule = |host: &str, first, last| Ok(HostRule { host: host.to_owned(), first, last });
        assert_eq!(host_rule("API.example.com:443"), rule("api.example.com", 443, 443));
        assert_eq!(host_rule("*.example.org:1-1024"), rule("*.example.org", 1, 1024));
        assert_eq!(host_rule("[::1]:80"), rule("::1", 80, 80));
        assert_eq!(host_rule("10.0.0.0/8:5432"), rule("10.0.0.0/8", 5432, 5432));
        assert_eq!(host_rule("*:443"), rule("*", 443, 443));
    }

    #[test]
    fn datagrams_are_named_by_entries_of_their_own() {
        let rule = HostRule { host: "*.example.org".to_owned(), first: 443, last: 450 };
        assert_eq!(datagram_rule("udp://*.Example.org:443-450"), Some(Ok(rule)));
        assert_eq!(datagram_rule("example.org:443"), None);
        for text in ["udp://", "udp://a", "udp://a:53", "udp://a:1-100", "udp://udp://a:1", "udp://a:443/"] {
            assert!(datagram_rule(text).unwrap().is_err(), "{text}");
        }
        assert!(host_rule("udp://a:443").is_err(), "no entry about connections");
        assert!(asked_rule("udp://a:443").unwrap_err().contains("datagrams"));
    }

    #[test]
    fn net_16_and_19_spellings_that_name_something_else_are_refused() {
        for text in [
            "",
            "a",
            "a:0",
            "a:65536",
            "a:443x",
            "a:9-1",
            "2130706433:80",
            "0177.1:80",
            "a b:80",
            "ok.com@evil:80",
            "a..b:80",
            "*.*.a:80",
            "a/8:80",
            "::1:80",
            "a%2e:80",
            "a:+5",
        ] {
            assert!(host_rule(text).is_err(), "{text}");
        }
    }
}
