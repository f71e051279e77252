//! What a keeper does once its program runs: follows who descends from it, obeys its host, and ends all with the program or the host.
//!
//! The kernel tells of each fork of whoever is followed (kqueue(2), `NOTE_FORK`), and the table of processes is looked at each time.

use crate::apple::descendants::Descendants;
use crate::apple::process_table::{member, members};
use crate::keeper_format::{command, message};
use nix::errno::Errno;
use nix::sys::event::{EvFlags, EventFilter, FilterFlag, KEvent, Kqueue};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Between two sweeps of what does not die at once, and between two looks while something lives whose maker may be on its way out.
const PAUSE: Duration = Duration::from_millis(5);
const LOOK: Duration = Duration::from_millis(100);

/// Tells the host something, as long as it is there.
pub(crate) fn send(mut control: &UnixStream, kind: u32, value: u32, errno: u32, step: u32) {
    let mut words = [kind, value, errno, step].map(u32::to_le_bytes).concat();
    // What was used is told by the kernel when the keeper is reaped.
    words.resize(message::LENGTH, 0);
    // Nobody there: then the socket's end is what is acted on.
    let _ = control.write_all(&words);
}

/// A keeper at work.
pub(crate) struct Watch {
    control: UnixStream,
    program: Pid,
    /// Whether what it started may go on after its end.
    output_wait: bool,
    queue: Kqueue,
    tree: Descendants,
    /// Commands as far as they have arrived.
    arrived: Vec<u8>,
    /// The program's wait status once it has been reaped. From then on its number may be another's.
    status: Option<i32>,
    ending: bool,
    deadline: Option<Instant>,
    host_gone: bool,
}

impl Watch {
    pub(crate) fn new(control: UnixStream, program: Pid, output_wait: bool) -> io::Result<Self> {
        control.set_nonblocking(true)?;
        let own = member(getpid().as_raw()).ok_or(io::ErrorKind::NotFound)?;
        let queue = Kqueue::new()?;
        let watch = Self {
            control,
            program,
            output_wait,
            queue,
            tree: Descendants::of(own.id),
            arrived: Vec::new(),
            status: None,
            ending: false,
            deadline: None,
            host_gone: false,
        };
        let add = EvFlags::EV_ADD | EvFlags::EV_CLEAR;
        let descriptor = usize::try_from(watch.control.as_raw_fd()).unwrap_or(0);
        let child = usize::try_from(Signal::SIGCHLD as i32).unwrap_or(0);
        watch.register(KEvent::new(descriptor, EventFilter::EVFILT_READ, add, FilterFlag::empty(), 0, 0))?;
        watch.register(KEvent::new(child, EventFilter::EVFILT_SIGNAL, add, FilterFlag::empty(), 0, 0))?;
        Ok(watch)
    }

    /// Watches until nothing is left; answers the exit code.
    pub(crate) fn run(mut self) -> i32 {
        loop {
            self.commands();
            self.reap();
            if self.deadline.is_some_and(|end| Instant::now() >= end) {
                self.ending = true;
            }
            let left = self.descendants();
            if self.ending {
                self.signal_all(&left, Signal::SIGKILL);
                self.reap();
            }
            if left.is_empty()
                && let Some(status) = self.status
            {
                send(&self.control, message::ENDED, status.cast_unsigned(), 0, 0);
                return 0;
            }
            let most = if self.ending { PAUSE } else { LOOK };
            let left = self.deadline.map(|end| end.saturating_duration_since(Instant::now()));
            self.wait(left.map_or(most, |left| left.min(most)));
        }
    }

    fn register(&self, event: KEvent) -> nix::Result<()> {
        self.queue.kevent(&[event], &mut [], None).map(|_| ())
    }

    fn wait(&self, most: Duration) {
        let most = libc::timespec { tv_sec: 0, tv_nsec: i64::from(most.subsec_nanos()) };
        let none = KEvent::new(0, EventFilter::EVFILT_READ, EvFlags::empty(), FilterFlag::empty(), 0, 0);
        // Whatever has happened, all is looked at.
        let _ = self.queue.kevent(&[], &mut [none; 16], Some(most));
    }

