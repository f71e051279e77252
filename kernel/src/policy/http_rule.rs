//! Entries of `network.http`: methods and a path of a host that `network.allow` names.

use super::compile::pattern;
use super::document::{Document, Entry, table, unknown};
use super::entry::Placeholders;
use super::network_rule::host_rule;
use super::tree::{Node, invalid};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::network_rules::{NetworkRules, canonical_path, is_own_name};
use cofferdam_bridge::profile::{HttpAuthority, HttpRule, HttpScheme, NetworkProfile, NetworkRule, PathPattern};
use cofferdam_bridge::verdict::RuleRef;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Reads `GET,HEAD http://name:port/path`, or `https`; `*` stands for every method.
pub(super) fn http_rule(text: &str, rule: RuleRef) -> Result<HttpRule, String> {
    let wrong = || {
        format!(
            "`{text}` is no entry about requests; write \"GET,HEAD http://host:port/path\", or `*` for every method"
        )
    };
    let (methods, address) = text.split_once(' ').ok_or_else(wrong)?;
    let (scheme, rest) = address.split_once("://").ok_or_else(wrong)?;
    let scheme = [HttpScheme::Http, HttpScheme::Https].into_iter().find(|known| known.name() == scheme);
    let scheme = scheme.ok_or_else(wrong)?;
    let (place, path) = rest.split_at(rest.find('/').ok_or_else(wrong)?);
    let has_port = place.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    let place = if has_port { place.to_owned() } else { format!("{place}:{}", scheme.usual_port()) };
    let host = host_rule(&place)?;
    if host.first != host.last || host.host.contains(['*', '/']) {
        return Err(format!("`{text}` names more than one host and port; requests are looked at of one at a time"));
    }
    if scheme == HttpScheme::Https && (host.host.parse::<IpAddr>().is_ok() || is_own_name(&host.host)) {
        return Err(format!(
            "`{text}` names no host that TLS asks for by name; write the name that its certificate is for"
        ));
    }
    let plain = !path.contains('?');
    let path = canonical_path(path).filter(|_| plain);
    let path = path.ok_or_else(|| format!("`{text}` has no plain path: no query, no `.`, `..` or empty segment, and no escapes that servers read differently"))?;
    let methods: Vec<String> = match methods {
        "*" => Vec::new(),
        some => some.split(',').map(str::to_owned).collect(),
    };
    let fine =
        |method: &String| !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-');
    if !methods.iter().all(fine) || methods.iter().any(|method| method == "CONNECT") {
        return Err(wrong());
    }
    Ok(HttpRule::new(methods, host.host, host.first, path, rule).over(scheme))
}

/// Reads `{ certificate = "…", key = "…" }`.
pub(super) fn authority(document: &Document, node: Node) -> Result<[Entry; 2], BridgeError> {
    let place = node.place;
    let (mut certificate, mut key) = (None, None);
    for (name, place, node) in table(node, &document.source)? {
        match name.as_str() {
            "certificate" => certificate = Some(document.entry(node, "network.http_authority.certificate")?),
            "key" => key = Some(document.entry(node, "network.http_authority.key")?),
            other => return Err(unknown(&document.source, place, other, &["certificate", "key"])),
        }
    }
    let whole = certificate.zip(key).map(|(certificate, key)| [certificate, key]);
    let why = "`network.http_authority` names two files, { certificate = \"/path\", key = \"/path\" }";
    whole.ok_or_else(|| invalid(&document.source, place, why))
}

/// The files of an authority, as paths of the host. They are read by whoever ends TLS, never here.
pub(super) fn compile_authority(
    layer: &Document,
    files: &[Entry; 2],
    places: &Placeholders,
) -> Result<Option<HttpAuthority>, BridgeError> {
    let mut paths = Vec::new();
    for entry in files {
        match pattern(layer, entry, places)? {
            Some(PathPattern::Literal(path)) => paths.push(path),
            Some(_) => {
                let why = format!("`{}` has wildcards; an authority is two files, each named by its path", entry.text);
                return Err(invalid(&layer.source, entry.place, &why));
            }
            None => return Ok(None),
        }
    }
    let [certificate, key] = files;
    let rule = RuleRef::new(&layer.source, key.rule.line, format!("network.http_authority \"{}\"", certificate.text));
    Ok(match paths.as_slice() {
        [certificate, key] => Some(HttpAuthority::new(certificate, key, rule)),
        _ => None,
    })
}

