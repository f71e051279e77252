//! One output stream of a guest on its way to the kernel: bounded, and never blocking the supervisor.

use crate::pipe_room;
use cofferdam_bridge::event::{ExecutionEvent, ExecutionEventSink};
use cofferdam_bridge::exit_cause::ExitCause;
use cofferdam_bridge::limits::LimitName;
use nix::errno::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::Waker;

/// Bytes of a stream that are captured where a policy sets no limit: 8 MiB.
pub const DEFAULT_LIMIT: u64 = 8 << 20;

const CHUNK: usize = pipe_room::USUAL;

/// How an attempt to move bytes ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Moved {
    /// Some were moved, or there was nothing to move just now.
    Some,
    /// The kernel's queue is full; the waker will tell when it is not.
    Full,
    /// The stream has ended.
    Ended,
    /// Nobody reads any more.
    Unwanted,
    /// The limit is passed; `observed` bytes were seen.
    PastLimit {
        /// Bytes seen in all.
        observed: u64,
    },
}

/// A stream and what was read of it.
#[derive(Debug)]
pub struct CapturedOutput {
    source: Option<OwnedFd>,
    name: LimitName,
    limit: u64,
    seen: u64,
    held: Option<Box<ExecutionEvent>>,
    /// Whether its pipe was given more room.
    widened: bool,
}

impl CapturedOutput {
    /// The stream `name` (`Stdout` or `Stderr`), read from `source`, which does not block; at most `limit` bytes.
    pub fn new(source: OwnedFd, name: LimitName, limit: u64) -> Self {
        Self { source: Some(source), name, limit, seen: 0, held: None, widened: false }
    }

    /// The descriptor to wait on, unless there is nothing to wait for.
    pub fn waits_on(&self) -> Option<BorrowedFd<'_>> {
        if self.held.is_some() { None } else { self.source.as_ref().map(AsFd::as_fd) }
    }

    /// Whether everything was handed over and the stream has ended.
    pub fn finished(&self) -> bool {
        self.source.is_none() && self.held.is_none()
    }

    /// Whether bytes were read that the kernel's queue had no room for.
    pub fn holds_back(&self) -> bool {
        self.held.is_some()
    }

    /// Which stream it is.
    pub fn name(&self) -> LimitName {
        self.name
    }

    /// Bytes read so far, never more than the limit.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// The cause that a passed limit is reported as.
    pub fn past_limit(&self, observed: u64) -> ExitCause {
        ExitCause::Limit { limit: self.name, value: self.limit, observed, held_by: "supervisor".to_owned() }
    }

    /// Reads what is there and hands it over.
    ///
    /// # Errors
    /// What reading met, other than the end.
    pub fn advance(&mut self, sink: &dyn ExecutionEventSink, waker: &Waker) -> io::Result<Moved> {
        if let Some(event) = self.held.take() {
            match self.hand_over(*event, sink, waker) {
                Moved::Some => {}
                other => return Ok(other),
            }
        }
        let Some(source) = &self.source else { return Ok(Moved::Ended) };
        let mut bytes = vec![0; CHUNK];
        let got = match nix::unistd::read(source, &mut bytes) {
            Ok(got) => got,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(Moved::Some),
            // A terminal whose other end is closed answers EIO.
            Err(Errno::EIO) => 0,
            Err(errno) => return Err(errno.into()),
        };
        if got == 0 {
            self.source = None;
            return Ok(Moved::Ended);
        }
        if got > CHUNK / 2 && !self.widened {
            self.widened = true;
            pipe_room::widen(source.as_fd());
        }
        bytes.truncate(got);
        let room = self.limit.saturating_sub(self.seen);
        let observed = self.seen.saturating_add(got as u64);
        let past = (got as u64) > room;
        if past {
            bytes.truncate(usize::try_from(room).unwrap_or(got));
        }
        self.seen = self.seen.saturating_add(bytes.len() as u64);
        let moved = if bytes.is_empty() { Moved::Some } else { self.hand_over(self.event(bytes), sink, waker) };
        if past {
            self.source = None;
            return Ok(Moved::PastLimit { observed });
        }
        Ok(moved)
    }

    fn event(&self, bytes: Vec<u8>) -> ExecutionEvent {
        if self.name == LimitName::Stderr { ExecutionEvent::Stderr { bytes } } else { ExecutionEvent::Stdout { bytes } }
    }

    fn hand_over(&mut self, event: ExecutionEvent, sink: &dyn ExecutionEventSink, waker: &Waker) -> Moved {
        match sink.try_push(event) {
            Ok(true) => Moved::Some,
            Ok(false) => {
                self.source = None;
                Moved::Unwanted
            }
            Err(event) => {
                self.held = Some(event);
                sink.wake_when_room(waker);
                Moved::Full
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Gathered {
        bytes: Mutex<Vec<u8>>,
        full: Mutex<bool>,
    }

    impl ExecutionEventSink for Gathered {
        fn push(&self, event: ExecutionEvent) -> bool {
            self.try_push(event).is_ok()
        }

        fn try_push(&self, event: ExecutionEvent) -> Result<bool, Box<ExecutionEvent>> {
            if *self.full.lock().unwrap() {
                return Err(Box::new(event));
            }
            let (ExecutionEvent::Stdout { bytes } | ExecutionEvent::Stderr { bytes }) = event else { return Ok(true) };
            self.bytes.lock().unwrap().extend(bytes);
            Ok(true)
        }

        fn wake_when_room(&self, waker: &Waker) {
            waker.wake_by_ref();
        }
    }

    #[test]
    fn c4_what_lies_within_the_limit_is_handed_over_and_the_byte_after_it_tells() {
        let (read, mut write) = io::pipe().unwrap();
        let mut output = CapturedOutput::new(read.into(), LimitName::Stderr, 4);
        let sink = Gathered::default();
        write.write_all(b"abcd").unwrap();
        assert_eq!(output.advance(&sink, Waker::noop()).unwrap(), Moved::Some);
        write.write_all(b"e").unwrap();
        assert_eq!(output.advance(&sink, Waker::noop()).unwrap(), Moved::PastLimit { observed: 5 });
        assert!(output.finished());
        assert_eq!(*sink.bytes.lock().unwrap(), b"abcd");
    }

    #[test]
    fn what_the_queue_has_no_room_for_is_kept_and_nothing_more_is_read() {
        let (read, mut write) = io::pipe().unwrap();
        let mut output = CapturedOutput::new(read.into(), LimitName::Stdout, DEFAULT_LIMIT);
        let sink = Gathered::default();
        *sink.full.lock().unwrap() = true;
        write.write_all(b"first").unwrap();
        assert_eq!(output.advance(&sink, Waker::noop()).unwrap(), Moved::Full);
        assert!(output.holds_back() && output.waits_on().is_none());
        *sink.full.lock().unwrap() = false;
        drop(write);
        assert_eq!(output.advance(&sink, Waker::noop()).unwrap(), Moved::Ended);
        assert_eq!(*sink.bytes.lock().unwrap(), b"first");
    }
}
