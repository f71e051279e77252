//! Who is at the other end of a session's socket.

use nix::sys::socket::{getsockopt, sockopt};
use std::io;
use std::os::unix::net::UnixStream;

/// The user who made the other end (unix(7), `SO_PEERCRED`).
#[cfg(target_os = "linux")]
pub(super) fn user(stream: &UnixStream) -> io::Result<u32> {
    Ok(getsockopt(stream, sockopt::PeerCredentials)?.uid())
}

/// The user who made the other end (unix(4) of macOS, `LOCAL_PEERCRED`).
#[cfg(not(target_os = "linux"))]
pub(super) fn user(stream: &UnixStream) -> io::Result<u32> {
    Ok(getsockopt(stream, sockopt::LocalPeerCred)?.uid())
}
