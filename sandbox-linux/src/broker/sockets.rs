//! bind(2) and connect(2) on behalf of the guest: sockets with a path are reached only if the guest itself bound them.
//!
//! A path socket leads to whoever listens, wherever that is: no namespace stands between. So services of the host whose sockets lie
//! in a visible folder (a container daemon's, a key agent's) would be open to the guest. Datagram sockets, whose every message can
//! name another receiver, are left to nobody: the filter refuses them.

use super::call::PathArgument;
use super::caller::Caller;
use super::guest_path::own_path;
use super::judge::{REFUSED, directory_of};
use super::known::Known;
use super::proxy_only::Walls;
use super::raw_call::{Identity, LONGEST_ADDRESS, SocketAddress, bind, facts, facts_at};
use super::serve::{Answer, Server};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{Shutdown, shutdown};
use nix::sys::stat::{Mode, umask};
use nix::unistd::fchdir;
use std::collections::HashSet;
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// `AF_UNIX` as it stands in an address.
const FAMILY: u16 = 1;

/// Where the path stands in `struct sockaddr_un`.
const PATH_AT: usize = 2;

/// How much of a path it has room for.
const LONGEST_PATH: usize = 108;

/// As many sockets as are remembered.
const MOST_SOCKETS: usize = 65_536;

/// A relative path starts at the caller's working directory.
pub(super) const HERE: PathArgument = PathArgument { directory: libc::AT_FDCWD, address: 0 };

/// The sockets that one guest bound to paths.
#[derive(Debug)]
pub(super) struct OwnSockets {
    bound: HashSet<Identity>,
    shares_network: bool,
    /// All that it reaches of the network, where that is not left to the kernel.
    pub(super) walls: Option<Walls>,
}

/// What an address names.
#[derive(Debug, PartialEq, Eq)]
enum Named {
    /// A path.
    Path(CString),
    /// An abstract name, unix(7).
    Abstract,
    /// Anything else: what it reaches is bounded by the network namespace, or by `proxy_only`.
    Other,
}

impl OwnSockets {
    /// None yet. `shares_network`: abstract names are those of the host. `walls`: see there.
    pub(super) fn new(shares_network: bool, walls: Option<Walls>) -> Self {
        Self { bound: HashSet::new(), shares_network, walls }
    }

    /// A socket's name was removed: its number may be used again, for a socket that is not the guest's.
    pub(super) fn unbound(&mut self, socket: Identity) {
        self.bound.remove(&socket);
    }
}

impl Server {
    /// bind(2).
    pub(super) fn bind(&mut self, thread: i32, socket: i32, address: u64, length: u32) -> Result<(), Errno> {
        let caller = Caller::of(thread)?;
        let (socket, address) = (self.descriptor_of(caller.process, socket)?, read(thread, address, length)?);
        let path = match named(&address) {
            Named::Path(path) => path,
            Named::Abstract if self.sockets.shares_network => return Err(Errno::EPERM),
            Named::Other => return self.bind_network(thread, &socket, &address),
            Named::Abstract => return bind(&socket, &address),
        };
        let place = self.known_place(thread, &self.absolute_of(thread, HERE, &path)?)?;
        if self.is_known(thread, &place) && facts_at(place.parent.as_fd(), &place.name).is_ok() {
            return Err(Errno::EADDRINUSE);
        }
        self.judge.new_file(thread, &place, directory_of(&place)?)?;
        let address = local(place.name.as_bytes())?;
        if self.sockets.bound.len() >= MOST_SOCKETS {
            return Err(Errno::ENOSPC);
        }
        // The kernel keeps the text as the socket's address: the plain name tells nothing about us.
        fchdir(&place.parent)?;
        let mask = umask(Mode::from_bits_truncate(caller.umask));
        let done = bind(&socket, &address);
        umask(mask);
        fchdir(self.files.root())?;
        done.inspect_err(|errno| self.note_mounts(thread, *errno, &place.path))?;
        let made = facts_at(place.parent.as_fd(), &place.name)?.identity;
        self.sockets.bound.insert(made);
        Ok(())
    }

