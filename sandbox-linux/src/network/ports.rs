//! The ports that are listened on inside.

use crate::format::op;
use crate::network::packets::filter;
use crate::plan::encode::Plan;
use cofferdam_bridge::profile::ExecutionProfile;
use std::collections::BTreeSet;

/// As many ports as a policy may name in all: each takes a descriptor of the host for as long as a run lasts.
pub(crate) const MOST_PORTS: usize = 256;

/// The name server's own.
const NAME_SERVER: u16 = 53;

/// The ports that the rules of `profile` allow or ask about, and the name server's.
///
/// # Errors
/// A sentence, where there are more than can be listened on.
pub(crate) fn ports(profile: &ExecutionProfile) -> Result<Vec<u16>, String> {
    let mut ports = BTreeSet::from([NAME_SERVER]);
    for range in
        profile.network.allow.iter().chain(&profile.prompts.network).map(|rule| rule.port_first..=rule.port_last)
    {
        for port in range {
            ports.insert(port);
            if ports.len() > MOST_PORTS {
                return Err(format!(
                    "network.allow names more than {MOST_PORTS} ports, and each takes a descriptor of the host; name the ports that are needed, or fewer of a range"
                ));
            }
        }
    }
    Ok(ports.into_iter().collect())
}

/// Adds listening on `ports` to `plan`, and seeing what goes elsewhere.
pub(crate) fn listen(plan: &mut Plan, ports: &[u16]) {
    plan.add(op::PACKETS, "packets").text(filter());
    let count = u32::try_from(ports.len()).unwrap_or(u32::MAX);
    let operation = plan.add(op::NETWORK, "network").u32(count);
    drop(ports.iter().fold(operation, |operation, port| operation.u16(*port)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use cofferdam_bridge::profile::NetworkRule;
    use cofferdam_bridge::verdict::RuleRef;

    fn of(ranges: &[(u16, u16)]) -> Result<Vec<u16>, String> {
        let mut profile = ExecutionProfile::closed("test");
        let rule =
            |(first, last): &(u16, u16)| NetworkRule::new("a.example", *first, *last, RuleRef::new("t", None, "t"));
        profile.network.allow = ranges.iter().map(rule).collect();
        ports(&profile)
    }

    #[test]
    fn each_port_once_and_not_without_end() {
        assert_eq!(of(&[(443, 443), (80, 81), (443, 444)]).unwrap(), [53, 80, 81, 443, 444]);
        assert!(of(&[(1, 65535)]).unwrap_err().contains("256"));
    }
}
