//! Whether somebody listens, by what /proc tells of a network namespace (proc_pid_net(5)).

use std::fs;

/// The state of a TCP socket that listens, as /proc/net/tcp writes it.
const LISTENS: &str = "0A";

/// Whether a TCP socket listens on `port`, or a UDP socket is bound to it, in the namespace that the directory `net` tells of.
pub(super) fn port(net: &str, port: u16) -> bool {
    let any = |file: &str, state: Option<&str>| {
        let text = fs::read_to_string(format!("{net}/{file}")).unwrap_or_default();
        text.lines().skip(1).any(|line| holds(line, port, state))
    };
    ["tcp", "tcp6"].iter().any(|file| any(file, Some(LISTENS))) || ["udp", "udp6"].iter().any(|file| any(file, None))
}

/// Whether a line tells of a socket on `port` in `state`.
fn holds(line: &str, port: u16, state: Option<&str>) -> bool {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (local, _, own) = (fields.next(), fields.next(), fields.next());
    let local = local.and_then(|local| local.rsplit_once(':')).and_then(|(_, port)| u16::from_str_radix(port, 16).ok());
    local == Some(port) && state.is_none_or(|state| own == Some(state))
}

/// Whether a socket has the abstract `name`, unix(7).
pub(super) fn abstract_name(net: &str, name: &[u8]) -> bool {
    let text = fs::read(format!("{net}/unix")).unwrap_or_default();
    // A NUL in a name is written as `@`, like the one that it begins with.
    let written: Vec<u8> = [b"@", name].concat().iter().map(|byte| if *byte == 0 { b'@' } else { *byte }).collect();
    text.split(|byte| *byte == b'\n').any(|line| line.ends_with(&written) && line.contains(&b'@'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_found_by_what_listens_on_it() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let own = listener.local_addr().unwrap().port();
        assert!(port("/proc/self/net", own));
        drop(listener);
        assert!(!port("/proc/self/net", own));
    }

    #[test]
    fn a_connection_does_not_listen() {
        let line = "   1: 0100007F:1F90 0100007F:C350 01 00000000:00000000";
        assert!(!holds(line, 0x1f90, Some(LISTENS)) && holds(line, 0x1f90, None) && !holds(line, 0xc350, None));
    }
}
