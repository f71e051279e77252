//! Finds the rules for a host without looking at each.

use super::Host;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Rules by what they name. Numbers are places in the list that the index was made of, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Index {
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

impl Index {
    /// The index of `hosts`.
    pub(super) fn new(hosts: impl Iterator<Item = Host>) -> Self {
        let mut index = Self::default();
        for (at, host) in hosts.enumerate() {
            index.list_of(host).into_iter().for_each(|list| list.push(at));
        }
        index
    }

    /// Where a rule belongs; `None` for one that names nothing.
    fn list_of(&mut self, host: Host) -> Option<&mut Vec<usize>> {
        Some(match host {
            Host::EveryName => &mut self.every_name,
            Host::Below(above) => self.below.entry(above).or_default(),
            Host::Name(name) => self.names.entry(name).or_default(),
            Host::Block(address, length) => {
                let (width, bits) = bits(address);
                let ignored = width.bits() - length.min(width.bits());
                self.networks.entry((width, ignored)).or_default().entry(shifted(bits, ignored)).or_default()
            }
            Host::Nothing => return None,
        })
    }

    /// The lists of rules that name `name`, which is canonical.
    pub(super) fn naming(&self, name: &str) -> impl Iterator<Item = &Vec<usize>> {
        let below = name.match_indices('.').filter_map(|(dot, _)| self.below.get(name.get(dot + 1..)?));
        self.names.get(name).into_iter().chain(below).chain([&self.every_name])
    }

    /// The lists of rules that name `address`, or a block that it is in.
    pub(super) fn covering(&self, address: IpAddr) -> impl Iterator<Item = &Vec<usize>> {
        let (width, bits) = bits(address);
        let own_host = address == IpAddr::V4(Ipv4Addr::LOCALHOST) || address == IpAddr::V6(Ipv6Addr::LOCALHOST);
        let by_name = own_host.then(|| self.names.get("localhost")).flatten();
        let networks = self.networks.iter().filter(move |((own, _), _)| *own == width);
        networks.filter_map(move |((_, ignored), some)| some.get(&shifted(bits, *ignored))).chain(by_name)
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
    use super::super::{Host, NetworkRules, canonical_name};
    use crate::profile::{NetworkProfile, NetworkRule};
    use crate::verdict::RuleRef;
    use proptest::prelude::*;
    use std::net::IpAddr;

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
            "localhost",
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
            "localhost",
            "127.0.0.1",
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

    /// Whether a host rule names `asked`: `*` is every name, `*.name` every name below, else equality. The definition, which the index
    /// is held against.
    fn names(rule: &str, asked: &str) -> bool {
        let bare = asked.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(asked);
        if let Ok(address) = bare.parse::<IpAddr>() {
            let own_host = ["127.0.0.1", "::1"].contains(&address.to_canonical().to_string().as_str());
            return covers(rule, address.to_canonical()) || (rule == "localhost" && own_host);
        }
        let Some(name) = canonical_name(asked) else { return false };
        match Host::parse(rule) {
            Host::EveryName => true,
            Host::Below(above) => name.strip_suffix(&above).is_some_and(|rest| rest.ends_with('.') && rest.len() > 1),
            Host::Name(own) => own == name,
            Host::Block(..) | Host::Nothing => false,
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
            let mut profile = NetworkProfile::default();
            for (at, mut rule) in rules.into_iter().map(rule).enumerate() {
                rule.rule.text = at.to_string();
                profile.allow.push(rule);
            }
            let in_turn = profile.allow.iter().find(|rule| {
                (rule.port_first..=rule.port_last).contains(&port) && names(&rule.host, &asked)
            });
            let found = NetworkRules::new(&profile);
            prop_assert_eq!(found.host(&asked, port), in_turn.map(|rule| &rule.rule));
        }
    }
}
