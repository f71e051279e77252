//! Connections that stay on this machine.

use std::net::IpAddr;
use std::os::fd::AsFd;

/// Lets `socket`, and those that it accepts, send as fast as the other end takes it, if the connection's address is loopback's: where the system's congestion control spaces packets,
/// as BBR does, loopback loses a fifth of its throughput by it. Nothing is said where that cannot be had.
#[cfg(target_os = "linux")]
pub(super) fn unpaced(socket: &impl AsFd, address: IpAddr) {
    use nix::sys::socket::{setsockopt, sockopt::TcpCongestion};
    if address.to_canonical().is_loopback() {
        // Every kernel has it (tcp(7)).
        let _ = setsockopt(&socket.as_fd(), TcpCongestion, &"reno".into());
    }
}

/// There is no such setting here.
#[cfg(not(target_os = "linux"))]
pub(super) fn unpaced(_: &impl AsFd, _: IpAddr) {}
