//! What runs ask to be connected to.

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
