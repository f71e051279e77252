//! Deciding about the network by a profile's rules: the one meaning that kernel, planes and guests share.

mod http;
mod index;

pub use self::http::{HttpRules, canonical_path, is_own_name};
use self::index::Index;
use crate::address_class::AddressClass;
use crate::profile::{NetworkProfile, NetworkRule};
use crate::verdict::RuleRef;
use std::net::IpAddr;
use std::ops::RangeInclusive;

/// The host of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    /// Every name; no address.
    EveryName,
    /// Every name below this one, and not it itself.
    Below(String),
    /// This name.
    Name(String),
    /// The addresses that share so many bits with this one.
    Block(IpAddr, u32),
    /// What can be compared with nothing.
    Nothing,
}

/// The rules of a profile, made ready for many decisions.
///
/// Names are matched as names: what a name leads to is looked at by [`dialled`](Self::dialled) when it has been resolved. An address is
/// reached only by a rule that names it or a block that it is in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkRules {
    rules: Vec<(RangeInclusive<u16>, RuleRef)>,
    index: Index,
}

impl NetworkRules {
    /// Makes the rules of `profile` about connections ready.
    pub fn new(profile: &NetworkProfile) -> Self {
        Self::of(&profile.allow)
    }

    /// Makes its rules about datagrams ready.
    pub fn datagrams(profile: &NetworkProfile) -> Self {
        Self::of(&profile.datagrams)
    }

    fn of(rules: &[NetworkRule]) -> Self {
        let index = Index::new(rules.iter().map(|rule| Host::parse(&rule.host)));
        Self { rules: rules.iter().map(|rule| (rule.port_first..=rule.port_last, rule.rule.clone())).collect(), index }
    }

    /// The rule that lets `host` be connected to on `port`. `host`: a name or an address, as a program would write it.
    pub fn host(&self, host: &str, port: u16) -> Option<&RuleRef> {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        match bare.parse::<IpAddr>() {
            Ok(address) => self.address(address, port),
            Err(_) => self.name(&canonical_name(host)?, Some(port)),
        }
    }

    /// The rule that names `name`, which is canonical, on `port`; on any port where none is given.
    pub fn name(&self, name: &str, port: Option<u16>) -> Option<&RuleRef> {
        self.first(port, self.index.naming(name))
    }

    /// The rule that names `address`, or a block that it is in, on `port`. `localhost` names the loopback addresses.
    pub fn address(&self, address: IpAddr, port: u16) -> Option<&RuleRef> {
        self.address_on(address, Some(port))
    }

    /// Whether a rule names `address`, or a block that it is in, on any port.
    pub fn names_address(&self, address: IpAddr) -> bool {
        self.address_on(address, None).is_some()
    }

    fn address_on(&self, address: IpAddr, port: Option<u16>) -> Option<&RuleRef> {
        self.first(port, self.index.covering(address.to_canonical()))
    }

    /// Whether an address that a name led to may be dialled on `port`: one of the open internet, or one that a rule names.
    ///
    /// # Errors
    /// The class of an address that no rule names.
    pub fn dialled(&self, address: IpAddr, port: u16) -> Result<(), AddressClass> {
        match AddressClass::of(address) {
            Some(class) if self.address(address, port).is_none() => Err(class),
            _ => Ok(()),
        }
    }

    /// The ranges of ports that the rules name.
    pub fn ports(&self) -> impl Iterator<Item = RangeInclusive<u16>> {
        self.rules.iter().map(|(ports, _)| ports.clone())
    }

    /// The first rule in the list, of those in the lists given, that has `port`.
    fn first<'a>(&self, port: Option<u16>, lists: impl Iterator<Item = &'a Vec<usize>>) -> Option<&RuleRef> {
        let on_port =
            |at: &usize| self.rules.get(*at).is_some_and(|(ports, _)| port.is_none_or(|port| ports.contains(&port)));
        let at = lists.filter_map(|list| list.iter().copied().find(on_port)).min()?;
        self.rules.get(at).map(|(_, rule)| rule)
    }
}