/// Refuses entries about hosts that no entry of `network.allow` lets through, and those that nothing could hold.
pub(super) fn check(layers: &[Document]) -> Result<(), BridgeError> {
    let mut profile = NetworkProfile::default();
    for (host, entry) in layers.iter().flat_map(|layer| layer.network_allow.iter().chain(&layer.prompt_network)) {
        profile.allow.push(NetworkRule::new(&host.host, host.first, host.last, entry.rule.clone()));
    }
    for (host, entry) in layers.iter().flat_map(|layer| &layer.network_datagrams) {
        profile.datagrams.push(NetworkRule::new(&host.host, host.first, host.last, entry.rule.clone()));
    }
    let (rules, datagrams) = (NetworkRules::new(&profile), NetworkRules::datagrams(&profile));
    for (layer, (rule, entry)) in layers.iter().flat_map(|layer| layer.http.iter().map(move |own| (layer, own))) {
        if rules.host(&rule.host, rule.port).is_none() {
            let why = format!(
                "`{}` can never match: network.allow does not name {}:{}",
                entry.rule.text, rule.host, rule.port
            );
            return Err(invalid(&layer.source, entry.place, &why));
        }
        if let Some(open) = around(rule, &datagrams) {
            let why = format!(
                "`{}` cannot hold: `{}` ({}) opens {}:{} to datagrams, and requests that go in those (HTTP/3) are not looked at; take one of the two out",
                entry.rule.text,
                open.text,
                open.place(),
                rule.host,
                rule.port
            );
            return Err(invalid(&layer.source, entry.place, &why));
        }
    }
    check_schemes(layers)
}

/// The entry that opens the host and port of a rule about requests to datagrams, in which no request is looked at.
fn around<'a>(rule: &HttpRule, datagrams: &'a NetworkRules) -> Option<&'a RuleRef> {
    let own: &[IpAddr] = &[Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    let addresses = if is_own_name(&rule.host) { own } else { &[] };
    let named = datagrams.host(&rule.host, rule.port);
    named.or_else(|| addresses.iter().find_map(|address| datagrams.address(*address, rule.port)))
}

