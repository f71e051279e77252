//! Entries of `network.listen`: a port of the run, and where the host's loopback has it.

use super::document::{Document, Entry};
use super::tree::invalid;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::profile::{NetworkMode, NetworkProfile, PublishRule};
use cofferdam_bridge::verdict::RuleRef;

/// The name server's port, which a run cannot listen on where hosts are named.
const NAME_SERVER: u16 = 53;
/// As many ports as a policy may publish: each takes two descriptors of the host for as long as a run lasts.
const MOST_PORTS: usize = 64;

/// One port that is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ListenRule {
    pub(super) port: u16,
    /// None: any that is free.
    pub(super) host_port: Option<u16>,
}

/// Reads `8000`, `18000:8000` (the host's port first) and `*:8000`.
pub(super) fn listen_rule(text: &str) -> Result<ListenRule, String> {
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0 && !text.starts_with('+'));
    let wrong = || {
        format!("`{text}` is no port to listen on; write 8000, \"18000:8000\" (the host's port first) or \"*:8000\"")
    };
    let (outside, inside) = text.split_once(':').unwrap_or((text, text));
    let inside = port(inside).ok_or_else(wrong)?;
    let host_port = if outside == "*" { None } else { Some(port(outside).ok_or_else(wrong)?) };
    Ok(ListenRule { port: inside, host_port })
}

/// Adds the entries of a layer to a profile.
pub(super) fn publish(profile: &mut NetworkProfile, entries: &[(ListenRule, Entry)]) {
    let known = |profile: &NetworkProfile, rule: &ListenRule| profile.listen.contains(&rule.port);
    // What two layers say alike is said once.
    for (rule, entry) in entries {
        if known(profile, rule) {
            continue;
        }
        profile.listen.push(rule.port);
        profile.publish.push(PublishRule::new(rule.port, rule.host_port, entry.rule.clone()));
    }
}

/// Refuses entries that cannot hold: a port twice, one that the run cannot listen on, too many, one of a network that is the host's.
pub(super) fn check(layers: &[Document], mode: NetworkMode) -> Result<(), BridgeError> {
    let all: Vec<_> = layers.iter().flat_map(|layer| layer.listen.iter().map(move |entry| (layer, entry))).collect();
    for (at, (layer, (rule, entry))) in all.iter().enumerate() {
        let refused = |why: String| Err(invalid(&layer.source, entry.place, &why));
        if at >= MOST_PORTS {
            return refused(format!("network.listen names more than {MOST_PORTS} ports"));
        }
        let earlier = all.iter().take(at).map(|(_, (rule, entry))| (rule, entry));
        let same = |other: &ListenRule| {
            let same_outside = rule.host_port.is_some() && rule.host_port == other.host_port;
            (other.port == rule.port) != same_outside || (other.port == rule.port && other != rule)
        };
        if let Some((_, other)) = earlier.into_iter().find(|(other, _)| same(other)) {
            return refused(format!(
                "`{}` and `{}` ({}) publish the same port",
                entry.text,
                other.text,
                other.rule.place()
            ));
        }
        match mode {
            NetworkMode::Inherit if rule.host_port != Some(rule.port) => {
                return refused(format!(
                    "`{}` cannot be published elsewhere: with network.mode = \"inherit\" the run listens on the host's own ports; write {}",
                    entry.text, rule.port
                ));
            }
            NetworkMode::Allowlist => {
                if let Some(other) = taken(layers, rule.port) {
                    return refused(format!(
                        "nothing inside can listen on port {}: it is where connections of {other} are taken; let the program listen on another",
                        rule.port
                    ));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Which entry has `port` taken inside.
fn taken(layers: &[Document], port: u16) -> Option<String> {
    let named = |layer: &Document| -> Option<RuleRef> {
        let hosts = layer.network_allow.iter().chain(&layer.prompt_network);
        let mut own = hosts.filter(|(host, _)| (host.first..=host.last).contains(&port));
        own.next().map(|(_, entry)| entry.rule.clone())
    };
    let rule = layers.iter().find_map(named).map(|rule| format!("`{}` ({})", rule.text, rule.place()));
    rule.or_else(|| (port == NAME_SERVER).then(|| "the name server".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::super::validated::{NoFiles, Policy};
    use super::*;

    #[test]
    fn a_port_and_where_the_host_has_it() {
        let rule = |port, host_port| Ok(ListenRule { port, host_port });
        assert_eq!(listen_rule("8000"), rule(8000, Some(8000)));
        assert_eq!(listen_rule("18000:8000"), rule(8000, Some(18000)));
        assert_eq!(listen_rule("*:8000"), rule(8000, None));
        for text in ["", "0", "65536", "a", "8000:", ":8000", "8000:*", "*", "1:2:3", "+5", "0:5", "-1"] {
            assert!(listen_rule(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_cannot_hold_is_refused_with_its_line() {
        let policy = |lines: &str| Policy::parse(&format!("version = 1\n[network]\n{lines}"), "test", &NoFiles);
        assert!(policy("listen = [8000, \"*:8001\", \"9000:8002\"]").is_ok());
        for (lines, why) in [
            ("listen = [8000, \"9000:8000\"]", "the same port"),
            ("listen = [9000, \"9000:8000\"]", "the same port"),
            ("mode = \"inherit\"\nlisten = [\"9000:8000\"]", "host's own ports"),
            ("mode = \"allowlist\"\nallow = [\"a.test:8000-8100\"]\nlisten = [8080]", "a.test:8000-8100"),
            ("mode = \"allowlist\"\nlisten = [53]", "name server"),
            ("listen = [\"x\"]", "no port"),
            ("listen = [true]", "no port"),
        ] {
            let error = policy(lines).unwrap_err();
            assert!(error.message.contains(why) && error.message.contains("test:"), "{lines}: {}", error.message);
        }
        let many: Vec<String> = (1000..1065).map(|port| port.to_string()).collect();
        assert!(policy(&format!("listen = [{}]", many.join(","))).is_err());
    }
}
