//! A process that is remembered beyond the life of whoever started it: its number alone would mean another one some day.

use crate::apple::process_table::{member, started};
use crate::process_tree::ProcessTree;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fmt;
use std::io;
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

/// How long what was killed may take to be gone.
const LAST_MOMENT: Duration = Duration::from_secs(5);

/// Between two looks whether it is: no descriptor tells of the end of processes that are not our children.
const LOOK: Duration = Duration::from_millis(5);

/// A process as it can be written down: number and time of its start. Its text is one word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessMark {
    pid: u32,
    /// Microseconds since 1970, so that it means no process of another boot either.
    started: u64,
    /// The number that no other process of this boot has.
    id: u64,
}

impl ProcessMark {
    /// The process `pid`, if there is one.
    pub fn of(pid: u32) -> Option<Self> {
        let number = i32::try_from(pid).ok()?;
        Some(Self { pid, started: started(number)?, id: member(number)?.id })
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it is there. One that has ended and waits for its parent is not.
    pub fn is_alive(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }

    /// Kills it and all that descends from it, and waits until they are gone; answers how many there were.
    ///
    /// # Errors
    /// Where one may not be signalled, or does not go away.
    pub fn end(&self) -> io::Result<usize> {
        if !self.is_alive() {
            return Ok(0);
        }
        let tree = ProcessTree::beneath(self.pid.cast_signed(), 0);
        let mut found: Vec<Self> = Vec::new();
        loop {
            let marks = tree.members().into_iter().filter_map(|pid| Self::of(pid.cast_unsigned()));
            let new: Vec<_> = marks.filter(|mark| !found.contains(mark)).collect();
            if new.is_empty() {
                break;
            }
            // Stopped, nobody starts another while they are counted.
            for mark in &new {
                mark.signal(Signal::SIGSTOP)?;
            }
            found.extend(new);
        }
        for mark in &found {
            mark.signal(Signal::SIGKILL)?;
        }
        let begun = Instant::now();
        while found.iter().any(Self::is_alive) {
            if begun.elapsed() > LAST_MOMENT {
                return Err(io::ErrorKind::TimedOut.into());
            }
            thread::sleep(LOOK);
        }
        Ok(found.len())
    }

    /// Looks once more at once before it signals: numbers are given in turn, so that one comes round again after tens of thousands.
    fn signal(&self, signal: Signal) -> io::Result<()> {
        if !self.is_alive() {
            return Ok(());
        }
        match kill(Pid::from_raw(self.pid.cast_signed()), signal) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl fmt::Display for ProcessMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.pid, self.started, self.id)
    }
}

impl FromStr for ProcessMark {
    type Err = io::Error;

    fn from_str(text: &str) -> io::Result<Self> {
        let mut words = text.splitn(3, ':').map(|word| word.parse::<u64>());
        let mut next = || words.next().and_then(Result::ok).ok_or(io::ErrorKind::InvalidData);
        let (pid, started, id) = (next()?, next()?, next()?);
        let pid = u32::try_from(pid).map_err(|_| io::ErrorKind::InvalidData)?;
        Ok(Self { pid, started, id })
    }
}
