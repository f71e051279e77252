//! Entries of `network.http`: methods and a path of a host that `network.allow` names.

use super::document::Document;
use super::network_rule::host_rule;
use super::tree::invalid;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::network_rules::{NetworkRules, canonical_path};
use cofferdam_bridge::profile::{HttpRule, NetworkProfile, NetworkRule};
use cofferdam_bridge::verdict::RuleRef;

/// The port of plain HTTP, where none is written.
const USUAL: u16 = 80;

/// Reads `GET,HEAD http://name:port/path`; `*` stands for every method.
pub(super) fn http_rule(text: &str, rule: RuleRef) -> Result<HttpRule, String> {
    let wrong = || {
        format!(
            "`{text}` is no entry about requests; write \"GET,HEAD http://host:port/path\", or `*` for every method"
        )
    };
    let (methods, address) = text.split_once(' ').ok_or_else(wrong)?;
    if address.starts_with("https://") {
        return Err(format!("`{text}` is about what TLS hides: nothing is decrypted, so it could not be held"));
    }
    let rest = address.strip_prefix("http://").ok_or_else(wrong)?;
    let (place, path) = rest.split_at(rest.find('/').ok_or_else(wrong)?);
    let has_port = place.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    let place = if has_port { place.to_owned() } else { format!("{place}:{USUAL}") };
    let host = host_rule(&place)?;
    if host.first != host.last || host.host.contains(['*', '/']) {
        return Err(format!("`{text}` names more than one host and port; requests are looked at of one at a time"));
    }
    let plain = !path.contains('?');
    let path = canonical_path(path).filter(|_| plain);
    let path = path.ok_or_else(|| format!("`{text}` has no plain path: no query, no `.`, `..` or empty segment"))?;
    let methods: Vec<String> = match methods {
        "*" => Vec::new(),
        some => some.split(',').map(str::to_owned).collect(),
    };
    let fine =
        |method: &String| !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-');
    if !methods.iter().all(fine) || methods.iter().any(|method| method == "CONNECT") {
        return Err(wrong());
    }
    Ok(HttpRule::new(methods, host.host, host.first, path, rule))
}

/// Refuses entries about hosts that no entry of `network.allow` lets through.
pub(super) fn check(layers: &[Document]) -> Result<(), BridgeError> {
    let mut profile = NetworkProfile::default();
    for (host, entry) in layers.iter().flat_map(|layer| layer.network_allow.iter().chain(&layer.prompt_network)) {
        profile.allow.push(NetworkRule::new(&host.host, host.first, host.last, entry.rule.clone()));
    }
    let rules = NetworkRules::new(&profile);
    for layer in layers {
        if let Some((rule, entry)) = layer.http.iter().find(|(rule, _)| rules.host(&rule.host, rule.port).is_none()) {
            let why = format!(
                "`{}` can never match: network.allow does not name {}:{}",
                entry.rule.text, rule.host, rule.port
            );
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
        for text in [
            "",
            "GET",
            "GET /",
            "GET http://api.test",
            "get http://a.test/",
            ", http://a.test/",
            "CONNECT http://a.test/",
            "GET https://a.test/",
            "GET http://*.a.test/",
            "GET http://a.test:1-2/",
            "GET http://a.test:*/",
            "GET http://a.test/?q",
            "GET http://a.test/../x",
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
