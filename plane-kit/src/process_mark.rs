//! A process that is remembered beyond the life of whoever started it: its number alone would mean another one some day.

#![expect(unsafe_code, reason = "pidfd_open(2) has no safe form in nix")]

use crate::proc_text;
use crate::process::signal;
use crate::process_tree::ProcessTree;
use crate::wakeup::readable;
use std::fmt;
use std::fs;
use std::io;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::str::FromStr;
use std::time::Duration;

/// Which column of proc_pid_stat(5), counted from the state on, is the time of the start.
const START_TIME: usize = 19;

/// How long what was killed may take to be gone.
const LAST_MOMENT: Duration = Duration::from_secs(5);

/// A process as it can be written down: number and time of its start, in this boot and this pid namespace. Its text is one word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessMark {
    pid: u32,
    started: u64,
    place: String,
}

impl ProcessMark {
    /// The process `pid`, if there is one.
    pub fn of(pid: u32) -> Option<Self> {
        Some(Self { pid, started: started(pid)?, place: place()? })
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it is there. One that has ended and waits for its parent is not.
    pub fn is_alive(&self) -> bool {
        place().as_ref() == Some(&self.place) && started(self.pid) == Some(self.started)
    }

    /// Kills it and all that descends from it, and waits until they are gone; answers how many there were.
    ///
    /// # Errors
    /// Where one may not be signalled, or does not go away.
    pub fn end(&self) -> io::Result<usize> {
        let Some(own) = self.open()? else { return Ok(0) };
        // Whoever is killed cannot start another, so from the top down nobody is missed: those below a dead one are looked for before.
        let mut found = vec![own];
        let mut seen = Vec::new();
        loop {
            let tree = ProcessTree::beneath(self.pid.cast_signed(), 1);
            let new: Vec<_> = tree.members().into_iter().filter(|pid| !seen.contains(pid)).collect();
            let marks: Vec<_> = new.iter().filter_map(|pid| Self::of(*pid)).collect();
            seen.extend(new);
            for mark in &marks {
                found.extend(mark.open()?);
            }
            if marks.is_empty() {
                break;
            }
            // Stopped, nobody starts another while they are counted.
            for process in &found {
                signal(process.as_fd(), libc::SIGSTOP)?;
            }
        }
        for process in &found {
            signal(process.as_fd(), libc::SIGKILL)?;
        }
        for process in &found {
            if !readable(process.as_fd(), Some(LAST_MOMENT))? {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        Ok(found.len())
    }

    /// Its pidfd, if it is still there: opened by number, and then looked at whether the number is still its own.
    fn open(&self) -> io::Result<Option<OwnedFd>> {
        // SAFETY: integers only; the descriptor that comes back is nobody else's.
        let opened = unsafe { libc::syscall(libc::SYS_pidfd_open, self.pid, 0) };
        let Ok(descriptor @ 0..) = i32::try_from(opened) else {
            let error = io::Error::last_os_error();
            return if error.raw_os_error() == Some(libc::ESRCH) { Ok(None) } else { Err(error) };
        };
        // SAFETY: the kernel has just made it for us.
        let process = unsafe { OwnedFd::from_raw_fd(descriptor) };
        Ok(self.is_alive().then_some(process))
    }
}

impl fmt::Display for ProcessMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.pid, self.started, self.place)
    }
}

impl FromStr for ProcessMark {
    type Err = io::Error;

    fn from_str(text: &str) -> io::Result<Self> {
        let mut words = text.splitn(3, ':');
        let mut next = || words.next().ok_or(io::ErrorKind::InvalidData);
        let number = |word: &str| word.parse::<u64>().map_err(|_| io::ErrorKind::InvalidData);
        let (pid, started, place) = (number(next()?)?, number(next()?)?, next()?.to_owned());
        let pid = u32::try_from(pid).map_err(|_| io::ErrorKind::InvalidData)?;
        Ok(Self { pid, started, place })
    }
}

/// When the process `pid` was started, in ticks since the boot; none for one that is not there or has ended.
fn started(pid: u32) -> Option<u64> {
    let text = proc_text::read(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may hold anything.
    let (_, rest) = text.rsplit_once(") ")?;
    let mut words = rest.split_ascii_whitespace();
    if matches!(words.next()?, "Z" | "X") {
        return None;
    }
    words.nth(START_TIME - 1)?.parse().ok()
}

/// This boot and this pid namespace: elsewhere the same numbers mean others.
fn place() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{}:{}", boot.trim(), namespace.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_mark_means_one_process_and_no_later_one_of_its_number() {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let mark = ProcessMark::of(child.id()).unwrap();
        assert_eq!(mark.to_string().parse::<ProcessMark>().unwrap(), mark);
        assert!(mark.is_alive());
        let later = ProcessMark { started: mark.started + 1, ..mark.clone() };
        let elsewhere = ProcessMark { place: "another boot".to_owned(), ..mark.clone() };
        for other in [&later, &elsewhere] {
            assert!(!other.is_alive());
            assert_eq!(other.end().unwrap(), 0);
        }
        assert!(mark.is_alive(), "it was not the one that was meant");
        assert_eq!(mark.end().unwrap(), 1);
        child.wait().unwrap();
        assert!(!mark.is_alive());
        assert_eq!(mark.end().unwrap(), 0);
        assert!("1:2".parse::<ProcessMark>().is_err() && "x:2:y".parse::<ProcessMark>().is_err());
    }

    #[test]
    fn what_descends_from_it_goes_with_it() {
        let line = "sh -c 'sleep 1000 & wait' & setsid sleep 1000 & wait";
        let mut child = Command::new("sh").args(["-c", line]).spawn().unwrap();
        let mark = ProcessMark::of(child.id()).unwrap();
        let tree = ProcessTree::beneath(child.id().cast_signed(), 1);
        while tree.members().len() < 3 {
            std::thread::yield_now();
        }
        let below: Vec<_> = tree.members().into_iter().filter_map(ProcessMark::of).collect();
        assert!(mark.end().unwrap() >= 4);
        child.wait().unwrap();
        assert!(below.iter().all(|process| !process.is_alive()));
    }
}
