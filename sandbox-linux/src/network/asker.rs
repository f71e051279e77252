//! Which program of the sandbox a socket belongs to, found out only where something is told of it.

use cofferdam_plane_kit::network::local_proxy::Asker;
use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// As many processes as are looked at.
const MOST_PROCESSES: usize = 4096;

/// Finds programs by their sockets, in one network namespace: the runs there, by their first processes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Askers(Arc<Mutex<BTreeSet<i32>>>);

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// Connections.
    Tcp,
    /// Datagrams.
    Udp,
}

impl Askers {
    /// A run has begun whose first process is `first`, by the host's number.
    pub(crate) fn begin(&self, first: i32) {
        self.firsts().insert(first);
    }

    /// It has ended.
    pub(crate) fn end(&self, first: i32) {
        self.firsts().remove(&first);
    }

    fn firsts(&self) -> MutexGuard<'_, BTreeSet<i32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name of the program that has the socket with this address of its own.
    pub(super) fn program(&self, protocol: Protocol, own: SocketAddr) -> Option<String> {
        let own = SocketAddr::new(own.ip().to_canonical(), own.port());
        let tables = match protocol {
            Protocol::Tcp => ["tcp", "tcp6"],
            Protocol::Udp => ["udp", "udp6"],
        };
        let firsts: Vec<i32> = self.firsts().iter().copied().collect();
        let any = firsts.first()?;
        let inode = tables.iter().find_map(|table| {
            let text = fs::read_to_string(format!("/proc/{any}/net/{table}")).ok()?;
            text.lines().skip(1).find_map(|line| inode(line, own))
        })?;
        let link = format!("socket:[{inode}]");
        let process = processes(firsts).into_iter().find(|process| has(*process, &link))?;
        let name = fs::read_to_string(format!("/proc/{process}/comm")).ok()?;
        Some(name.trim_end_matches('\n').to_owned())
    }
}

/// The processes beneath the first ones, and these.
fn processes(mut found: Vec<i32>) -> Vec<i32> {
    let mut at = 0;
    while let Some(process) = found.get(at).copied().filter(|_| found.len() < MOST_PROCESSES) {
        at += 1;
        let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else { continue };
        for task in tasks.flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            found.extend(children.split_whitespace().filter_map(|child| child.parse::<i32>().ok()));
        }
    }
    found
}

fn has(process: i32, link: &str) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{process}/fd")) else { return false };
    descriptors.flatten().any(|descriptor| fs::read_link(descriptor.path()).is_ok_and(|target| is(&target, link)))
}

fn is(target: &Path, link: &str) -> bool {
    target.as_os_str().as_bytes() == link.as_bytes()
}

/// The inode of the socket in a line of /proc/net/tcp and its like (proc_net_tcp of the kernel's documentation), if its own address is
/// `own`, or that port on every address.
fn inode(line: &str, own: SocketAddr) -> Option<u64> {
    let mut words = line.split_whitespace();
    let (address, port) = words.nth(1)?.split_once(':')?;
    if u16::from_str_radix(port, 16).ok()? != own.port() {
        return None;
    }
    let address = address_of(address)?;
    if address != own.ip() && !address.is_unspecified() {
        return None;
    }
    words.nth(7)?.parse().ok().filter(|inode| *inode != 0)
}

/// An address as the kernel prints it: words of four bytes, each in the machine's order.
fn address_of(text: &str) -> Option<IpAddr> {
    let mut bytes = Vec::new();
    for at in (0..text.len()).step_by(8) {
        bytes.extend(u32::from_str_radix(text.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    }
    if let Ok(four) = <[u8; 4]>::try_from(bytes.as_slice()) {
        return Some(IpAddr::from(four));
    }
    <[u8; 16]>::try_from(bytes).ok().map(|six| IpAddr::from(six).to_canonical())
}

impl Asker for Askers {
    fn program(&self, address: SocketAddr) -> Option<String> {
        Self::program(self, Protocol::Tcp, address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_of_this_process_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let own = fs::read_to_string("/proc/self/comm").unwrap();
        let askers = Askers::default();
        assert_eq!(askers.program(Protocol::Tcp, listener.local_addr().unwrap()), None);
        askers.begin(i32::try_from(std::process::id()).unwrap());
        let found = askers.program(Protocol::Tcp, listener.local_addr().unwrap());
        assert_eq!(found.as_deref(), Some(own.trim_end()));
        assert_eq!(askers.program(Protocol::Udp, "127.0.0.1:1".parse().unwrap()), None);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn a_line_tells_address_and_inode() {
        let line = "  5: 050012C6:D4A2 050012C6:01BB 01 00000000:00000000 00:00000000 00000000  1000        0 4711 1 x";
        assert_eq!(inode(line, "198.18.0.5:54434".parse().unwrap()), Some(4711));
        assert_eq!(inode(line, "198.18.0.6:54434".parse().unwrap()), None);
        let six = "  0: 0000000000000000FFFF0000050012C6:D4A2 0:0 01 0:0 0:0 0 0 0 12 1";
        assert_eq!(inode(six, "198.18.0.5:54434".parse().unwrap()), Some(12));
    }
}
