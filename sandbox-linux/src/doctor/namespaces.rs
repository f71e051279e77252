//! Each namespace, made and used.

use super::attempt::{Outcome, Step, attempt};
use super::calls::{self, errno_of};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount as mount_call};
use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

const USER: i32 = libc::CLONE_NEWUSER;

pub(super) fn user() -> Outcome {
    // Texts are made here: the child makes as few of its own as can be.
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    let (users, groups) = (format!("{uid} {uid} 1\n"), format!("{gid} {gid} 1\n"));
    attempt(
        USER,
        &[
            Step { name: "write setgroups", call: &|| write("/proc/self/setgroups", "deny") },
            Step { name: "write uid_map", call: &|| write("/proc/self/uid_map", &users) },
            Step { name: "write gid_map", call: &|| write("/proc/self/gid_map", &groups) },
        ],
    )
}

pub(super) fn mount() -> Outcome {
    attempt(USER | libc::CLONE_NEWNS, &[private(), Step { name: "mount tmpfs", call: &|| tmpfs() }])
}

pub(super) fn pid() -> Outcome {
    let first = || if nix::unistd::getpid().as_raw() == 1 { Ok(()) } else { Err(Errno::EIO) };
    attempt(USER | libc::CLONE_NEWPID, &[Step { name: "getpid", call: &first }])
}

pub(super) fn network() -> Outcome {
    attempt(USER | libc::CLONE_NEWNET, &[])
}

pub(super) fn ipc() -> Outcome {
    attempt(USER | libc::CLONE_NEWIPC, &[])
}

pub(super) fn host_name() -> Outcome {
    let name = || calls::name_host("cofferdam");
    attempt(USER | libc::CLONE_NEWUTS, &[Step { name: "sethostname", call: &name }])
}

pub(super) fn cgroup() -> Outcome {
    attempt(USER | libc::CLONE_NEWCGROUP, &[])
}

pub(super) fn loopback() -> Outcome {
    let talk = || {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| errno_of(&error))?;
        let own = socket.local_addr().map_err(|error| errno_of(&error))?;
        socket.set_read_timeout(Some(Duration::from_secs(1))).map_err(|error| errno_of(&error))?;
        socket.send_to(b"x", own).map_err(|error| errno_of(&error))?;
        socket.recv(&mut [0]).map(drop).map_err(|error| errno_of(&error))
    };
    attempt(
        USER | libc::CLONE_NEWNET,
        &[
            Step { name: "ioctl SIOCSIFFLAGS", call: &calls::loopback_up },
            Step { name: "a datagram over loopback", call: &talk },
        ],
    )
}

/// Cuts the mounts of the child off from the host's, so that none of its own can travel there.
pub(super) fn private() -> Step<'static> {
    Step { name: "mount MS_PRIVATE", call: &|| change("/", None, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None) }
}

/// A tmpfs over /proc, the one folder that is always there.
pub(super) fn tmpfs() -> Result<(), Errno> {
    change("/proc", Some("tmpfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some("mode=755"))
}

/// mount(2) of a file system by its kind.
pub(super) fn change(at: &str, kind: Option<&str>, flags: MsFlags, options: Option<&str>) -> Result<(), Errno> {
    mount_call(kind, at, kind, flags, options)
}

fn write(path: &str, text: &str) -> Result<(), Errno> {
    fs::write(path, text).map_err(|error| errno_of(&error))
}
