//! The flows of one network: so many, and of more than that the one that was used least lately gives way.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::AbortHandle;

/// As many flows as one network has, whatever room there is.
pub(super) const MOST_FLOWS: usize = 128;
/// Bytes of all flows together that wait to be sent.
const MOST_WAITING: usize = 1 << 20;

/// Between whom a flow is, as the run sees it; both canonical.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Ends {
    /// The run's socket.
    pub from: SocketAddr,
    /// Where it sends to: an address that stands for a name, or one by itself.
    pub to: SocketAddr,
}

impl Ends {
    /// Between `from` and `to`.
    pub fn new(from: SocketAddr, to: SocketAddr) -> Self {
        Self { from: super::super::gate::canonical(from), to: super::super::gate::canonical(to) }
    }
}

/// A datagram that waits to be sent, with its part of the room.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) bytes: Vec<u8>,
    _room: OwnedSemaphorePermit,
}

#[derive(Debug)]
struct Flow {
    queue: mpsc::Sender<Waiting>,
    task: AbortHandle,
    used: u64,
}

#[derive(Debug, Default)]
struct Flows {
    known: HashMap<Ends, Flow>,
    uses: u64,
}

/// The flows of one network, which all of its ports share.
#[derive(Clone, Debug)]
pub struct Table {
    flows: Arc<Mutex<Flows>>,
    room: Arc<Semaphore>,
    most: usize,
}

impl Table {
    /// One without flows, for `most` of them, and never more than 128.
    pub fn new(most: usize) -> Self {
        let most = most.clamp(1, MOST_FLOWS);
        Self { flows: Arc::default(), room: Arc::new(Semaphore::new(MOST_WAITING)), most }
    }

    fn lock(&self) -> MutexGuard<'_, Flows> {
        self.flows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes `bytes` up; none where too much waits already.
    pub(super) fn waiting(&self, bytes: Vec<u8>) -> Option<Waiting> {
        let size = u32::try_from(bytes.len().max(1)).ok()?;
        let room = self.room.clone().try_acquire_many_owned(size).ok()?;
        Some(Waiting { bytes, _room: room })
    }

    /// Hands `waiting` to its flow, which loses it where it has fallen behind. Without such a flow it comes back.
    pub(super) fn hand(&self, ends: &Ends, waiting: Waiting) -> Option<Waiting> {
        let mut flows = self.lock();
        flows.uses += 1;
        let uses = flows.uses;
        let Some(flow) = flows.known.get_mut(ends) else { return Some(waiting) };
        flow.used = uses;
        match flow.queue.try_send(waiting) {
            Err(mpsc::error::TrySendError::Closed(waiting)) => {
                flows.known.remove(ends);
                Some(waiting)
            }
            _ => None,
        }
    }

    /// Enters a flow that has begun.
    pub(super) fn enter(&self, ends: Ends, queue: mpsc::Sender<Waiting>, task: AbortHandle) {
        let mut flows = self.lock();
        let used = flows.uses;
        flows.known.insert(ends, Flow { queue, task, used });
    }

    /// Makes room for one more; whether a flow had to end for it.
    pub(super) fn make_room(&self) -> bool {
        let mut flows = self.lock();
        flows.known.retain(|_, flow| !flow.queue.is_closed());
        flows.known.len() >= self.most && flows.end_one()
    }

    /// Ends the flow that was used least lately; whether there was one.
    pub(super) fn end_one(&self) -> bool {
        self.lock().end_one()
    }

    /// Lets all flows send what waits, and end.
    pub(super) fn end(&self) {
        self.lock().known.clear();
    }
}

impl Flows {
    fn end_one(&mut self) -> bool {
        let oldest = self.known.iter().min_by_key(|(_, flow)| flow.used).map(|(ends, _)| *ends);
        oldest.and_then(|ends| self.known.remove(&ends)).map(|flow| flow.task.abort()).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(port: u16) -> Ends {
        Ends::new(SocketAddr::from(([198, 18, 0, 1], port)), SocketAddr::from(([198, 18, 0, 1], 443)))
    }

    /// Enters a flow that does nothing; what it gets.
    fn begin(table: &Table, port: u16) -> (mpsc::Receiver<Waiting>, tokio::task::JoinHandle<()>) {
        let (queue, queued) = mpsc::channel(1);
        let task = tokio::spawn(std::future::pending());
        assert!(table.hand(&ends(port), table.waiting(vec![1]).unwrap()).is_some(), "there is no such flow yet");
        table.make_room();
        table.enter(ends(port), queue, task.abort_handle());
        (queued, task)
    }

    #[tokio::test]
    async fn of_too_many_the_one_used_least_lately_ends() {
        let table = Table::new(2);
        let (mut first, first_task) = begin(&table, 1);
        let (_second, second_task) = begin(&table, 2);
        assert!(table.hand(&ends(1), table.waiting(vec![7]).unwrap()).is_none());
        let (_third, third_task) = begin(&table, 3);
        assert!(second_task.await.unwrap_err().is_cancelled());
        assert_eq!(first.try_recv().unwrap().bytes, [7]);
        assert!(!first_task.is_finished() && !third_task.is_finished());
        assert_eq!(table.lock().known.len(), 2);
    }

    #[tokio::test]
    async fn what_there_is_no_room_for_is_lost_and_the_room_comes_back() {
        let table = Table::new(2);
        let (mut queued, _task) = begin(&table, 1);
        let large = || table.waiting(vec![0; 60_000]);
        let mut held: Vec<Waiting> = std::iter::from_fn(large).collect();
        assert_eq!(held.len(), MOST_WAITING / 60_000);
        assert!(table.hand(&ends(1), held.pop().unwrap()).is_none());
        assert!(table.hand(&ends(1), held.pop().unwrap()).is_none(), "its queue is full: it is lost, and nobody waits");
        drop(held);
        assert_eq!(queued.try_recv().unwrap().bytes.len(), 60_000);
        assert!(queued.try_recv().is_err());
        assert_eq!(table.room.available_permits(), MOST_WAITING);
        drop(queued);
        assert!(table.hand(&ends(1), table.waiting(vec![1]).unwrap()).is_some(), "a flow that is over begins anew");
    }
}
