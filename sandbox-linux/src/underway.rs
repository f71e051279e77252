//! How many supervisors are under way, so that whoever lets go of the plane can wait for the last.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Counts what is under way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Underway(Arc<(Mutex<usize>, Condvar)>);

/// One that is under way, until it is dropped.
#[derive(Debug)]
pub(crate) struct Token(Underway);

impl Underway {
    /// One more.
    pub(crate) fn begin(&self) -> Token {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Token(self.clone())
    }

    /// Waits until nothing is under way, for at most `most`.
    pub(crate) fn wait(&self, most: Duration) {
        let count = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.0.1.wait_timeout_while(count, most, |count| *count > 0));
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        let (count, changed) = &*self.0.0;
        *count.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_with_the_last_one_or_with_its_time() {
        let underway = Underway::default();
        underway.wait(Duration::from_secs(100));
        let (first, second) = (underway.begin(), underway.begin());
        underway.wait(Duration::from_millis(1));
        drop(first);
        let waiting = std::thread::spawn(move || underway.wait(Duration::from_secs(100)));
        drop(second);
        waiting.join().unwrap();
    }
}
