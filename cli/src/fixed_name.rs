//! `NAME[:PORT]=ADDRESS[:PORT]`: where the person who starts a run lets a name lead.

use crate::failure::Failure;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::network_rules::canonical_name;
use cofferdam_plane_kit::network::resolver::FixedName;
use std::net::{IpAddr, SocketAddr};

/// Reads one.
pub(crate) fn parse(text: &str) -> Result<FixedName, Failure> {
    read(text).ok_or_else(|| {
        Failure::new(ErrorCode::RequestInvalid, format!("`{text}` names no host and address"))
            .hint("--resolve api.test=127.0.0.1, or with ports --resolve api.test:443=127.0.0.1:8443")
    })
}

fn read(text: &str) -> Option<FixedName> {
    let (name, address) = text.split_once('=')?;
    let (name, port) = match name.split_once(':') {
        Some((name, port)) => (name, Some(port.parse::<u16>().ok().filter(|port| *port > 0)?)),
        None => (name, None),
    };
    let (address, other_port) = match address.parse::<SocketAddr>() {
        Ok(address) => (address.ip(), Some(address.port())),
        Err(_) => (address.trim_matches(['[', ']']).parse::<IpAddr>().ok()?, None),
    };
    let name = match name.strip_prefix("*.") {
        Some(above) => format!("*.{}", canonical_name(above)?),
        None => canonical_name(name)?,
    };
    Some(FixedName::new(name, port, address, other_port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_ports_and_addresses() {
        let address = "127.0.0.1".parse().unwrap();
        assert_eq!(read("API.test=127.0.0.1"), Some(FixedName::new("api.test", None, address, None)));
        assert_eq!(read("a.test:443=127.0.0.1:8443"), Some(FixedName::new("a.test", Some(443), address, Some(8443))));
        let six = "::1".parse().unwrap();
        assert_eq!(read("a.test=::1"), Some(FixedName::new("a.test", None, six, None)));
        assert_eq!(read("a.test:1=[::1]:2"), Some(FixedName::new("a.test", Some(1), six, Some(2))));
        for text in
            ["", "a.test", "a.test=", "a.test=b.test", "1.2.3.4=127.0.0.1", "a.test:0=127.0.0.1", "a b=127.0.0.1"]
        {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
