//! How many tasks the user has, asked no more often than it matters: what counts them reads all of /proc.

use cofferdam_plane_kit::process_tree::tasks_of_user;
use nix::unistd::geteuid;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// For so long a count is as good as a new one: the limit that is set by it has room for more than start meanwhile.
const FRESH: Duration = Duration::from_secs(1);

/// The last count.
#[derive(Debug, Default)]
pub(crate) struct UserTasks(Mutex<Option<(Instant, u64)>>);

impl UserTasks {
    /// The tasks of this user; none for root, whom no limit on them binds (getrlimit(2), RLIMIT_NPROC).
    pub(crate) fn count(&self) -> Option<u64> {
        let user = geteuid();
        if user.is_root() {
            return None;
        }
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match *last {
            Some((when, count)) if when.elapsed() < FRESH => Some(count),
            _ => {
                let count = tasks_of_user(user.as_raw());
                *last = Some((Instant::now(), count));
                Some(count)
            }
        }
    }
}
