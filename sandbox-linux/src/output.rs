//! One output stream of a guest on its way to the kernel: bounded, and never blocking the supervisor.

use cofferdam_bridge::event::{ExecutionEvent, ExecutionEventSink};
use cofferdam_bridge::limits::LimitName;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::Waker;

const CHUNK: usize = 64 * 1024;

/// How an attempt to move bytes ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moved {
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
pub(crate) struct Output {
    source: Option<OwnedFd>,
    name: LimitName,
    limit: Option<u64>,
    seen: u64,
    held: Option<Box<ExecutionEvent>>,
}

impl Output {
    /// The stream `name` (`Stdout` or `Stderr`), read from `source`, which does not block.
    pub(crate) fn new(source: OwnedFd, name: LimitName, limit: Option<u64>) -> Self {
        Self { source: Some(source), name, limit, seen: 0, held: None }
    }

    /// The descriptor to wait on, unless there is nothing to wait for.
    pub(crate) fn waits_on(&self) -> Option<BorrowedFd<'_>> {
        if self.held.is_some() { None } else { self.source.as_ref().map(AsFd::as_fd) }
    }

    /// Whether everything was handed over and the stream has ended.
    pub(crate) fn finished(&self) -> bool {
        self.source.is_none() && self.held.is_none()
    }

    /// Which stream it is.
    pub(crate) fn name(&self) -> LimitName {
        self.name
    }

    /// The limit, in bytes.
    pub(crate) fn limit(&self) -> u64 {
        self.limit.unwrap_or(u64::MAX)
    }

    /// Bytes handed over so far.
    pub(crate) fn seen(&self) -> u64 {
        self.seen
    }

    /// Reads what is there and hands it over.
    pub(crate) fn advance(&mut self, sink: &dyn ExecutionEventSink, waker: &Waker) -> io::Result<Moved> {
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
            Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) => return Ok(Moved::Some),
            // A terminal whose other end is closed answers EIO.
            Err(nix::errno::Errno::EIO) => 0,
            Err(errno) => return Err(errno.into()),
        };
        if got == 0 {
            self.source = None;
            return Ok(Moved::Ended);
        }
        bytes.truncate(got);
        let room = self.limit().saturating_sub(self.seen);
        let past = (got as u64) > room;
        let observed = self.seen.saturating_add(got as u64);
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