/// What TLS hides can be decided about only where somebody may look inside, and a port speaks TLS or does not.
fn check_schemes(layers: &[Document]) -> Result<(), BridgeError> {
    let all = || layers.iter().flat_map(|layer| layer.http.iter().map(move |(rule, entry)| (layer, rule, entry)));
    let has_authority = layers.iter().any(|layer| layer.http_authority.is_some());
    for (layer, rule, entry) in all().filter(|(_, rule, _)| rule.scheme == HttpScheme::Https) {
        if !has_authority {
            let why = format!(
                "`{}` is about what TLS hides, and no authority is named whose certificates may take the place of the host's; write network.http_authority = {{ certificate = \"/path\", key = \"/path\" }}, or take the entry out",
                entry.text
            );
            return Err(invalid(&layer.source, entry.place, &why));
        }
        let same = |other: &HttpRule| (&other.host, other.port) == (&rule.host, rule.port);
        if let Some((_, _, plain)) = all().find(|(_, other, _)| other.scheme != rule.scheme && same(other)) {
            let why = format!("`{}` and `{}` are about one port, with TLS and without", entry.text, plain.text);
            return Err(invalid(&layer.source, entry.place, &why));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::validated::{NoFiles, Policy};
    use super::*;

    #[test]
    fn methods_host_and_path() {
        let rule = || RuleRef::new("t", None, "t");
        let read = |text: &str| http_rule(text, rule());
        let of = |methods: &[&str], host: &str, port, path: &str| {
            Ok(HttpRule::new(methods.iter().map(|one| (*one).to_owned()).collect(), host, port, path, rule()))
        };
        assert_eq!(read("GET,HEAD http://API.test/v1/"), of(&["GET", "HEAD"], "api.test", 80, "/v1/"));
        assert_eq!(read("* http://api.test:8080/"), of(&[], "api.test", 8080, "/"));
        assert_eq!(read("POST http://[::1]:81/a%62"), of(&["POST"], "::1", 81, "/ab"));
        assert_eq!(read("POST http://[::1]/a"), of(&["POST"], "::1", 80, "/a"));
        assert_eq!(
            read("GET https://a.test/x"),
            of(&["GET"], "a.test", 443, "/x").map(|rule| rule.over(HttpScheme::Https))
        );
        for text in [
            "",
            "GET",
            "GET /",
            "GET http://api.test",
            "get http://a.test/",
            ", http://a.test/",
            "CONNECT http://a.test/",
            "GET https://127.0.0.1/",
            "GET https://localhost/",
            "GET ftp://a.test/",
            "GET http://*.a.test/",
            "GET http://a.test:1-2/",
            "GET http://a.test:*/",
            "GET http://a.test/?q",
            "GET http://a.test/../x",
            "GET http://a.test/%c0%af",
            "GET http://u@a.test/",
            "GET  http://a.test/",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_rule_about_what_is_not_allowed_is_refused() {
        let policy = |allow: &str| {
            let text = format!(
                "version = 1\n[network]\nmode = \"allowlist\"\nallow = [\"{allow}\"]\nhttp = [\"GET http://a.test/\"]\n"
            );
            Policy::parse(&text, "test", &NoFiles)
        };
        assert!(policy("a.test:80").is_ok() && policy("*.test:*").is_ok());
        for allow in ["a.test:443", "b.test:80", "127.0.0.1:80"] {
            assert!(policy(allow).unwrap_err().message.contains("can never match"), "{allow}");
        }
    }

    #[test]
    fn net_22_what_is_open_to_datagrams_too_is_refused_since_requests_would_pass_around_the_rules() {
        let policy = |host: &str, datagrams: &str| {
            let text = format!(
                "version = 1\n[network]\nmode = \"allowlist\"\nallow = [\"{host}:80\", \"udp://{datagrams}\"]\nhttp = [\"GET http://{host}/\"]\n"
            );
            Policy::parse(&text, "test", &NoFiles)
        };
        for (host, datagrams) in [
            ("a.test", "a.test:80"),
            ("a.test", "*.test:80"),
            ("a.test", "*:60-100"),
            ("a.test", "a.test:54-100"),
            ("10.0.0.1", "10.0.0.0/8:80"),
            ("localhost", "localhost:80"),
            ("localhost", "127.0.0.1:80"),
            ("localhost", "[::1]:80"),
            ("127.0.0.1", "localhost:80"),
        ] {
            let told = policy(host, datagrams).err().map(|error| error.message).unwrap_or_default();
            assert!(told.contains("HTTP/3") && told.contains("\"udp://"), "{host} {datagrams}: {told}");
        }
        for (host, datagrams) in [
            ("a.test", "a.test:443"),
            ("a.test", "b.test:80"),
            ("a.test", "127.0.0.1:80"),
            ("localhost", "10.0.0.1:80"),
        ] {
            assert!(policy(host, datagrams).is_ok(), "{host} {datagrams}");
        }
        // What another layer opens, and what the command line adds, counts as well.
        let file =
            "version = 1\n[network]\nmode = \"allowlist\"\nallow = [\"a.test:80\"]\nhttp = [\"GET http://a.test/\"]\n";
        let lines = r#"{"version": 1, "network": {"mode": "allowlist", "allow": ["udp://a.test:80"]}}"#;
        let told = Policy::parse_with_lines(file, "test", &NoFiles, (lines, "command line"));
        assert!(told.unwrap_err().message.contains("HTTP/3"));
    }

    #[test]
    fn a_rule_about_https_needs_an_authority_and_a_port_of_its_own() {
        let policy = |http: &str, more: &str| {
            let text = format!(
                "version = 1\n[network]\nmode = \"allowlist\"\nallow = [\"a.test:*\"]\nhttp = [{http}]\n{more}\n"
            );
            Policy::parse(&text, "test", &NoFiles)
        };
        let authority = "http_authority = { certificate = \"/ca.pem\", key = \"/ca.key\" }";
        assert!(policy("\"GET https://a.test/\"", authority).is_ok());
        let told = policy("\"GET https://a.test/\"", "").err().unwrap().message;
        assert!(told.contains("network.http_authority = {") && told.contains("test:5"), "{told}");
        let told = policy("\"GET https://a.test/\", \"GET http://a.test:443/\"", authority).err().unwrap().message;
        assert!(told.contains("one port"), "{told}");
        assert!(policy("\"GET https://a.test/\", \"GET http://a.test/\"", authority).is_ok());
        for wrong in [
            "{ certificate = \"/a\" }",
            "{ key = \"/a\" }",
            "{}",
            "\"/a\"",
            "{ certificate = \"/a\", key = \"/b\", x = 1 }",
        ] {
            assert!(policy("", &format!("http_authority = {wrong}")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_allowed_beside_the_file_counts_and_nothing_less_is_judged() {
        let file = "version = 1\n[network]\nhttp = [\"GET http://a.test/\"]\n";
        let with = |allow: &str| {
            let lines = format!("{{\"version\": 1, \"network\": {{\"mode\": \"allowlist\", \"allow\": [{allow:?}]}}}}");
            Policy::parse_with_lines(file, "test", &NoFiles, (&lines, "command line"))
        };
        assert!(Policy::parse(file, "test", &NoFiles).unwrap_err().message.contains("can never match"));
        assert!(with("a.test:80").is_ok());
        assert!(with("b.test:80").unwrap_err().message.contains("can never match"));
    }
}
