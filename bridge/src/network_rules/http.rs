//! Deciding about requests of HTTP: which methods and paths pass on a host and port that rules about requests name.

use crate::profile::{HttpRule, HttpScheme, NetworkProfile};
use crate::verdict::RuleRef;
use std::net::IpAddr;

/// What this machine is called by itself (RFC 6761, 6.3).
const LOCALHOST: &str = "localhost";

/// The rules of a profile about requests. Where none names a host and port, its connections are not read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpRules {
    rules: Vec<HttpRule>,
}

impl HttpRules {
    /// Those of `profile`.
    pub fn new(profile: &NetworkProfile) -> Self {
        Self { rules: profile.http.clone() }
    }

    /// Those for `port` of `host`, a canonical name or an address; none where no rule names it.
    pub fn of(&self, host: &str, port: u16) -> Option<Self> {
        let own = self.rules.iter().filter(|rule| rule.port == port && is_same(&rule.host, host));
        let rules: Vec<HttpRule> = own.cloned().collect();
        (!rules.is_empty()).then_some(Self { rules })
    }

    /// What these requests go over. Where rules say both, nothing passes that is not inside TLS.
    pub fn scheme(&self) -> HttpScheme {
        let https = self.rules.iter().any(|rule| rule.scheme == HttpScheme::Https);
        if https { HttpScheme::Https } else { HttpScheme::Http }
    }

    /// The host that these rules name, as the first of them does: an entry about it is one that a policy with these rules takes.
    pub fn host(&self) -> Option<&str> {
        self.rules.first().map(|rule| rule.host.as_str())
    }

    /// Whether an entry that names [`Self::host`] is about requests for `own_name`.
    pub fn host_is(&self, own_name: Option<&str>) -> bool {
        self.host().is_some_and(|host| is_meant(host, own_name))
    }

    /// The first of them: by whose word what goes there is looked at.
    pub fn first(&self) -> Option<&RuleRef> {
        self.rules.first().map(|rule| &rule.rule)
    }

    /// The rule that lets a request through; `path`: as [`canonical_path`] gives it. `own_name`: the name of this machine that the request
    /// is for, where it says one and not an address. Servers tell such names apart, which all lead to the same addresses.
    pub fn request(&self, own_name: Option<&str>, method: &str, path: &str) -> Option<&RuleRef> {
        let meant = |rule: &&HttpRule| is_meant(&rule.host, own_name);
        let methods = |rule: &&HttpRule| rule.methods.is_empty() || rule.methods.iter().any(|own| own == method);
        self.rules.iter().filter(meant).filter(methods).find(|rule| is_beneath(path, &rule.path)).map(|rule| &rule.rule)
    }
}

/// Whether the host of a rule is `host`: the same name or the same address. Names of this machine itself (RFC 6761, 6.3) are its loopback
/// addresses: a run that asks for one is told these, and what it connects to then is an address.
fn is_same(rule: &str, host: &str) -> bool {
    let address = |text: &str| text.parse::<IpAddr>().ok().map(|address| address.to_canonical());
    match address(host) {
        Some(address_asked) if is_own_name(rule) => address_asked.is_loopback(),
        Some(address_asked) => address(rule) == Some(address_asked),
        None => rule == host || (is_own_name(rule) && is_own_name(host)),
    }
}

/// Whether the host of a rule is the one that a request for `own_name`, or for none of this machine's names, is for.
fn is_meant(rule: &str, own_name: Option<&str>) -> bool {
    match own_name {
        Some(name) if is_own_name(rule) => rule == name,
        Some(name) => name == LOCALHOST,
        None => !is_own_name(rule) || rule == LOCALHOST,
    }
}

/// Whether a canonical name is one that leads to the loopback addresses wherever it is asked for: `localhost` and all below it.
pub fn is_own_name(name: &str) -> bool {
    name == LOCALHOST || name.ends_with(".localhost")
}

/// Whether `path` is `prefix` or, by whole segments, beneath it.
fn is_beneath(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || prefix.ends_with('/') || rest.starts_with('/'))
}

