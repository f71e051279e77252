//! Network entries: a host and its ports.

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
    let name = host.strip_prefix("*.").unwrap_or(host).trim_end_matches('.');
    let label = |label: &str| {
        let character = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        !label.is_empty() && label.len() <= 63 && label.bytes().all(character)
    };
    // A name of digits only would be read as an address by some resolvers.
    let numeric = name.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    let fine = name.len() <= 253 && name.split('.').all(label) && !numeric;
    fine.then(|| host.trim_end_matches('.').to_ascii_lowercase())
}

/// What a program asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// An address, reached only by a rule that names it or a range that it is in, never by `*`: what a name stands for is looked at
    /// when it is resolved.
    Address(IpAddr),
    /// A name in the form in which rules have it.
    Name(String),
}

/// What `host` is, a name or an address as a program would write it; `None` for what is neither.
pub(super) fn asked(host: &str) -> Option<Asked> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Some(Asked::Address(address));
    }
    canonical_host(host).filter(|host| !host.contains(['*', '/'])).map(Asked::Name)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Whether a host rule names `host`: `*` is every name, `*.name` every name below, else equality. The definition, which the index is
    /// held against.
    pub(in super::super) fn names(rule: &str, host: &str) -> bool {
        match asked(host) {
            Some(Asked::Address(address)) => covers(rule, address.to_canonical()),
            Some(Asked::Name(host)) => match rule.strip_prefix("*.") {
                Some(below) => host.strip_suffix(below).is_some_and(|rest| rest.ends_with('.') && rest.len() > 1),
                None => rule == "*" || rule == host,
            },
            None => false,
        }
    }

    /// Whether an address is the rule's, or in its range.
    fn covers(rule: &str, address: IpAddr) -> bool {
        let (network, length) = match rule.split_once('/') {
            Some((network, length)) => (network, length.parse::<u32>().ok()),
            None => (rule, Some(128)),
        };
        let (Ok(network), Some(length)) = (network.parse::<IpAddr>(), length) else { return false };
        let (network, address, width) = match (network.to_canonical(), address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                (u128::from(network.to_bits()), u128::from(address.to_bits()), 32)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => (network.to_bits(), address.to_bits(), 128),
            _ => return false,
        };
        let ignored = width - length.min(width);
        network.checked_shr(ignored).unwrap_or(0) == address.checked_shr(ignored).unwrap_or(0)
    }

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
