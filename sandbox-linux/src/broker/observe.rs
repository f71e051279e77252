//! Looking at calls where refusals are to be explained, and noting those that come to nothing.
//!
//! It looks and no more. What it reads of the guest's memory may be another name a moment later, so a note can be wrong; the call
//! itself is decided without it: by the kernel behind mounts and Landlock, by the filter's own verdict, or by the broker on what it
//! reads itself.

use super::attempts::{Sought, Want};
use super::call::{ARCHITECTURE, is_native};
use super::guest_path::own_path;
use super::notify::{Listener, Notification};
use super::raw_call::{LONGEST_ADDRESS, facts, facts_at};
use super::serve::{Answer, Server};
use super::sockets::HERE;
use super::sought::Looks;
use super::{guest_memory, listening};
use crate::seccomp::{Variant, Verdict, call_name, is_observed, plain_verdict};
use cofferdam_bridge::decide::FileAccess;
use cofferdam_bridge::profile::CommandProfile;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{AccessFlags, access};
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::path::Path;

/// What looking needs.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    /// The filter that decides without looking.
    pub(crate) plain: Variant,
    /// Which programs may be executed.
    pub(crate) commands: CommandProfile,
    /// Whether nothing is to be noted of addresses: the run has the host's network, or one whose supervisor is asked about every connection
    /// and tells itself what it refuses, by name.
    pub(crate) network_tells: bool,
}

impl Watch {
    /// What the filter says to a call, looked at or not. Its arguments are read from the notification alone.
    pub(super) fn verdict(&self, notification: &Notification) -> Verdict {
        plain_verdict(self.plain, ARCHITECTURE, notification.number, &notification.arguments)
    }
}

impl Server {
    /// Answers a call of a guest that is watched: as without watching, and noted where it comes to nothing.
    pub(super) fn watched(
        &mut self,
        plain: Verdict,
        listener: &Listener,
        notification: &Notification,
    ) -> Result<Answer, Errno> {
        if !is_native(notification) {
            return Err(Errno::ENOSYS);
        }
        match plain {
            Verdict::Broker => {
                let looks = Looks::of(notification);
                if matches!(looks, Looks::Address { .. }) {
                    self.look_for(looks, listener, notification, false);
                }
                let answer = self.served(listener, notification);
                if !matches!(looks, Looks::Address { binds: false, .. })
                    && matches!(&answer, Err(errno) if may_be_refusal(*errno))
                {
                    self.look_for(looks, listener, notification, true);
                }
                answer
            }
            Verdict::Allow if is_observed(notification.number) => {
                self.look_for(Looks::of(notification), listener, notification, false);
                Ok(Answer::GoOn)
            }
            // The plain filter would never have asked; whatever this is, it does not go on.
            Verdict::Allow => Err(Errno::EPERM),
            Verdict::Errno(errno) => {
                self.note_refused_call(notification);
                Err(Errno::from_raw(errno))
            }
        }
    }

    /// Notes what a call looks for. `failed`: it is known to come to nothing; else that is found out.
    fn look_for(&mut self, looks: Looks, listener: &Listener, notification: &Notification, failed: bool) {
        let operation = call_name(notification.number).unwrap_or("a call");
        match looks {
            Looks::Names(names) => {
                for (want, path) in names.into_iter().flatten() {
                    let Ok(text) = guest_memory::path(notification.thread, path.address) else { continue };
                    let Ok(absolute) = self.absolute_of(notification.thread, path, &text) else { continue };
                    // Only now it is sure that all this was read of the caller and not of somebody with its number.
                    if listener.is_valid(notification.id) && (failed || self.fails(want, &absolute)) {
                        let sought = Sought::Path { want, absolute: absolute.clone() };
                        self.attempts.note(notification.thread, sought, operation, text.to_bytes());
                    }
                    if want == Want::Execute {
                        self.look_at_interpreter(notification.thread, &absolute, operation);
                    }
                }
            }
            Looks::Address { address, length, binds } => {
                let mut bytes = vec![0; usize::try_from(length).unwrap_or(0).min(LONGEST_ADDRESS)];
                let read = guest_memory::read(notification.thread, address, &mut bytes);
                if read.is_ok() && listener.is_valid(notification.id) {
                    self.look_at_address(notification.thread, &bytes, operation, binds, failed);
                }
            }
            Looks::Message { header } => {
                // The name and its length are the first two fields of `struct msghdr`.
                let mut fields = [0_u8; 12];
                if guest_memory::read(notification.thread, header, &mut fields).is_ok() {
                    let (name, length) = fields.split_at(8);
                    let address = u64::from_ne_bytes(name.try_into().unwrap_or_default());
                    let length = u32::from_ne_bytes(length.try_into().unwrap_or_default());
                    if address != 0 {
                        self.look_for(Looks::Address { address, length, binds: false }, listener, notification, failed);
                    }
                }
            }
            Looks::Nothing => {}
        }
    }

