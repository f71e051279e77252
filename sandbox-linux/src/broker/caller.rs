//! Who calls: the thread's process, its numbers inside the sandbox, its file mode mask.

use cofferdam_plane_kit::proc_text;
use nix::errno::Errno;
use std::fs;

/// What /proc tells of a waiting thread (proc_pid_status(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The thread, as this process numbers it.
    pub(crate) thread: i32,
    /// Its process, as this process numbers it.
    pub(crate) process: i32,
    /// Its process, as the sandbox numbers it.
    pub(crate) inside: i32,
    /// The bits it wants cleared in the modes of what it makes.
    pub(crate) umask: u32,
}

impl Caller {
    /// Looks at `thread`.
    pub(crate) fn of(thread: i32) -> Result<Self, Errno> {
        let status = proc_text::read(format!("/proc/{thread}/status")).map_err(|_| Errno::ESRCH)?;
        Self::parse(thread, &status).ok_or(Errno::ESRCH)
    }

    fn parse(thread: i32, status: &str) -> Option<Self> {
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.split_ascii_whitespace().next_back()
        };
        Some(Self {
            thread,
            process: field("Tgid")?.parse().ok()?,
            inside: field("NStgid")?.parse().ok()?,
            umask: u32::from_str_radix(field("Umask")?, 8).ok()?,
        })
    }

    /// The terminal that controls its session, by its number in the sandbox's devpts.
    pub(crate) fn terminal(&self) -> Option<u32> {
        const FIRST_PTS_MAJOR: u32 = 136;
        let stat = proc_text::read(format!("/proc/{}/stat", self.thread)).ok()?;
        // The name stands in parentheses and may hold anything; tty_nr is the fifth field after it.
        let device: u32 = stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(4)?.parse().ok()?;
        let (major, minor) = ((device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xf_ff00));
        let instance = major.checked_sub(FIRST_PTS_MAJOR).filter(|instance| *instance < 8)?;
        Some(instance * 256 + minor)
    }
}

/// The short name of a thread's program, for messages.
pub(crate) fn program_of(thread: i32) -> Option<String> {
    let name = fs::read(format!("/proc/{thread}/comm")).ok()?;
    Some(String::from_utf8_lossy(name.strip_suffix(b"\n").unwrap_or(&name)).into_owned())
}

/// Where a thread's program lies, as the sandbox sees it, for messages.
pub(crate) fn program_path_of(thread: i32) -> Option<String> {
    let path = fs::read_link(format!("/proc/{thread}/exe")).ok()?;
    Some(path.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_several_numbers_is_the_innermost() {
        let status =
            "Name:\tUmask: x\nUmask:\t0027\nState:\tS\nTgid:\t4711\nNgid:\t0\nNStgid:\t4711\t12\nNSpid:\t4712\t13\n";
        let expected = Caller { thread: 4712, process: 4711, inside: 12, umask: 0o27 };
        assert_eq!(Caller::parse(4712, status), Some(expected));
    }

    #[test]
    fn one_s_own_process_can_be_looked_at() {
        let caller = Caller::of(nix::unistd::gettid().as_raw()).unwrap();
        assert_eq!(caller.process, nix::unistd::getpid().as_raw());
    }
}