/// The path of a request's target in the one spelling that is compared: without the query, escapes of printable ASCII resolved, others
/// in upper case. None for what servers read differently from each other: no path, empty segments, `.` and `..` however they
/// are written, an escaped `/`, `\` or `%`, control characters, fragments, escapes of what is no UTF-8, such as the overlong `%C0%AF`, which some read as `/`
/// (RFC 3986, 3.3, 6.2; RFC 9112, 3.2.1; RFC 3629, 3).
pub fn canonical_path(target: &str) -> Option<String> {
    let path = target.split('?').next().unwrap_or_default();
    if !path.starts_with('/') || !target.bytes().all(|byte| byte.is_ascii_graphic()) || target.contains('#') {
        return None;
    }
    let (mut text, mut rest) = (String::with_capacity(path.len()), path.as_bytes());
    let mut resolved = Vec::with_capacity(path.len());
    while let [byte, after @ ..] = rest {
        rest = after;
        match byte {
            b'\\' => return None,
            b'%' => {
                let (digits, after) = rest.split_at_checked(2)?;
                rest = after;
                let both = digits.iter().all(u8::is_ascii_hexdigit).then_some(digits)?;
                let byte = u8::from_str_radix(std::str::from_utf8(both).ok()?, 16).ok()?;
                resolved.push(byte);
                match byte {
                    b'/' | b'\\' | b'%' | 0..=b' ' | 0x7f => return None,
                    0x80.. => text.push_str(&format!("%{byte:02X}")),
                    _ => text.push(char::from(byte)),
                }
            }
            _ => {
                resolved.push(*byte);
                text.push(char::from(*byte));
            }
        }
    }
    std::str::from_utf8(&resolved).ok()?;
    let mut segments = text.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        // Some servers cut what follows a semicolon off before they look for dots.
        let name = segment.split(';').next().unwrap_or_default();
        let is_last = segments.peek().is_none();
        if name == "." || name == ".." || (name.is_empty() && !(is_last && segment.is_empty())) {
            return None;
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn net_16_a_rule_about_one_name_of_this_machine_is_about_no_other() {
        let rule = |host: &str| HttpRule::new(Vec::new(), host, 80, "/", RuleRef::new("t", None, "t"));
        let passes = |host: &str, own_name: Option<&str>| {
            let rules = HttpRules { rules: vec![rule(host)] };
            assert_eq!(rules.host_is(own_name), rules.request(own_name, "GET", "/x").is_some());
            rules.host_is(own_name)
        };
        assert!(passes("a.localhost", Some("a.localhost")) && passes("localhost", Some("localhost")));
        assert!(passes("127.0.0.1", Some("localhost")) && passes("localhost", None) && passes("127.0.0.1", None));
        for (rule, asked) in
            [("a.localhost", "b.localhost"), ("localhost", "a.localhost"), ("127.0.0.1", "a.localhost")]
        {
            assert!(!passes(rule, Some(asked)), "{rule} {asked}");
        }
        assert!(!passes("a.localhost", Some("localhost")) && !passes("a.localhost", None) && passes("x.test", None));
    }

    #[test]
    fn a_path_has_one_spelling_or_none() {
        for (target, path) in [
            ("/", "/"),
            ("/a/b?c=d/../e", "/a/b"),
            ("/%61/b%2Ec", "/a/b.c"),
            ("/%c3%a4/", "/%C3%A4/"),
            ("/%e2%82%ac%f0%9f%98%80", "/%E2%82%AC%F0%9F%98%80"),
            ("/a;b/c", "/a;b/c"),
            ("/...", "/..."),
        ] {
            assert_eq!(canonical_path(target).as_deref(), Some(path), "{target}");
        }
        for target in [
            "",
            "a",
            "*",
            "//a",
            "/a//b",
            "/./a",
            "/a/..",
            "/a/%2e%2e/b",
            "/a/.%2E",
            "/a%2fb",
            "/a%5cb",
            "/a\\b",
            "/%252e",
            "/a%c0%afb",
            "/%c0%ae%c0%ae/a",
            "/a%e0%80%afb",
            "/a%ff",
            "/a%c3/%a4",
            "/%c3a",
            "/%ed%a0%80",
            "/a%0ab",
            "/a%00",
            "/%",
            "/%4",
            "/%zz",
            "/%+1",
            "/a#b",
            "/a b",
            "/..;x/b",
            "/;/a",
            "http://h/",
            "/\u{e4}",
        ] {
            assert_eq!(canonical_path(target), None, "{target}");
        }
    }

    #[test]
    fn net_16_a_host_by_another_name_or_spelling_is_not_past_its_rules() {
        let mut profile = NetworkProfile::default();
        for host in ["localhost", "::ffff:10.0.0.1", "a.test"] {
            profile.http.push(HttpRule::new(Vec::new(), host, 80, "/v1", RuleRef::new("t", None, host)));
        }
        let rules = HttpRules::new(&profile);
        // The name server leads `localhost` to these, and that is all that is known of whoever connects.
        for host in ["localhost", "a.localhost", "127.0.0.1", "::1", "127.1.2.3", "::ffff:127.0.0.1"] {
            assert!(rules.of(host, 80).is_some(), "{host}");
        }
        assert!(rules.of("10.0.0.1", 80).is_some() && rules.of("a.test", 80).is_some());
        for (host, port) in [("127.0.0.1", 81), ("10.0.0.2", 80), ("b.test", 80), ("notlocalhost", 80)] {
            assert_eq!(rules.of(host, port), None, "{host}:{port}");
        }
    }

    #[test]
    fn a_rule_covers_a_path_and_what_is_beneath_it() {
        let mut profile = NetworkProfile::default();
        let rule = |methods: &[&str], port, path: &str| {
            let methods = methods.iter().map(|one| (*one).to_owned()).collect();
            HttpRule::new(methods, "a.test", port, path, RuleRef::new("t", None, path))
        };
        profile.http = vec![rule(&["GET", "HEAD"], 80, "/v1"), rule(&[], 80, "/any/")];
        let rules = HttpRules::new(&profile);
        assert_eq!(rules.of("a.test", 81), None);
        assert_eq!(rules.of("b.test", 80), None);
        let rules = rules.of("a.test", 80).unwrap();
        for (method, path, allowed) in [
            ("GET", "/v1", true),
            ("HEAD", "/v1/x", true),
            ("POST", "/v1", false),
            ("get", "/v1", false),
            ("GET", "/v10", false),
            ("GET", "/", false),
            ("DELETE", "/any/x", true),
            ("DELETE", "/any", false),
        ] {
            assert_eq!(rules.request(None, method, path).is_some(), allowed, "{method} {path}");
        }
    }
}
