//! Hands events to the log from many threads and tasks: what comes while the disk is busy shares the next sync.

use super::event::Event;
use super::instant::format_time;
use super::log::{Closing, Log};
use super::record::{About, Entry};
use super::settings::{ArgumentRecording, AuditSettings};
use super::ticket::{Stub, Ticket, pair};
use cofferdam_bridge::audit::AuditStore;
use cofferdam_bridge::call::CallContext;
use cofferdam_bridge::clock::{ClockBridge, ClockRequest, Timestamp};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::ids::VmId;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// As many events are written at once.
const LARGEST_BATCH: usize = 1024;

/// As many events may wait; whoever hands in more waits for room.
const MOST_WAITING: usize = 8 * LARGEST_BATCH;

/// What a record is to survive before its [`Ticket`] is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// The end of this process, also by SIGKILL.
    Written,
    /// A loss of power, too.
    Synced,
}

/// Records events in a log. Clones record in the same one; when the last is dropped, what was handed in is written and the log is closed.
///
/// ```
/// use cofferdam_bridge::in_memory::{ManualClock, MemoryAudit};
/// use cofferdam_kernel::audit::{About, AuditSettings, Durability, Event, Recorder};
///
/// let recorder = Recorder::open(MemoryAudit::new(), ManualClock::default(), AuditSettings::new());
/// let event = Event::note("key_rotated", "the host has a new key");
/// let sequence = recorder.record(About::kernel(), event, Durability::Synced).wait();
/// assert_eq!(sequence.ok(), Some(2), "the first record tells that the segment begins");
/// ```
#[derive(Clone)]
pub struct Recorder {
    owner: Arc<Owner>,
}

/// Ends the thread when the last recorder is dropped.
struct Owner {
    desk: Arc<Desk>,
    store: Arc<dyn AuditStore>,
    clock: Arc<dyn ClockBridge<Error = BridgeError> + Send + Sync>,
    arguments: ArgumentRecording,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Where events wait for the thread that writes.
#[derive(Default)]
struct Desk {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
    room: Condvar,
}

#[derive(Default)]
struct Waiting {
    jobs: Vec<Job>,
    closed: bool,
}

struct Job {
    entry: Entry,
    durability: Durability,
    closing: Closing,
    stub: Stub,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("place", &self.owner.store.place()).finish_non_exhaustive()
    }
}

impl Recorder {
    /// A recorder for the log in `store`. Whether that can be written shows with the first record.
    pub fn open(
        store: impl AuditStore + 'static,
        clock: impl ClockBridge<Error = BridgeError> + Send + Sync + 'static,
        settings: AuditSettings,
    ) -> Self {
        let (store, desk): (Arc<dyn AuditStore>, _) = (Arc::new(store), Arc::new(Desk::default()));
        let (arguments, log, served) = (settings.arguments, Log::new(store.clone(), settings), desk.clone());
        let thread = thread::Builder::new().name("cofferdam-audit".to_owned()).spawn(move || serve(&served, log)).ok();
        if thread.is_none() {
            desk.lock().closed = true;
        }
        Self { owner: Arc::new(Owner { desk, store, clock: Arc::new(clock), arguments, thread: Mutex::new(thread) }) }
    }

    /// Hands an event to the log. Waits only where very many wait already.
    pub fn record(&self, about: About, event: Event, durability: Durability) -> Ticket {
        self.hand_in(about, event, durability, Closing::Open)
    }

    /// Records and signs: nothing before it can be changed or cut off without the key. Without a key it is a record as any other.
    pub fn checkpoint(&self) -> Ticket {
        let event = Event::note("checkpoint", "the host asked for a checkpoint");
        self.hand_in(About::kernel(), event, Durability::Synced, Closing::Checkpoint)
    }

    /// Closes the log for all recorders of it: what was handed in is written, and the end signed where there is a key. For a process that is
    /// about to end while others may hold the recorder still. What is handed in afterwards is not recorded.
    pub fn close(&self) {
        self.owner.close();
    }

    /// The directory of the log, which no guest may reach.
    pub fn place(&self) -> Option<String> {
        self.owner.store.place()
    }

    /// How programs' arguments are recorded.
    pub(crate) fn arguments(&self) -> ArgumentRecording {
        self.owner.arguments
    }