    /// Whether the kernel, asked about the guest's own view, says no.
    fn fails(&self, want: Want, absolute: &[u8]) -> bool {
        let unless = |follow: bool, needed: AccessFlags| match self.files.object(absolute, follow) {
            Ok(object) => access(object.reopening().as_str(), needed).is_err(),
            Err(errno) => may_be_refusal(errno),
        };
        match want {
            Want::Look | Want::Connect => unless(true, AccessFlags::F_OK),
            Want::LookAtLink => self.files.object(absolute, false).is_err_and(may_be_refusal),
            Want::Read => unless(true, AccessFlags::R_OK),
            Want::Change => unless(true, AccessFlags::W_OK),
            Want::Create => match self.files.object(absolute, true) {
                Err(Errno::ENOENT) => self.fails(Want::Make, absolute),
                _ => unless(true, AccessFlags::W_OK),
            },
            Want::Make | Want::Remove => match self.files.place(absolute) {
                Err(errno) => may_be_refusal(errno),
                Ok(place) => {
                    let is_there = facts_at(place.parent.as_fd(), &place.name).is_ok();
                    let may = || access(own_path(&place.parent).as_str(), AccessFlags::W_OK).is_ok();
                    if is_there { want == Want::Remove && !may() } else { want == Want::Remove || !may() }
                }
            },
            Want::Execute => match self.files.object(absolute, true) {
                Ok(object) => {
                    access(object.reopening().as_str(), AccessFlags::X_OK).is_err() || !self.may_execute(&object.path)
                }
                Err(errno) => may_be_refusal(errno),
            },
        }
    }

    fn may_execute(&self, canonical: &Path) -> bool {
        let text = canonical.to_string_lossy();
        // Without mounts everything is there to be found, and Landlock lets run what may be read, too.
        let visible = || {
            let decision = self.judge.decide(&text, FileAccess::Read);
            !self.judge.is_alone() || decision.is_some_and(|decision| decision.allowed)
        };
        let listed = || self.watch.as_ref().is_none_or(|watch| watch.commands.decide(&text).allowed);
        self.judge.is_temporary(canonical) || (visible() && listed())
    }

    /// A script is run by another program, which must be there, too (execve(2), interpreter scripts).
    fn look_at_interpreter(&mut self, thread: i32, absolute: &[u8], operation: &'static str) {
        let Ok(object) = self.files.object(absolute, true) else { return };
        if !facts(object.descriptor.as_fd()).is_ok_and(|facts| facts.is_file()) {
            return;
        }
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let Ok(file) = open(object.reopening().as_str(), flags, Mode::empty()) else { return };
        let mut bytes = Vec::new();
        // As much as the kernel looks at (BINPRM_BUF_SIZE).
        let read = std::fs::File::from(file).take(256).read_to_end(&mut bytes);
        let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        if let (Ok(_), Some(rest)) = (read, line.strip_prefix(b"#!")) {
            let mut words = rest.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
            let interpreter = words.next().unwrap_or_default();
            if interpreter.starts_with(b"/") && self.fails(Want::Execute, interpreter) {
                let sought = Sought::Path { want: Want::Execute, absolute: interpreter.to_vec() };
                self.attempts.note(thread, sought, operation, interpreter);
            }
        }
    }

    fn look_at_address(&mut self, thread: i32, bytes: &[u8], operation: &'static str, binds: bool, failed: bool) {
        match address_of(bytes) {
            Some(Named::Network(address, port)) => {
                let told = self.watch.as_ref().is_some_and(|watch| watch.network_tells);
                // Port 0 is asked for to learn one's own address.
                if binds || told || port == 0 {
                    return;
                }
                let own = is_own(address) && listening::port(&format!("/proc/{thread}/net"), port);
                if !own {
                    self.attempts.note(thread, Sought::Address { address, port }, operation, b"");
                }
            }
            Some(Named::Path(path)) => {
                let Ok(text) = std::ffi::CString::new(path) else { return };
                let Ok(absolute) = self.absolute_of(thread, HERE, &text) else { return };
                let want = if binds { Want::Make } else { Want::Connect };
                if failed || (!binds && self.fails(want, &absolute)) {
                    self.attempts.note(thread, Sought::Path { want, absolute }, operation, path);
                }
            }
            Some(Named::Abstract(name))
                if !binds && !listening::abstract_name(&format!("/proc/{thread}/net"), name) =>
            {
                self.attempts.note(thread, Sought::AbstractName(name.to_vec()), operation, name);
            }
            _ => {}
        }
    }