    /// Who lives now, the keeper itself not counted; forks of all of them are told from here on.
    fn descendants(&mut self) -> Vec<i32> {
        let table = members();
        let found: Vec<i32> =
            self.tree.among(&table).into_iter().filter(|(depth, _)| *depth > 0).map(|(_, member)| member.pid).collect();
        for pid in &found {
            let (add, what) = (EvFlags::EV_ADD | EvFlags::EV_CLEAR, FilterFlag::NOTE_FORK | FilterFlag::NOTE_EXIT);
            let pid = usize::try_from(*pid).unwrap_or(0);
            // One that has just ended cannot be added, and need not be.
            let _ = self.register(KEvent::new(pid, EventFilter::EVFILT_PROC, add, what, 0, 0));
        }
        found
    }

    fn signal_all(&self, pids: &[i32], signal: Signal) {
        for pid in pids {
            let _ = kill(Pid::from_raw(*pid), signal);
        }
    }

    /// Takes what has ended. With the program itself all ends.
    fn reap(&mut self) {
        let flags = WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED | WaitPidFlag::WCONTINUED;
        while self.status.is_none() {
            match waitpid(self.program, Some(flags)) {
                // As wait(2) has it: the code in the second byte, or the signal, with a bit for a core.
                Ok(WaitStatus::Exited(_, code)) => self.ended(code << 8),
                Ok(WaitStatus::Signaled(_, signal, core)) => self.ended(signal as i32 | if core { 0x80 } else { 0 }),
                Ok(WaitStatus::Stopped(_, signal)) => send(&self.control, message::STOPPED, signal as u32, 0, 0),
                Ok(WaitStatus::Continued(_)) => send(&self.control, message::CONTINUED, 0, 0, 0),
                Err(Errno::EINTR) => {}
                _ => return,
            }
        }
    }

    fn ended(&mut self, status: i32) {
        self.status = Some(status);
        if self.output_wait {
            send(&self.control, message::LEFT, 0, 0, 0);
        } else {
            self.ending = true;
        }
    }

    fn commands(&mut self) {
        let mut bytes = [0; 256];
        while !self.host_gone {
            match self.control.read(&mut bytes) {
                Ok(0) => self.host_is_gone(),
                Ok(count) => self.arrived.extend(bytes.iter().take(count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.host_is_gone(),
            }
        }
        while let Some((words, rest)) = self.arrived.split_first_chunk::<{ command::LENGTH }>() {
            let [a, b, c, d, e, f, g, h] = *words;
            let (kind, value) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
            self.arrived = rest.to_vec();
            self.obey(kind, value);
        }
    }

    fn host_is_gone(&mut self) {
        self.host_gone = true;
        self.ending = true;
    }

    fn obey(&mut self, kind: u32, value: u32) {
        let signal = || Signal::try_from(value.cast_signed()).ok().filter(|_| self.status.is_none());
        match kind {
            command::SIGNAL_PROGRAM => {
                if let Some(signal) = signal() {
                    let _ = kill(self.program, signal);
                }
            }
            command::SIGNAL_FOREGROUND => {
                if let Some(signal) = signal() {
                    let _ = killpg(self.foreground(), signal);
                }
            }
            command::STOP => {
                let all = self.descendants();
                self.signal_all(&all, Signal::SIGTERM);
                self.signal_all(&all, Signal::SIGCONT);
                let end = Instant::now() + Duration::from_millis(value.into());
                self.deadline = Some(self.deadline.map_or(end, |before| before.min(end)));
            }
            command::KILL => self.ending = true,
            _ => {}
        }
    }

    /// The foreground group of the program's terminal, as the table has it; its own group without one.
    fn foreground(&self) -> Pid {
        let told = crate::apple::process_table::foreground_group(self.program.as_raw());
        told.map_or(self.program, Pid::from_raw)
    }
}