    fn hand_in(&self, about: About, event: Event, durability: Durability, closing: Closing) -> Ticket {
        let (ticket, stub) = pair();
        let entry = self.owner.entry(about, event);
        let desk = &self.owner.desk;
        let mut waiting = desk.lock();
        while waiting.jobs.len() >= MOST_WAITING && !waiting.closed {
            waiting = desk.room.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        if waiting.closed {
            drop(waiting);
            stub.answer(Err(no_thread()));
            return ticket;
        }
        waiting.jobs.push(Job { entry, durability, closing, stub });
        drop(waiting);
        desk.arrived.notify_one();
        ticket
    }
}

impl Owner {
    fn entry(&self, mut about: About, event: Event) -> Entry {
        about.bound();
        let (call, request) = (CallContext::unbounded(), || ClockRequest::new(VmId::new("audit")));
        // A clock that fails is no reason not to record: the order is in the sequence numbers.
        let time = self.clock.wall_clock(&call, request()).unwrap_or(Timestamp::default());
        let mono = self.clock.monotonic_clock(&call, request()).unwrap_or_default();
        let mono_ns = u64::try_from(mono.as_nanos()).unwrap_or(u64::MAX);
        Entry { about, time: format_time(time), mono_ns, event }
    }
}

impl Owner {
    fn close(&self) {
        self.desk.lock().closed = true;
        self.desk.arrived.notify_one();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // It panics never; if it did, its tickets have been answered.
            let _ = thread.join();
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.close();
    }
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What waits, as soon as something does; nothing when no more will come.
    fn next(&self) -> Vec<Job> {
        let mut waiting = self.lock();
        while waiting.jobs.is_empty() && !waiting.closed {
            waiting = self.arrived.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        let count = waiting.jobs.len().min(LARGEST_BATCH);
        let jobs = waiting.jobs.drain(..count).collect();
        drop(waiting);
        self.room.notify_all();
        jobs
    }
}

/// Nobody waits for a thread that is gone.
struct Closed<'a>(&'a Desk);

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        let mut waiting = self.0.lock();
        waiting.closed = true;
        waiting.jobs.clear();
        drop(waiting);
        self.0.room.notify_all();
    }
}

/// Writes batch after batch until nobody will hand anything in any more.
fn serve(desk: &Desk, mut log: Log) {
    let closed = Closed(desk);
    // What is wrong with the log the first batch is told.
    let _ = log.warm();
    let mut last = None;
    loop {
        let jobs = desk.next();
        let Some(own) = jobs.last().map(|job| job.entry.clone()) else { break };
        write(&mut log, jobs, &own);
        last = Some(own);
    }
    if let Some(own) = last.filter(|_| log.is_signed()) {
        // An end that is not signed is one that was cut, or not closed in order: who verifies is told.
        let _ = log.append(&[], &own, Closing::Checkpoint);
    }
    drop(closed);
}

fn write(log: &mut Log, jobs: Vec<Job>, own: &Entry) {
    let closing = jobs.iter().map(|job| job.closing).find(|closing| *closing == Closing::Checkpoint);
    let (entries, waiting): (Vec<Entry>, Vec<(Stub, Durability)>) =
        jobs.into_iter().map(|job| (job.entry, (job.stub, job.durability))).unzip();
    let first = match log.append(&entries, own, closing.unwrap_or(Closing::Open)) {
        Ok(first) => first,
        Err(error) => {
            waiting.into_iter().for_each(|(stub, _)| stub.answer(Err(error.clone())));
            return;
        }
    };
    let mut to_sync = Vec::new();
    for ((stub, durability), seq) in waiting.into_iter().zip(first..) {
        match durability {
            Durability::Written => stub.answer(Ok(seq)),
            Durability::Synced => to_sync.push((stub, seq)),
        }
    }
    if !to_sync.is_empty() {
        let synced = log.sync();
        to_sync.into_iter().for_each(|(stub, seq)| stub.answer(synced.clone().map(|()| seq)));
    }
}

fn no_thread() -> BridgeError {
    let message =
        "the audit log was closed, or has no thread to write it because the host is at its limit of processes";
    BridgeError::new(ErrorCode::AuditUnavailable, message)
}
