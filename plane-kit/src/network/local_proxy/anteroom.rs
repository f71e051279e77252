//! Where connections to a proxy wait that have not shown yet whose they are. Anybody on this machine can make some: so they have a small
//! room of their own, take no place of those of the run, and give way to who comes after them.

use super::super::worker::ended;
use super::serve::LONGEST_WAIT;
use nix::sys::resource::{Resource, getrlimit};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

/// As many as wait at once: at least, and at most. Each takes a descriptor of the host's.
const MOST: (u64, u64) = (8, 64);
/// How long one may take at least, where others want its place.
const GRACE: Duration = Duration::from_secs(1);

/// The room of one proxy.
#[derive(Clone, Debug)]
pub(super) struct Anteroom {
    places: Arc<Semaphore>,
    waiting: Arc<Mutex<Waiting>>,
}

/// Who can be asked to leave, the oldest first.
#[derive(Debug, Default)]
struct Waiting {
    last: u64,
    unknown: Vec<Unknown>,
}

#[derive(Debug)]
struct Unknown {
    number: u64,
    since: Instant,
    leave: oneshot::Sender<()>,
}

/// The place of one connection. Dropping it makes room for another.
#[derive(Debug)]
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    number: u64,
    waiting: Arc<Mutex<Waiting>>,
    leave: oneshot::Receiver<()>,
}

/// Why somebody waits no longer who has not shown whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// It took too long.
    Late,
    /// Others wanted its place.
    ForOthers,
}

impl Default for Anteroom {
    /// A room of which so many places are there as the host can spare: an eighth of its descriptors, within bounds.
    fn default() -> Self {
        let (least, most) = MOST;
        let spare = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft) / 8;
        Self::of(usize::try_from(spare.clamp(least, most)).unwrap_or(1))
    }
}

impl Anteroom {
    /// A room of so many places.
    pub(super) fn of(places: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(places)), waiting: Arc::default() }
    }

    /// A place, as soon as there is one. Where all are taken, who has waited longest is asked to leave, once it has had its time. None when
    /// the run has ended meanwhile.
    pub(super) async fn enter(&self, stop: &mut watch::Receiver<bool>) -> Option<Place> {
        let permit = tokio::select! {
            biased;
            permit = self.free() => permit?,
            () = ended(stop) => return None,
        };
        let mut waiting = lock(&self.waiting);
        waiting.last += 1;
        let (number, (leave, asked)) = (waiting.last, oneshot::channel());
        waiting.unknown.push(Unknown { number, since: Instant::now(), leave });
        Some(Place { _permit: permit, number, waiting: self.waiting.clone(), leave: asked })
    }

    async fn free(&self) -> Option<OwnedSemaphorePermit> {
        let place = || self.places.clone().acquire_owned();
        loop {
            let oldest = lock(&self.waiting).unknown.first().map(|oldest| oldest.since + GRACE);
            // All of them have shown whose they are, and go on as soon as there is a seat for them.
            let Some(until) = oldest else { return place().await.ok() };
            tokio::select! {
                biased;
                permit = place() => return permit.ok(),
                () = sleep_until(until) => {}
            }
            let leaving = {
                let mut waiting = lock(&self.waiting);
                let is_due = waiting.unknown.first().is_some_and(|oldest| oldest.since + GRACE <= Instant::now());
                is_due.then(|| waiting.unknown.remove(0))
            };
            if leaving.is_some_and(|one| one.leave.send(()).is_ok()) {
                return place().await.ok();
            }
        }
    }

    #[cfg(test)]
    pub(super) fn places(&self) -> usize {
        self.places.available_permits()
    }
}

impl Place {
    /// Waits for `shown`, in which a connection shows whose it is.
    pub(super) async fn until<T>(&mut self, shown: impl Future<Output = T>) -> Result<T, Left> {
        tokio::select! {
            biased;
            shown = timeout(LONGEST_WAIT, shown) => shown.map_err(|_| Left::Late),
            // Where the sender is gone without a word it is known already: it may stay.
            Ok(()) = &mut self.leave => Err(Left::ForOthers),
        }
    }

    /// It has shown that it is the run's own: nobody asks it to leave any more.
    pub(super) fn known(&mut self) {
        let number = self.number;
        lock(&self.waiting).unknown.retain(|one| one.number != number);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.known();
    }
}

fn lock(mutex: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_does_not_show_whose_it_is_gives_way_and_who_does_stays() {
        let (_run, mut stop) = watch::channel(false);
        let room = Anteroom::of(2);
        let begun = Instant::now();
        let (mut silent, mut known) = (room.enter(&mut stop).await.unwrap(), room.enter(&mut stop).await.unwrap());
        known.known();
        let silent = tokio::spawn(async move { silent.until(std::future::pending::<()>()).await });
        let known = tokio::spawn(async move { known.until(tokio::time::sleep(GRACE * 3)).await });
        // It gets the place of the silent one, which has had its time, and not that of the other.
        let third = room.enter(&mut stop).await.unwrap();
        assert_eq!(begun.elapsed().as_secs(), GRACE.as_secs());
        assert_eq!((silent.await.unwrap(), known.await.unwrap()), (Err(Left::ForOthers), Ok(())));
        drop(third);
        assert_eq!(room.places(), 2, "what was taken comes back");
        let mut late = room.enter(&mut stop).await.unwrap();
        assert_eq!(late.until(std::future::pending::<()>()).await, Err(Left::Late));
    }

    #[tokio::test(start_paused = true)]
    async fn where_all_are_known_others_wait_until_one_goes_or_the_run_ends() {
        let (run, mut stop) = watch::channel(false);
        let room = Anteroom::of(1);
        let mut known = room.enter(&mut stop).await.unwrap();
        known.known();
        assert!(timeout(GRACE * 100, room.enter(&mut stop)).await.is_err());
        run.send(true).unwrap();
        assert!(room.enter(&mut stop).await.is_none());
    }
}
