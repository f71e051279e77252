//! What the sandbox's /etc/resolv.conf, /etc/hosts and /etc/gai.conf say: its own name server, nothing of the host's names, and which
//! address of `localhost` comes first.

use std::fs;

/// Where programs look.
pub(crate) const RESOLV_CONF: &str = "/etc/resolv.conf";
/// Where they look first.
pub(crate) const HOSTS: &str = "/etc/hosts";

/// In which order addresses of a name are tried (gai.conf(5)).
const ORDER: &str = "/etc/gai.conf";

/// The order that there is without the file (RFC 3484, 10.3), but that of `localhost` IPv4 comes first: most servers for one machine listen
/// there alone, and some clients try one address. Those that try all find either.
const LOOPBACK_FIRST: &str = "precedence ::1/128 5\nprecedence ::/0 40\nprecedence 2002::/16 30\nprecedence ::/96 20\nprecedence ::ffff:0:0/96 10\n";

/// Longest search list that is taken over, in bytes.
const LONGEST_SEARCH: usize = 1024;

/// The files, with their contents.
pub(crate) fn files() -> [(&'static str, String); 3] {
    let host = fs::read_to_string(RESOLV_CONF).unwrap_or_default();
    [(RESOLV_CONF, resolv_conf(&host)), (HOSTS, hosts()), (ORDER, LOOPBACK_FIRST.to_owned())]
}

/// Any address would do as name server; this one is nobody else's. Names that the host completes are completed inside, too.
fn resolv_conf(host: &str) -> String {
    let mut text = "nameserver 127.0.0.1\n".to_owned();
    let kept = |line: &&str| matches!(line.split_whitespace().next(), Some("search" | "domain"));
    // The last of them counts (resolv.conf(5)).
    if let Some(line) = host.lines().rfind(kept).filter(|line| line.len() <= LONGEST_SEARCH) {
        text.push_str(line.trim());
        text.push('\n');
    }
    let number = |line: &str| line.split_whitespace().find_map(|word| word.strip_prefix("ndots:")?.parse::<u8>().ok());
    if let Some(dots) = host.lines().filter(|line| line.starts_with("options")).find_map(number) {
        text.push_str(&format!("options ndots:{dots}\n"));
    }
    text
}

fn hosts() -> String {
    "127.0.0.1\tlocalhost cofferdam\n::1\tlocalhost ip6-localhost ip6-loopback\n".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_s_servers_are_not_told_and_its_search_domains_are() {
        let host = "nameserver 10.1.2.3\nsearch old.example\n# search x\nsearch a.example b.example \noptions edns0 ndots:2 trust-ad\n";
        assert_eq!(resolv_conf(host), "nameserver 127.0.0.1\nsearch a.example b.example\noptions ndots:2\n");
        assert_eq!(resolv_conf(""), "nameserver 127.0.0.1\n");
    }
}
