//! Which name an address inside stands for. Each name gets addresses of its own, for as long as the run lasts.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Set aside for benchmarks of devices (RFC 2544, RFC 6890): no host of the world has one.
const FIRST_V4: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
/// The last of 198.18.0.0/15.
const LAST_V4: Ipv4Addr = Ipv4Addr::new(198, 19, 255, 254);
/// A unique-local prefix (RFC 4193) of our own.
const PREFIX_V6: Ipv6Addr = Ipv6Addr::new(0xfd63, 0x6f66, 0x6665, 0x7264, 0, 0, 0, 0);

/// As many names as one run may ask for. Names below a wildcard are the guest's to make up, and each may carry data out.
pub const MOST_NAMES: usize = 4096;

/// The names that one run has asked for.
#[derive(Debug, Default)]
pub struct AddressBook {
    names: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl AddressBook {
    /// The addresses of `name`, which is canonical; none when the book is full.
    pub fn enter(&mut self, name: &str) -> Option<(Ipv4Addr, Ipv6Addr)> {
        let number = match self.numbers.get(name) {
            Some(number) => *number,
            None if self.names.len() >= MOST_NAMES => return None,
            None => {
                let number = u32::try_from(self.names.len()).ok()?;
                self.names.push(name.to_owned());
                self.numbers.insert(name.to_owned(), number);
                number
            }
        };
        let four = Ipv4Addr::from_bits(FIRST_V4.to_bits() + number);
        let six = Ipv6Addr::from_bits(PREFIX_V6.to_bits() | u128::from(number + 1));
        Some((four, six))
    }

    /// The name that `address` stands for.
    pub fn name(&self, address: IpAddr) -> Option<&str> {
        let number = match address.to_canonical() {
            IpAddr::V4(address) => address.to_bits().checked_sub(FIRST_V4.to_bits())?,
            IpAddr::V6(address) => {
                let number = address.to_bits().checked_sub(PREFIX_V6.to_bits())?.checked_sub(1)?;
                u32::try_from(number).ok()?
            }
        };
        self.names.get(usize::try_from(number).ok()?).map(String::as_str)
    }

    /// Whether `address` is one that names get, given out or not. No rule about addresses opens it.
    pub fn is_own(address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => (FIRST_V4..=LAST_V4).contains(&address),
            IpAddr::V6(address) => address.to_bits() >> 64 == PREFIX_V6.to_bits() >> 64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_addresses_and_they_tell_it() {
        let mut book = AddressBook::default();
        let (four, six) = book.enter("a.example").unwrap();
        assert_ne!(book.enter("b.example").unwrap(), (four, six));
        assert_eq!(book.enter("a.example").unwrap(), (four, six));
        for address in [IpAddr::V4(four), IpAddr::V6(six), IpAddr::V6(four.to_ipv6_mapped())] {
            assert_eq!(book.name(address), Some("a.example"), "{address}");
            assert!(AddressBook::is_own(address));
        }
        for address in ["198.18.0.3", "198.17.255.255", "127.0.0.1", "fd63:6f66:6665:7264::", "fd63:6f66:6665:7264::9"]
        {
            assert_eq!(book.name(address.parse().unwrap()), None, "{address}");
        }
    }

    #[test]
    fn net_13_the_book_has_an_end() {
        let mut book = AddressBook::default();
        let entered = (0..MOST_NAMES + 10).filter(|number| book.enter(&format!("n{number}.example")).is_some()).count();
        assert_eq!(entered, MOST_NAMES);
        assert!(book.enter("n0.example").is_some(), "what is known stays known");
    }
}
