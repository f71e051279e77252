//! What runs ask to be connected to.

use super::super::address_book::AddressBook;
use cofferdam_bridge::network_rules::NetworkRules;
use cofferdam_bridge::verdict::RuleRef;
use std::net::SocketAddr;

/// What a run asked to be connected to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Target {
    /// A name, in its canonical form, and a port.
    Name(String, u16),
    /// An address and a port.
    Address(SocketAddr),
}

impl Target {
    /// As people write it: `name` or an address, without the port.
    pub fn host(&self) -> String {
        match self {
            Self::Name(name, _) => name.clone(),
            Self::Address(address) => address.ip().to_canonical().to_string(),
        }
    }

    /// The port.
    pub fn port(&self) -> u16 {
        match self {
            Self::Name(_, port) => *port,
            Self::Address(address) => address.port(),
        }
    }

    /// The rule among `rules` that names it. What stands for a name that was never asked for stands for nothing.
    pub(super) fn rule_among<'a>(&self, rules: &'a NetworkRules) -> Option<&'a RuleRef> {
        match self {
            Self::Name(name, port) => rules.name(name, Some(*port)),
            Self::Address(address) if AddressBook::is_own(address.ip()) => None,
            Self::Address(address) => rules.address(address.ip(), address.port()),
        }
    }

    /// As an entry of a policy.
    pub fn entry(&self) -> String {
        match self {
            Self::Address(address) if address.is_ipv6() => {
                SocketAddr::new(address.ip().to_canonical(), address.port()).to_string()
            }
            _ => format!("{}:{}", self.host(), self.port()),
        }
    }
}