    /// connect(2).
    pub(super) fn connect(&mut self, thread: i32, socket: i32, address: u64, length: u32) -> Result<Answer, Errno> {
        let caller = Caller::of(thread)?;
        let (socket, address) = (self.descriptor_of(caller.process, socket)?, read(thread, address, length)?);
        let path = match named(&address) {
            Named::Path(path) => path,
            Named::Abstract if self.sockets.shares_network => return Err(Errno::EPERM),
            Named::Other => {
                let address = self.may_connect(thread, &socket, address)?;
                return Ok(Answer::Connect { socket, address, object: None });
            }
            Named::Abstract => return Ok(Answer::Connect { socket, address, object: None }),
        };
        let absolute = self.absolute_of(thread, HERE, &path)?;
        let object = if self.judge.is_alone() {
            match self.known(thread, &absolute, true)? {
                Known::Object(object) => object,
                Known::Descriptor(..) => return Err(Errno::ECONNREFUSED),
                Known::Absent { .. } => return Err(Errno::ENOENT),
            }
        } else {
            self.files.object(&absolute, true)?
        };
        let facts = facts(object.descriptor.as_fd())?;
        if !facts.is_socket() {
            return Err(Errno::ECONNREFUSED);
        }
        if !self.sockets.bound.contains(&facts.identity) {
            self.judge.findings.foreign_socket(thread, &object.path);
            return Err(REFUSED);
        }
        let address = local(own_path(&object.descriptor).as_bytes())?;
        Ok(Answer::Connect { socket, address, object: Some(object.descriptor) })
    }
}

/// Whether connecting it answers at once.
pub(super) fn does_not_block(socket: &OwnedFd) -> bool {
    fcntl(socket, FcntlArg::F_GETFL).is_ok_and(|flags| OFlag::from_bits_retain(flags).contains(OFlag::O_NONBLOCK))
}

/// Lets go who waits for a connection.
pub(super) fn release_socket(socket: &OwnedFd) {
    let _ = shutdown(socket.as_raw_fd(), Shutdown::Both);
}

fn read(thread: i32, address: u64, length: u32) -> Result<SocketAddress, Errno> {
    let length = usize::try_from(length).ok().filter(|length| *length <= LONGEST_ADDRESS).ok_or(Errno::EINVAL)?;
    let mut bytes = vec![0; length];
    if length > 0 {
        super::guest_memory::read(thread, address, &mut bytes)?;
    }
    Ok(SocketAddress(bytes))
}

fn named(address: &SocketAddress) -> Named {
    let bytes = &address.0;
    let family = bytes.first().zip(bytes.get(1)).map(|(low, high)| u16::from_ne_bytes([*low, *high]));
    if family != Some(FAMILY) {
        return Named::Other;
    }
    let path = bytes.get(PATH_AT..).unwrap_or_default();
    match path.first() {
        // No name at all: the kernel gives an abstract one.
        None => Named::Other,
        Some(0) => Named::Abstract,
        Some(_) => {
            let end = path.iter().position(|byte| *byte == 0).unwrap_or(path.len());
            CString::new(path.get(..end).unwrap_or_default()).map_or(Named::Other, Named::Path)
        }
    }
}

/// The address of a path socket.
fn local(path: &[u8]) -> Result<SocketAddress, Errno> {
    if path.len() >= LONGEST_PATH {
        return Err(Errno::ENAMETOOLONG);
    }
    let mut bytes = FAMILY.to_ne_bytes().to_vec();
    bytes.extend_from_slice(path);
    bytes.push(0);
    Ok(SocketAddress(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_told_apart_by_family_and_first_byte() {
        let address = |family: u16, rest: &[u8]| SocketAddress([&family.to_ne_bytes(), rest].concat());
        assert_eq!(named(&local(b"/run/x").unwrap()), Named::Path(c"/run/x".into()));
        assert_eq!(named(&address(1, b"\0name")), Named::Abstract);
        assert_eq!(named(&address(1, b"relative")), Named::Path(c"relative".into()));
        assert_eq!(named(&address(2, b"/run/x")), Named::Other);
        assert_eq!(named(&address(1, b"")), Named::Other);
        assert_eq!(named(&SocketAddress(vec![1])), Named::Other);
    }

    #[test]
    fn a_path_that_does_not_fit_is_no_address() {
        assert_eq!(local(&[b'x'; LONGEST_PATH]).unwrap_err(), Errno::ENAMETOOLONG);
    }
}
