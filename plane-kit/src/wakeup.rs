//! How a supervisor's thread waits: in poll(2), woken by descriptors and by a [`Waker`].

use crate::wake_counter::WakeCounter;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::Duration;

struct Counter(WakeCounter);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.add();
    }
}

/// Something to wait on that a waker ends.
pub struct Wakeup {
    counter: Arc<Counter>,
    waker: Waker,
}

impl std::fmt::Debug for Wakeup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wakeup").finish_non_exhaustive()
    }
}

impl Wakeup {
    /// Makes one.
    ///
    /// # Errors
    /// Where the kernel gives no descriptor.
    pub fn new() -> io::Result<Self> {
        let counter = Arc::new(Counter(WakeCounter::new()?));
        let waker = Waker::from(counter.clone());
        Ok(Self { counter, waker })
    }

    /// What ends a wait.
    pub fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Waits until one of `sources` can be read or has ended, until the waker is woken, or for at most `most`.
    ///
    /// # Errors
    /// What poll(2) met, other than an interruption.
    pub fn wait(&self, sources: impl IntoIterator<Item = impl AsFd>, most: Option<Duration>) -> io::Result<()> {
        let sources: Vec<_> = sources.into_iter().collect();
        let mut watched: Vec<PollFd<'_>> = vec![PollFd::new(self.counter.0.as_fd(), PollFlags::POLLIN)];
        watched.extend(sources.iter().map(|source| PollFd::new(source.as_fd(), PollFlags::POLLIN)));
        match poll(&mut watched, timeout(most)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        self.counter.0.clear();
        Ok(())
    }
}

/// Waits until `source` can be read or has ended; answers whether that came within `most`.
///
/// # Errors
/// What poll(2) met, other than an interruption.
pub fn readable(source: BorrowedFd<'_>, most: Option<Duration>) -> io::Result<bool> {
    let end = most.and_then(|most| std::time::Instant::now().checked_add(most));
    loop {
        let left = end.map(|end| end.saturating_duration_since(std::time::Instant::now()));
        let mut watched = [PollFd::new(source, PollFlags::POLLIN)];
        match poll(&mut watched, timeout(left)) {
            Ok(0) if left.is_some_and(|left| left.is_zero()) => return Ok(false),
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(true),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Rounded up, so that a time that has almost come does not turn a wait into a busy loop.
fn timeout(most: Option<Duration>) -> PollTimeout {
    match most {
        None => PollTimeout::NONE,
        Some(most) if most.is_zero() => PollTimeout::ZERO,
        Some(most) => PollTimeout::try_from(most.saturating_add(Duration::from_millis(1))).unwrap_or(PollTimeout::MAX),
    }
}
