//! Sockets that live in a run's network and are used outside of it.
//!
//! A socket stays in the network namespace that it was made in (network_namespaces(7)). No thread of the host may leave its own user
//! namespace (setns(2)), so a child that borrows the host's memory and its descriptors joins the run's, makes some, and ends.

#![expect(unsafe_code, reason = "clone(2) with a shared memory and a stack of its own has no safe form")]

use crate::spawn::Stack;
use nix::sys::signal::{SigSet, SigmaskHow, pthread_sigmask};
use std::fs::File;
use std::io;
use std::net::TcpStream;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// The most that are made at once.
pub(crate) const MOST: usize = 16;

/// The way into a run's network.
#[derive(Debug)]
pub(crate) struct Door {
    user: OwnedFd,
    network: OwnedFd,
}

/// The family of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// IPv4.
    Four,
    /// IPv6.
    Six,
}

/// What the child is told, and tells.
struct Maker {
    user: i32,
    network: i32,
    family: i32,
    wanted: usize,
    made: [i32; MOST],
    count: usize,
    errno: i32,
}

impl Door {
    /// That of the process `pid`, which the caller has not reaped.
    pub(crate) fn of_process(pid: i32) -> io::Result<Self> {
        let open = |name: &str| File::open(format!("/proc/{pid}/ns/{name}")).map(OwnedFd::from);
        Ok(Self { user: open("user")?, network: open("net")? })
    }

    /// That of a network whose descriptors are `user`, the user namespace that owns it, and `network`.
    pub(crate) fn of(user: BorrowedFd<'_>, network: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(Self { user: user.try_clone_to_owned()?, network: network.try_clone_to_owned()? })
    }

    /// Makes `wanted` stream sockets in there, [`MOST`] at most, which do not block and are not connected.
    pub(crate) fn sockets(&self, family: Family, wanted: usize) -> io::Result<Vec<TcpStream>> {
        let mut stack = Stack::new();
        let mut maker = Maker {
            user: self.user.as_raw_fd(),
            network: self.network.as_raw_fd(),
            family: if family == Family::Four { libc::AF_INET } else { libc::AF_INET6 },
            wanted: wanted.min(MOST),
            made: [-1; MOST],
            count: 0,
            errno: 0,
        };
        // A handler of the host must not run in the child, which shares the host's memory.
        let mut before = SigSet::empty();
        pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before))?;
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_FILES | libc::SIGCHLD;
        // SAFETY: CLONE_VFORK keeps us here until the child has ended, so stack and `maker` outlive it; `make` calls only what is
        // async-signal-safe.
        let pid = unsafe { libc::clone(make, stack.top(), flags, (&raw mut maker).cast()) };
        let started = if pid < 0 { Err(io::Error::last_os_error()) } else { Ok(pid) };
        pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
        let child = nix::unistd::Pid::from_raw(started?);
        // It has ended already, or is about to. Where the host reaps all its children itself, it may be gone.
        while nix::sys::wait::waitpid(child, None) == Err(nix::errno::Errno::EINTR) {}
        let made = maker.made.iter().take(maker.count);
        // SAFETY: the child made these in the table of descriptors that it shares with us, and nobody else knows them.
        let sockets: Vec<TcpStream> = made.map(|number| unsafe { TcpStream::from_raw_fd(*number) }).collect();
        if sockets.is_empty() { Err(io::Error::from_raw_os_error(maker.errno)) } else { Ok(sockets) }
    }
}

/// Runs in the child, on its own borrowed stack.
extern "C" fn make(argument: *mut libc::c_void) -> libc::c_int {
    // SAFETY: `sockets` passes its `Maker`, which nobody else touches while the caller is suspended.
    let maker = unsafe { &mut *argument.cast::<Maker>() };
    // The user namespace first: it gives the right to the other (setns(2)).
    // SAFETY: integers only.
    let user = unsafe { libc::setns(maker.user, libc::CLONE_NEWUSER) };
    // SAFETY: integers only.
    let joined = if user < 0 { user } else { unsafe { libc::setns(maker.network, libc::CLONE_NEWNET) } };
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    for place in maker.made.iter_mut().take(if joined < 0 { 0 } else { maker.wanted }) {
        // SAFETY: integers only.
        *place = unsafe { libc::socket(maker.family, kind, 0) };
        if *place < 0 {
            break;
        }
        maker.count += 1;
    }
    if maker.count == 0 {
        maker.errno = io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
    }
    // SAFETY: ends the child without running exit handlers of the host.
    unsafe { libc::_exit(0) }
}
