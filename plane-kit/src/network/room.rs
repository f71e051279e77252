//! How many connections are carried at once. Each takes two descriptors, and the host has only so many, for all its networks and
//! everything else that it does: to be spoken to, to start runs, to end them.

use nix::sys::resource::{Resource, getrlimit};
use std::sync::{Arc, OnceLock};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections of one network: at least, and at most; more wait to be accepted.
const OF_ONE: (u64, u64) = (16, 1024);
/// As many of each network are beside what all share, so that one that takes all of that holds up no other.
const BESIDE: usize = 8;

/// What all networks of this process share.
static OF_ALL: OnceLock<Arc<Semaphore>> = OnceLock::new();

/// What the ports that they publish share: anybody on this machine may come there, and takes none of the places of those who go out.
static OF_VISITORS: OnceLock<Arc<Semaphore>> = OnceLock::new();

/// The room of one network.
#[derive(Clone, Debug)]
pub struct Room {
    own: Arc<Semaphore>,
    beside: Arc<Semaphore>,
    shared: Arc<Semaphore>,
    most: usize,
}

/// The place of one connection, until it is dropped.
#[derive(Debug)]
pub struct Seat {
    _own: OwnedSemaphorePermit,
    _either: OwnedSemaphorePermit,
}

impl Default for Room {
    fn default() -> Self {
        Self::new()
    }
}

impl Room {
    /// That of one more network: a quarter of the host's descriptors is shared with the others.
    pub fn new() -> Self {
        Self::sharing(&OF_ALL, 4)
    }

    /// That of who comes to a network's published ports: an eighth of the host's descriptors is shared with those of the others, and nothing
    /// with who goes out.
    pub fn of_visitors() -> Self {
        Self::sharing(&OF_VISITORS, 8)
    }

    fn sharing(with: &OnceLock<Arc<Semaphore>>, part: u64) -> Self {
        let (least, most) = OF_ONE;
        let part = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft) / part;
        let own = Arc::new(Semaphore::new(number(part.clamp(least, most))));
        let all = || Arc::new(Semaphore::new(number(part.max(least)).min(Semaphore::MAX_PERMITS)));
        let most = own.available_permits();
        Self { own, beside: Arc::new(Semaphore::new(BESIDE)), shared: with.get_or_init(all).clone(), most }
    }

    /// As many places as it has.
    pub fn most(&self) -> usize {
        self.most
    }

    /// A place, if there is one now.
    pub fn try_take(&self) -> Option<Seat> {
        let own = self.own.clone().try_acquire_owned().ok()?;
        let beside = || self.beside.clone().try_acquire_owned();
        // What is beside is for connections, which would wait: what is lost rather than waits takes of it last.
        let either = self.shared.clone().try_acquire_owned().or_else(|_| beside()).ok()?;
        Some(Seat { _own: own, _either: either })
    }

    /// Waits for a place.
    pub async fn take(&self) -> Option<Seat> {
        let own = self.own.clone().acquire_owned().await.ok()?;
        let either = tokio::select! {
            biased;
            permit = self.beside.clone().acquire_owned() => permit,
            permit = self.shared.clone().acquire_owned() => permit,
        };
        Some(Seat { _own: own, _either: either.ok()? })
    }
}

fn number(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn visitors_take_no_place_of_those_who_go_out() {
        let (out, visitors) = (Room::new(), Room::of_visitors());
        let before = out.shared.available_permits();
        let mut seats = Vec::new();
        while let Ok(Some(seat)) = tokio::time::timeout(std::time::Duration::from_millis(50), visitors.take()).await {
            seats.push(seat);
        }
        assert!(seats.len() >= BESIDE && visitors.own.available_permits() * visitors.shared.available_permits() == 0);
        assert_eq!(out.shared.available_permits(), before);
        assert!(out.take().await.is_some());
    }

    #[tokio::test]
    async fn a_network_that_takes_all_leaves_some_to_another() {
        let shared = Arc::new(Semaphore::new(4));
        let room = || Room {
            own: Arc::new(Semaphore::new(100)),
            beside: Arc::new(Semaphore::new(BESIDE)),
            shared: shared.clone(),
            most: 100,
        };
        let full = |room: &Room| room.beside.available_permits() == 0 && room.shared.available_permits() == 0;
        let (greedy, other) = (room(), room());
        let mut seats = Vec::new();
        while !full(&greedy) {
            seats.push(greedy.take().await.unwrap());
        }
        assert_eq!(seats.len(), 4 + BESIDE);
        let others: Vec<Seat> = [other.take().await.unwrap(), other.take().await.unwrap()].into();
        assert_eq!(other.beside.available_permits(), BESIDE - others.len());
        assert!(greedy.try_take().is_none() && other.try_take().is_some());
        drop(seats);
        assert_eq!(shared.available_permits(), 4, "what was taken comes back");
    }
}
