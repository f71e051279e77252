//! What `cargo xtask bench audit` measures: group-committed appends, and bare write and fdatasync of batches as large, in turn.
//!
//! `audit_cost FOLDER ROUNDS WRITERS` prints a line each round: records a second by the recorder, records a second by bare batches of the
//! same bytes and records, and records and bytes in a batch.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measuring program that cannot go on ends, and prints")]

use cofferdam_bridge::audit::{AuditAppender, AuditSegment, AuditStore};
use cofferdam_bridge::enforcement::{Enforcement, Mechanism, MechanismReport, Tier};
use cofferdam_bridge::error::BridgeError;
use cofferdam_kernel::audit::{About, AuditSettings, Durability, Event, Recorder};
use cofferdam_plane_kit::host::{HostAudit, HostClock};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long each of both has its turn.
const TURN: Duration = Duration::from_millis(500);

/// A log on disk that counts its syncs.
struct Counting(HostAudit, Arc<AtomicU64>);

impl AuditStore for Counting {
    fn writer(&self) -> String {
        self.0.writer()
    }
    fn place(&self) -> Option<String> {
        self.0.place()
    }
    fn segments(&self) -> Result<Vec<AuditSegment>, BridgeError> {
        self.0.segments()
    }
    fn read(&self, first: u64, offset: u64, length: u64) -> Result<Vec<u8>, BridgeError> {
        self.0.read(first, offset, length)
    }
    fn lock(&self) -> Result<Box<dyn AuditAppender + '_>, BridgeError> {
        self.0.lock()
    }
    fn sync(&self, first: u64) -> Result<(), BridgeError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.sync(first)
    }
}

/// An event about as long as that of a run.
fn event() -> Event {
    let mut enforcement = Enforcement::new(Tier::Full);
    enforcement
        .mechanisms
        .extend([Mechanism::UserNamespace, Mechanism::Landlock, Mechanism::Seccomp].map(MechanismReport::held));
    let facts = serde_json::to_string(&enforcement).unwrap();
    Event::note("measured", format!("{facts}{}", "x".repeat(400)))
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, folder, rounds, writers] = arguments.as_slice() else {
        return println!("audit_cost FOLDER ROUNDS WRITERS");
    };
    let (rounds, writers): (usize, usize) = (rounds.parse().unwrap(), writers.parse().unwrap());
    let folder = Path::new(folder);
    let syncs = Arc::new(AtomicU64::new(0));
    let store = Counting(HostAudit::open(folder.join("log")).unwrap(), syncs.clone());
    let reading = HostAudit::read_only(folder.join("log")).unwrap();
    let recorder = Recorder::open(store, HostClock::new(), AuditSettings::new());
    let mut bare = OpenOptions::new().append(true).create(true).open(folder.join("bare")).unwrap();
    // Looked at once: later, whole segments are old enough to be removed.
    let (records, _) = grouped(&recorder, writers);
    let written: u64 = reading.segments().unwrap().iter().map(|segment| segment.length).sum();
    let record = written as f64 / records as f64;
    for _ in 0..rounds {
        let syncs_before = syncs.load(Ordering::Relaxed);
        let (records, by_recorder) = grouped(&recorder, writers);
        let batches = (syncs.load(Ordering::Relaxed) - syncs_before).max(1);
        let records_each = records as f64 / batches as f64;
        let bytes_each = (records_each * record).round();
        let by_hand = batches_a_second(&mut bare, bytes_each as usize) * records_each;
        println!("{by_recorder:.0} {by_hand:.0} {records_each:.1} {bytes_each}");
    }
}

/// Records, and records a second, of `writers` threads that each wait for one before the next.
fn grouped(recorder: &Recorder, writers: usize) -> (u64, f64) {
    let (over, count, start) = (AtomicBool::new(false), AtomicU64::new(0), Instant::now());
    thread::scope(|scope| {
        for _ in 0..writers {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    recorder.record(About::kernel(), event(), Durability::Synced).wait().unwrap();
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        thread::sleep(TURN);
        over.store(true, Ordering::Relaxed);
    });
    let records = count.load(Ordering::Relaxed);
    (records, records as f64 / start.elapsed().as_secs_f64())
}

/// How often a second so many bytes are appended and made sure of.
fn batches_a_second(file: &mut File, bytes: usize) -> f64 {
    let (batch, start, mut count) = (vec![b'x'; bytes], Instant::now(), 0_u32);
    while start.elapsed() < TURN {
        file.write_all(&batch).unwrap();
        file.sync_data().unwrap();
        count += 1;
    }
    f64::from(count) / start.elapsed().as_secs_f64()
}
