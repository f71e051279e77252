//! The ports that are listened on inside.

use crate::format::op;
use crate::plan::encode::Plan;
use cofferdam_bridge::profile::ExecutionProfile;
use cofferdam_bridge::profile::NetworkRule;
use std::collections::BTreeSet;

/// As many ports as a policy may name in all: each takes a descriptor of the host for as long as a run lasts.
pub(crate) const MOST_PORTS: usize = 256;

/// The name server's own.
const NAME_SERVER: u16 = 53;

/// The ports of a run on which sockets of ours are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ports {
    /// For connections; none where no host is named.
    connections: Vec<u16>,
    /// For datagrams, beside the name server's.
    datagrams: Vec<u16>,
}

impl Ports {
    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }
}

/// The ports that the rules of `profile` allow or ask about, and the name server's.
///
/// # Errors
/// A sentence, where there are more than can be listened on.
pub(crate) fn ports(profile: &ExecutionProfile) -> Result<Ports, String> {
    let network = &profile.network;
    let connections = named(BTreeSet::from([NAME_SERVER]), network.allow.iter().chain(&profile.prompts.network));
    let datagrams = named(BTreeSet::new(), network.datagrams.iter());
    if datagrams.contains(&NAME_SERVER) {
        return Err("on port 53 the run's own name server answers datagrams, so none are carried there (network.allow with udp://)".to_owned());
    }
    if connections.len() + datagrams.len() > MOST_PORTS {
        return Err(format!(
            "network.allow names more than {MOST_PORTS} ports, and each takes a descriptor of the host; name the ports that are needed, or fewer of a range"
        ));
    }
    Ok(Ports { connections: connections.into_iter().collect(), datagrams: datagrams.into_iter().collect() })
}

/// Adds the ports of `rules`, until there are too many.
fn named<'a>(mut ports: BTreeSet<u16>, rules: impl Iterator<Item = &'a NetworkRule>) -> BTreeSet<u16> {
    for port in rules.flat_map(|rule| rule.port_first..=rule.port_last) {
        ports.insert(port);
        if ports.len() > MOST_PORTS {
            break;
        }
    }
    ports
}

/// Adds listening on `ports` to `plan`, and seeing what goes elsewhere.
pub(crate) fn listen(plan: &mut Plan, ports: &Ports) {
    let mut operation = plan.add(op::NETWORK, "network");
    for list in [&ports.connections, &ports.datagrams] {
        operation = operation.u32(u32::try_from(list.len()).unwrap_or(u32::MAX));
        operation = list.iter().fold(operation, |operation, port| operation.u16(*port));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cofferdam_bridge::verdict::RuleRef;

    fn of(ranges: &[(u16, u16)], datagrams: &[(u16, u16)]) -> Result<Ports, String> {
        let mut profile = ExecutionProfile::closed("test");
        let rule =
            |(first, last): &(u16, u16)| NetworkRule::new("a.example", *first, *last, RuleRef::new("t", None, "t"));
        profile.network.allow = ranges.iter().map(rule).collect();
        profile.network.datagrams = datagrams.iter().map(rule).collect();
        ports(&profile)
    }

    #[test]
    fn each_port_once_and_not_without_end() {
        let found = of(&[(443, 443), (80, 81), (443, 444)], &[(443, 443), (9, 9)]).unwrap();
        assert_eq!((found.connections, found.datagrams), (vec![53, 80, 81, 443, 444], vec![9, 443]));
        assert!(of(&[(1, 65535)], &[]).unwrap_err().contains("256"));
        assert!(of(&[(1, 100)], &[(1000, 1200)]).unwrap_err().contains("256"));
        assert!(of(&[(53, 53)], &[(53, 53)]).unwrap_err().contains("name server"));
    }
}
