//! Pseudo-terminals that a run makes where the only devpts is the host's (pts(4)).
//!
//! A terminal's number goes to somebody else as soon as its master is closed. So each is held by a descriptor that names its very node,
//! and opened by that: the node of one that is gone opens nothing, whoever has its number now.

use nix::sys::stat::fstat;
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::Path;

/// As many as are remembered at once.
const MOST: usize = 64;

/// The terminals of one run, by number.
#[derive(Debug, Default)]
pub(crate) struct OwnTerminals(HashMap<u32, OwnedFd>);

impl OwnTerminals {
    /// Remembers the terminal whose node `node` names. Whether there was room.
    pub(crate) fn made(&mut self, number: u32, node: OwnedFd) -> bool {
        self.0.retain(|_, node| is_there(node));
        if self.0.len() >= MOST {
            return false;
        }
        self.0.insert(number, node);
        true
    }

    /// The terminal at the canonical `path`, while its master is open.
    pub(crate) fn at(&self, path: &Path) -> Option<&OwnedFd> {
        let number: u32 = path.strip_prefix("/dev/pts").ok()?.to_str()?.parse().ok()?;
        self.0.get(&number).filter(|node| is_there(node))
    }
}

/// The kernel takes the node away with the master.
fn is_there(node: &OwnedFd) -> bool {
    fstat(node).is_ok_and(|stat| stat.st_nlink > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::fcntl::{OFlag, open};
    use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
    use nix::sys::stat::Mode;

    #[test]
    fn a_terminal_whose_master_is_closed_is_nobody_s() {
        let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let path = ptsname_r(&master).unwrap();
        let number = path.rsplit('/').next().unwrap().parse().unwrap();
        let node = || open(path.as_str(), OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).unwrap();
        let mut own = OwnTerminals::default();
        assert!(own.at(Path::new(&path)).is_none());
        assert!(own.made(number, node()));
        assert!(own.at(Path::new(&path)).is_some());
        let held = node();
        drop(master);
        assert!(own.at(Path::new(&path)).is_none());
        // Nor does the node that was held open whatever has the number next.
        let next = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY).unwrap();
        unlockpt(&next).unwrap();
        let opened =
            open(crate::broker::guest_path::own_path(&held).as_str(), OFlag::O_RDWR | OFlag::O_NOCTTY, Mode::empty());
        assert!(opened.is_err(), "{opened:?}");
    }
}
