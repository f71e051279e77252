//! Standard streams where the guest has a terminal in their place.

use cofferdam_bridge::execution::{StreamMode, Streams};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::os::fd::OwnedFd;

/// Streams as they stand beside a terminal, which is made inside and takes all three places.
pub(crate) fn separate(streams: Streams) -> Streams {
    match streams {
        Streams::Terminal { .. } => {
            Streams::Separate { stdin: StreamMode::Null, stdout: StreamMode::Null, stderr: StreamMode::Null }
        }
        other => other,
    }
}

/// The host's end of the guest's terminal, to type on and to read from. Neither blocks.
pub(crate) fn ends(terminal: &OwnedFd) -> std::io::Result<(OwnedFd, OwnedFd)> {
    fcntl(terminal, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok((terminal.try_clone()?, terminal.try_clone()?))
}