impl Host {
    fn parse(text: &str) -> Self {
        if text == "*" {
            return Self::EveryName;
        }
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, bits.parse().ok()),
            None => (text, Some(128)),
        };
        if let Ok(address) = address.parse::<IpAddr>() {
            return bits.map_or(Self::Nothing, |bits| Self::Block(address.to_canonical(), bits));
        }
        match text.strip_prefix("*.") {
            Some(above) => canonical_name(above).map_or(Self::Nothing, Self::Below),
            None => canonical_name(text).map_or(Self::Nothing, Self::Name),
        }
    }
}

/// A name in the one spelling that is compared: lower case, without the final dot. None for what is no name of a host: other
/// characters than letters, digits, `-` and `_`, an empty label or one past 63 bytes, more than 253 bytes in all (RFC 1035, 2.3.4), and
/// a last label of digits only, which some resolvers read as an address.
pub fn canonical_name(text: &str) -> Option<String> {
    let name = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        let character = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        !label.is_empty() && label.len() <= 63 && label.bytes().all(character)
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    let hexadecimal = last.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("0x"));
    let numeric = last.bytes().all(|byte| byte.is_ascii_digit()) || hexadecimal;
    (name.len() <= 253 && name.split('.').all(label) && !numeric).then(|| name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(entries: &[(&str, u16, u16)]) -> NetworkRules {
        let mut profile = NetworkProfile::default();
        for (host, first, last) in entries {
            profile.allow.push(NetworkRule::new(*host, *first, *last, RuleRef::new("test", None, *host)));
        }
        NetworkRules::new(&profile)
    }

    #[test]
    fn net_19_names_are_compared_whole_and_below_by_labels() {
        let rules = rules(&[("ok.com", 443, 443), ("*.wild.org", 1, 65535)]);
        for (host, allowed) in [
            ("ok.com", true),
            ("OK.com.", true),
            ("notok.com", false),
            ("a.ok.com", false),
            ("ok.com.evil", false),
            ("a.wild.org", true),
            ("a.b.wild.org", true),
            ("wild.org", false),
            ("awild.org", false),
            (".wild.org", false),
            ("ok.com..", false),
        ] {
            assert_eq!(rules.host(host, 443).is_some(), allowed, "{host}");
        }
        assert!(rules.host("ok.com", 444).is_none());
    }

    #[test]
    fn net_16_other_spellings_of_a_host_are_no_host() {
        let rules = rules(&[("*", 1, 65535)]);
        for host in [
            "2130706433",
            "0177.1",
            "127.1",
            "0x7f.1",
            "a.0x7f",
            "ok.com@evil",
            "ok.com#.evil",
            "a b",
            "a%2e",
            "",
            "1.1.1.1",
            "[::1]",
            "\u{44f}.ru",
        ] {
            assert!(rules.host(host, 443).is_none(), "{host}");
        }
    }

    #[test]
    fn net_10_14_what_a_name_leads_to_is_named_or_of_the_open_internet() {
        let rules = rules(&[("*", 1, 65535), ("10.0.0.0/8", 5432, 5432), ("localhost", 80, 80)]);
        let dialled = |address: &str, port| rules.dialled(address.parse().unwrap(), port);
        assert_eq!(dialled("1.1.1.1", 443), Ok(()));
        assert_eq!(dialled("10.9.9.9", 5432), Ok(()));
        assert_eq!(dialled("::ffff:10.9.9.9", 5432), Ok(()));
        assert_eq!(dialled("10.9.9.9", 443), Err(AddressClass::Private));
        assert_eq!(dialled("169.254.169.254", 80), Err(AddressClass::Metadata));
        assert_eq!(dialled("127.0.0.1", 80), Ok(()));
        assert_eq!(dialled("127.0.0.2", 80), Err(AddressClass::Loopback));
        assert_eq!(dialled("::1", 81), Err(AddressClass::Loopback));
    }
}
