//! Our ends of what leads to a keeper.

use crate::start_mark::StartMark;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use std::io;
use std::os::fd::OwnedFd;

/// What a keeper is told by, and what tells of it.
#[derive(Debug)]
pub(crate) struct Line {
    /// Commands go this way, and words of the keeper come.
    pub(crate) control: OwnedFd,
    /// Whether its program was about to be executed. Both have this one.
    pub(crate) mark: StartMark,
}

impl Line {
    /// A new one, and the keeper's end of the control socket.
    pub(crate) fn new() -> io::Result<(Self, OwnedFd)> {
        let (control, its) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        Ok((Self { control, mark: StartMark::new()? }, its))
    }
}
