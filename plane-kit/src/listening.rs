//! At which TCP ports the processes of a tree accept connections, read from /proc: nothing is connected to, so a server that counts its
//! visitors counts none, and another program at the same port is not taken for the one that is asked about.

use crate::process_tree::ProcessTree;
use std::fs;
use std::path::Path;

/// The state of a socket that listens, in proc_net_tcp(5).
const LISTENS: &str = "0A";

/// Which columns of proc_net_tcp(5) are read: the local address with its port, the state, the inode.
const LOCAL: usize = 1;
const STATE: usize = 3;
const INODE: usize = 9;

impl ProcessTree {
    /// Whether a process of the tree holds a socket that listens at TCP `port`, over IPv4 or IPv6.
    pub fn is_listening(&self, port: u16) -> bool {
        let members = self.members();
        // All have the same network: what could make another is refused to guests, and the host plane makes none.
        let Some(first) = members.first() else { return false };
        let network = self.directory(*first).join("net");
        let mut sockets = Vec::new();
        for table in ["tcp", "tcp6"] {
            let text = fs::read_to_string(network.join(table)).unwrap_or_default();
            sockets.extend(text.lines().skip(1).filter_map(|line| listener(line, port)));
        }
        !sockets.is_empty() && members.iter().any(|pid| holds(&self.directory(*pid), &sockets))
    }
}

/// What a descriptor of the socket in `line` shows as, if that listens at `port`.
fn listener(line: &str, port: u16) -> Option<String> {
    let columns: Vec<&str> = line.split_ascii_whitespace().collect();
    let (_, own_port) = columns.get(LOCAL)?.rsplit_once(':')?;
    let matches = columns.get(STATE) == Some(&LISTENS) && u16::from_str_radix(own_port, 16) == Ok(port);
    matches.then(|| columns.get(INODE).map(|inode| format!("socket:[{inode}]")))?
}

/// Whether a process has one of these sockets open.
fn holds(directory: &Path, sockets: &[String]) -> bool {
    let descriptors = fs::read_dir(directory.join("fd")).into_iter().flatten().flatten();
    let targets = descriptors.filter_map(|entry| fs::read_link(entry.path()).ok());
    targets.into_iter().any(|target| sockets.iter().any(|socket| target.as_os_str() == socket.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_line_of_the_table_names_port_state_and_socket() {
        let line =
            "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4242 1 0";
        assert_eq!(listener(line, 8080).as_deref(), Some("socket:[4242]"));
        assert_eq!(listener(line, 8081), None);
        assert_eq!(listener(&line.replace(" 0A ", " 01 "), 8080), None, "connected, not listening");
        assert_eq!(listener("nonsense", 1), None);
    }

    #[test]
    fn a_port_counts_for_the_tree_whose_process_listens_and_for_no_other() {
        let server = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = server.local_addr().unwrap().port();
        let own = ProcessTree::beneath(std::process::id().cast_signed(), 0);
        assert!(own.is_listening(port));
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let other = ProcessTree::beneath(child.id().cast_signed(), 0);
        assert!(!other.is_listening(port), "it sees the port, but does not hold it");
        child.kill().unwrap();
        child.wait().unwrap();
        drop(server);
        assert!(!own.is_listening(port));
    }
}