    /// Notes a call that the filter refuses whatever the policy says.
    fn note_refused_call(&mut self, notification: &Notification) {
        const IPPROTO_MPTCP: u64 = 262;
        let [first, _, third, ..] = notification.arguments;
        let mut detail = None;
        if notification.number == libc::SYS_socket {
            // Programs try it where they know it, and do without.
            if third == IPPROTO_MPTCP {
                return;
            }
            detail = i32::try_from(first).ok().map(family);
        }
        let Some(name) = call_name(notification.number) else { return };
        self.attempts.note(notification.thread, Sought::Call { name, detail }, name, b"");
    }
}

/// What is refused looks like this; whatever else happened is no refusal.
fn may_be_refusal(errno: Errno) -> bool {
    matches!(errno, Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES | Errno::EPERM | Errno::EROFS | Errno::ELOOP)
}

/// Whether an address means the machine itself.
pub(super) fn is_own(address: IpAddr) -> bool {
    address.is_loopback() || address.is_unspecified()
}

#[derive(Debug, PartialEq, Eq)]
enum Named<'a> {
    Network(IpAddr, u16),
    Path(&'a [u8]),
    Abstract(&'a [u8]),
}

/// What an address names (ip(7), ipv6(7), unix(7)).
fn address_of(bytes: &[u8]) -> Option<Named<'_>> {
    let family = i32::from(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?));
    let rest = bytes.get(2..)?;
    if family == libc::AF_UNIX {
        let path = rest.split(|byte| *byte == 0).next().unwrap_or_default();
        return match rest.first() {
            None => None,
            Some(0) => Some(Named::Abstract(rest.get(1..)?)),
            Some(_) => Some(Named::Path(path)),
        };
    }
    let port = u16::from_be_bytes(rest.get(..2)?.try_into().ok()?);
    match family {
        libc::AF_INET => {
            let octets: [u8; 4] = rest.get(2..6)?.try_into().ok()?;
            Some(Named::Network(Ipv4Addr::from(octets).into(), port))
        }
        libc::AF_INET6 => {
            let octets: [u8; 16] = rest.get(6..22)?.try_into().ok()?;
            Some(Named::Network(IpAddr::from(Ipv6Addr::from(octets)).to_canonical(), port))
        }
        _ => None,
    }
}

fn family(number: i32) -> &'static str {
    match number {
        libc::AF_UNIX => "AF_UNIX, datagrams",
        libc::AF_INET => "AF_INET",
        libc::AF_INET6 => "AF_INET6",
        libc::AF_NETLINK => "AF_NETLINK",
        libc::AF_PACKET => "AF_PACKET",
        libc::AF_VSOCK => "AF_VSOCK",
        libc::AF_ALG => "AF_ALG",
        libc::AF_BLUETOOTH => "AF_BLUETOOTH",
        _ => "another family",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_the_kernel_reads_them() {
        let bytes = |family: i32, rest: &[u8]| [&(family as u16).to_ne_bytes(), rest].concat();
        let four = bytes(libc::AF_INET, &[0x1f, 0x90, 192, 0, 2, 1, 0, 0]);
        assert_eq!(address_of(&four), Some(Named::Network("192.0.2.1".parse().unwrap(), 8080)));
        let mapped = [&[0, 80, 0, 0, 0, 0][..], &[0; 10], &[0xff, 0xff, 127, 0, 0, 1]].concat();
        let mapped = bytes(libc::AF_INET6, &mapped);
        assert_eq!(address_of(&mapped), Some(Named::Network("127.0.0.1".parse().unwrap(), 80)));
        assert_eq!(address_of(&bytes(libc::AF_UNIX, b"/run/x\0y")), Some(Named::Path(b"/run/x")));
        assert_eq!(address_of(&bytes(libc::AF_UNIX, b"\0bus")), Some(Named::Abstract(b"bus")));
        for short in [&b""[..], b"\x02", b"\x02\0\0", b"\x0a\0\0\0\0\0\0\0\0\0"] {
            assert_eq!(address_of(short), None);
        }
    }
}
