//! Bridges that need no operating system: for tests, for deterministic runs, and as an embedder's first ones.

mod audit;
mod clock;
mod filesystem;
mod metrics;
mod permission;
mod persistence;
mod random;
mod recorder;
mod store;
mod tree;

pub use audit::{DiskFault, MemoryAudit};
pub use clock::ManualClock;
pub use metrics::MemoryMetrics;
pub use permission::{AllowEverything, DenyEverything};
pub use persistence::MemoryPersistence;
pub use random::SeededRandom;
pub use recorder::{Recorded, Recorder};
pub use store::{MemoryFilesystem, StorageLimits};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Nothing here panics with a lock held and leaves something half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
