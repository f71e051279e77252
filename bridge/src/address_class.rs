//! Which addresses are not the open internet's: what a name must not lead to unless a rule names the address itself.
//!
//! By the special-purpose registries of IANA (RFC 6890) and the addresses at which clouds hand out credentials. An IPv6 address that
//! carries an IPv4 address (mapped, translated by NAT64, 6to4) is of the class of what it carries.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A kind of address that only a rule which names it opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AddressClass {
    /// This machine: 127.0.0.0/8, `::1`, and the unspecified address, which connects to this machine too.
    Loopback,
    /// This machine, by an address of another class that one of its interfaces has. Only whoever knows the interfaces can tell: what
    /// [`of`](Self::of) answers is never this.
    ThisMachine,
    /// Private networks (RFC 1918, RFC 4193), shared ones of carriers (RFC 6598), site-local ones.
    Private,
    /// The link alone: 169.254.0.0/16, `fe80::/10`.
    LinkLocal,
    /// Where clouds hand out credentials.
    Metadata,
    /// Multicast and broadcast.
    Multicast,
    /// Set aside for anything else: documentation, benchmarks, the future.
    Reserved,
}

/// Addresses at which clouds answer with credentials: most of them, one for containers, one in carriers' space, one among public
/// addresses, and one of IPv6.
const METADATA: [IpAddr; 5] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

impl AddressClass {
    /// The class of `address`; none for one of the open internet.
    pub fn of(address: IpAddr) -> Option<Self> {
        if METADATA.contains(&address) {
            return Some(Self::Metadata);
        }
        match address {
            IpAddr::V4(address) => of_v4(address),
            IpAddr::V6(address) => match carried(address) {
                Some(inner) => Self::of(IpAddr::V4(inner)),
                None => of_v6(address),
            },
        }
    }

    /// As a sentence has it: `a private address`.
    pub fn told(self) -> &'static str {
        match self {
            Self::Loopback => "a loopback address",
            Self::ThisMachine => "an address of this machine itself",
            Self::Private => "a private address",
            Self::LinkLocal => "a link-local address",
            Self::Metadata => "a cloud's metadata address",
            Self::Multicast => "a multicast or broadcast address",
            Self::Reserved => "a reserved address",
        }
    }
}

fn of_v4(address: Ipv4Addr) -> Option<AddressClass> {
    let [one, two, three, _] = address.octets();
    match (one, two, three) {
        (0 | 127, ..) => Some(AddressClass::Loopback),
        (10, ..) | (192, 168, _) => Some(AddressClass::Private),
        (172, 16..=31, _) | (100, 64..=127, _) => Some(AddressClass::Private),
        (169, 254, _) => Some(AddressClass::LinkLocal),
        (224..=239, ..) => Some(AddressClass::Multicast),
        (255, 255, 255) if address.is_broadcast() => Some(AddressClass::Multicast),
        (192, 0, 0 | 2) | (198, 51, 100) | (203, 0, 113) | (198, 18..=19, _) | (240.., ..) => {
            Some(AddressClass::Reserved)
        }
        _ => None,
    }
}

fn of_v6(address: Ipv6Addr) -> Option<AddressClass> {
    let [first, second, third, ..] = address.segments();
    match (first, second) {
        _ if address.is_loopback() || address.is_unspecified() => Some(AddressClass::Loopback),
        (0xfc00..=0xfdff | 0xfec0..=0xfeff, _) => Some(AddressClass::Private),
        // NAT64 of a network's own choice (RFC 8215).
        (0x64, 0xff9b) if third == 1 => Some(AddressClass::Private),
        (0xfe80..=0xfebf, _) => Some(AddressClass::LinkLocal),
        (0xff00.., _) => Some(AddressClass::Multicast),
        // Teredo, benchmarks, ORCHID and documentation.
        (0x2001, 0 | 2 | 0x10..=0x2f | 0xdb8) | (0x3fff, 0..=0xfff) => Some(AddressClass::Reserved),
        // Nothing else than 2000::/3 is given out (RFC 4291, 2.4).
        (0x2000..=0x3fff, _) => None,
        _ => Some(AddressClass::Reserved),
    }
}

/// The IPv4 address that an IPv6 address leads to by translation.
fn carried(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = address.segments();
    let joined = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match segments {
        // Mapped (RFC 4291), and translated (RFC 6052).
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(joined(high, low)),
        // Translated by SIIT (RFC 7915).
        [0, 0, 0, 0, 0xffff, 0, high, low] => Some(joined(high, low)),
        // 6to4 (RFC 3056).
        [0x2002, high, low, ..] => Some(joined(high, low)),
        // Compatible, as long as it is neither `::` nor `::1`.
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => Some(joined(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(text: &str) -> Option<AddressClass> {
        AddressClass::of(text.parse().unwrap())
    }

    #[test]
    fn net_09_an_address_in_an_address_is_of_its_class() {
        for text in ["::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "fd00:ec2::254"] {
            assert_eq!(class(text), Some(AddressClass::Metadata), "{text}");
        }
        for text in ["::", "::1", "0.0.0.0", "127.1.2.3", "::ffff:127.0.0.1", "::127.0.0.1", "::ffff:0:7f00:1"] {
            assert_eq!(class(text), Some(AddressClass::Loopback), "{text}");
        }
    }

    #[test]
    fn what_is_not_the_open_internet() {
        for text in ["10.0.0.1", "172.31.9.9", "192.168.0.1", "100.64.0.1", "fd12::1", "fec0::1", "64:ff9b:1::1"] {
            assert_eq!(class(text), Some(AddressClass::Private), "{text}");
        }
        for text in ["224.0.0.1", "255.255.255.255", "ff02::1"] {
            assert_eq!(class(text), Some(AddressClass::Multicast), "{text}");
        }
        for text in ["198.18.0.1", "240.0.0.1", "192.0.2.1", "2001:db8::1", "2001::1", "4000::1"] {
            assert_eq!(class(text), Some(AddressClass::Reserved), "{text}");
        }
        for text in ["169.254.1.1", "fe80::1"] {
            assert_eq!(class(text), Some(AddressClass::LinkLocal), "{text}");
        }
        for text in ["100.100.100.200", "168.63.129.16", "169.254.170.2"] {
            assert_eq!(class(text), Some(AddressClass::Metadata), "{text}");
        }
        for text in ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::808:808"] {
            assert_eq!(class(text), None, "{text}");
        }
    }
}
