//! Finds the network rule for a host and port without looking at each.

use super::network_rule::{Asked, asked};
use cofferdam_bridge::profile::NetworkRule;
use std::collections::HashMap;
use std::net::IpAddr;

/// Rules by what they name. Numbers are places in the list that the index was made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NetworkIndex {
    every_name: Vec<usize>,
    names: HashMap<String, Vec<usize>>,
    /// By what comes after `*.`.
    below: HashMap<String, Vec<usize>>,
    /// By the bits of a network that count; there are as many of these as there are lengths of ranges.
    networks: HashMap<(Width, u32), HashMap<u128, Vec<usize>>>,
}

/// Whether an address has four bytes or sixteen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Width {
    V4,
    V6,
}

impl NetworkIndex {
    /// The index of `rules`.
    pub(super) fn new(rules: &[NetworkRule]) -> Self {
        let mut index = Self::default();
        for (at, rule) in rules.iter().enumerate() {
            index.of(&rule.host).into_iter().for_each(|list| list.push(at));
        }
        index
    }

    /// Where a rule belongs; `None` for one that names nothing.
    fn of(&mut self, host: &str) -> Option<&mut Vec<usize>> {
        let (address, length) = host.split_once('/').map_or((host, None), |(address, length)| (address, Some(length)));
        if let Ok(address) = address.parse::<IpAddr>() {
            let length = length.map_or(Some(128), |length| length.parse::<u32>().ok())?;
            let (width, bits) = bits(address);
            let ignored = width.bits() - length.min(width.bits());
            return Some(self.networks.entry((width, ignored)).or_default().entry(shifted(bits, ignored)).or_default());
        }
        Some(match host.strip_prefix("*.") {
            _ if host == "*" => &mut self.every_name,
            Some(below) => self.below.entry(below.to_owned()).or_default(),
            None => self.names.entry(host.to_owned()).or_default(),
        })
    }

    /// The first rule in the list that names `host` with `port`.
    pub(super) fn first<'a>(&self, rules: &'a [NetworkRule], host: &str, port: u16) -> Option<&'a NetworkRule> {
        let first = |list: &Vec<usize>| {
            list.iter()
                .copied()
                .find(|at| rules.get(*at).is_some_and(|rule| (rule.port_first..=rule.port_last).contains(&port)))
        };
        let found = match asked(host)? {
            Asked::Address(address) => {
                let (width, bits) = bits(address);
                let networks = self.networks.iter().filter(|((own, _), _)| *own == width);
                networks.filter_map(|((_, ignored), some)| some.get(&shifted(bits, *ignored)).and_then(first)).min()
            }
            Asked::Name(name) => {
                let below = name.match_indices('.').filter_map(|(dot, _)| self.below.get(name.get(dot + 1..)?));
                self.names.get(&name).into_iter().chain(below).chain([&self.every_name]).filter_map(first).min()
            }
        };
        rules.get(found?)
    }
}

impl Width {
    fn bits(self) -> u32 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }
}

/// An IPv4 address in the form of IPv6 is the same address.
fn bits(address: IpAddr) -> (Width, u128) {
    match address.to_canonical() {
        IpAddr::V4(address) => (Width::V4, u128::from(address.to_bits())),
        IpAddr::V6(address) => (Width::V6, address.to_bits()),
    }
}

fn shifted(bits: u128, ignored: u32) -> u128 {
    bits.checked_shr(ignored).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::network_rule::tests::names;
    use super::*;
    use cofferdam_bridge::verdict::RuleRef;
    use proptest::prelude::*;

    fn host() -> impl Strategy<Value = String> {
        let all = [
            "*",
            "a",
            "a.b",
            "*.b",
            "*.a.b",
            "b",
            "c.a.b",
            "*.c",
            "10.0.0.1",
            "10.0.0.0/8",
            "10.0.0.0/31",
            "0.0.0.0/0",
            "::1",
            "::/0",
            "::ffff:10.0.0.0/104",
            "::ffff:10.0.0.1",
            "fe80::/10",
            "10.0.0.0/32",
        ];
        prop::sample::select(all.to_vec()).prop_map(str::to_owned)
    }

    fn question() -> impl Strategy<Value = String> {
        let all = [
            "a",
            "A.b.",
            "a.b",
            "x.a.b",
            ".b",
            "b",
            "x.c",
            "c",
            "10.0.0.1",
            "10.0.0.2",
            "11.0.0.1",
            "::1",
            "[::1]",
            "fe80::1",
            "::ffff:10.0.0.1",
            "*",
            "*.b",
            "10.0.0.0/8",
            "",
            "2130706433",
            "d",
        ];
        prop::sample::select(all.to_vec()).prop_map(str::to_owned)
    }

    proptest! {
        #[test]
        fn hosts_are_found_as_by_looking_at_each_rule(
            rules in prop::collection::vec((host(), 1_u16..5, 0_u16..3), 0..12),
            asked in question(),
            port in 1_u16..8,
        ) {
            let rule = |(host, first, more): (String, u16, u16)| {
                NetworkRule::new(host, first, first + more, RuleRef::new("test", None, "a rule"))
            };
            let rules: Vec<NetworkRule> = rules.into_iter().map(rule).collect();
            let in_turn = rules.iter().find(|rule| {
                (rule.port_first..=rule.port_last).contains(&port) && names(&rule.host, &asked)
            });
            let found = NetworkIndex::new(&rules).first(&rules, &asked, port);
            prop_assert_eq!(found.map(std::ptr::from_ref), in_turn.map(std::ptr::from_ref));
        }
    }
}
