//! An audit log in memory, whose disk can be made to fail as disks do.

use super::lock;
use crate::audit::{AuditAppender, AuditSegment, AuditStore};
use crate::error::BridgeError;
use crate::error_code::ErrorCode;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// How the disk beneath a [`MemoryAudit`] behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DiskFault {
    /// As it should.
    #[default]
    None,
    /// It has room for so many more bytes; what does not fit is written in part.
    Room(u64),
    /// It lets nothing be written, cut or removed.
    ReadOnly,
    /// The writer is killed when it has appended so many more bytes: nothing it does later has an effect.
    Killed(u64),
    /// It cannot make sure of what was written.
    SyncFails,
}

#[derive(Debug, Default)]
struct Disk {
    segments: BTreeMap<u64, Vec<u8>>,
    /// How much of each would survive a loss of power.
    sure: BTreeMap<u64, usize>,
    fault: DiskFault,
    appends: u64,
    syncs: u64,
}

/// Clones are as many openings of the same log, each with a writer's name of its own, as different processes have.
#[derive(Debug, Default)]
pub struct MemoryAudit {
    disk: Arc<Mutex<Disk>>,
    writing: Arc<Mutex<()>>,
    writers: Arc<AtomicU64>,
    own: u64,
}

impl Clone for MemoryAudit {
    fn clone(&self) -> Self {
        let own = self.writers.fetch_add(1, Ordering::Relaxed) + 1;
        Self { disk: self.disk.clone(), writing: self.writing.clone(), writers: self.writers.clone(), own }
    }
}

struct Held<'a> {
    disk: &'a Mutex<Disk>,
    _writing: MutexGuard<'a, ()>,
}

impl MemoryAudit {
    /// An empty log.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the disk behave so from now on.
    pub fn fault(&self, fault: DiskFault) {
        lock(&self.disk).fault = fault;
    }

    /// Loses what was not made sure of, and the names of segments of which nothing was.
    pub fn lose_power(&self) {
        let mut disk = lock(&self.disk);
        let Disk { segments, sure, .. } = &mut *disk;
        for (first, bytes) in segments {
            bytes.truncate(sure.get(first).copied().unwrap_or(0));
        }
    }

    /// Every segment's bytes, by its first sequence number.
    pub fn contents(&self) -> BTreeMap<u64, Vec<u8>> {
        lock(&self.disk).segments.clone()
    }

    /// Puts other bytes in place of a segment's, or removes it: what somebody does who can write its file.
    pub fn tamper(&self, first: u64, bytes: Option<Vec<u8>>) {
        let mut disk = lock(&self.disk);
        match bytes {
            Some(bytes) => drop(disk.segments.insert(first, bytes)),
            None => drop(disk.segments.remove(&first)),
        }
    }

    /// How often was appended, and how often was synced.
    pub fn counts(&self) -> (u64, u64) {
        let disk = lock(&self.disk);
        (disk.appends, disk.syncs)
    }
}

impl Disk {
    /// Whether names and lengths can be changed.
    fn changeable(&self) -> Result<(), BridgeError> {
        match self.fault {
            DiskFault::ReadOnly => Err(unavailable("the disk is read-only")),
            DiskFault::Killed(0) => Err(unavailable("the writer was killed")),
            _ => Ok(()),
        }
    }
}

impl AuditStore for MemoryAudit {
    fn writer(&self) -> String {
        format!("memory-{}", self.own)
    }

    fn place(&self) -> Option<String> {
        None
    }

    fn segments(&self) -> Result<Vec<AuditSegment>, BridgeError> {
        let disk = lock(&self.disk);
        Ok(disk.segments.iter().map(|(first, bytes)| AuditSegment::new(*first, bytes.len() as u64)).collect())
    }

    fn read(&self, first: u64, offset: u64, length: u64) -> Result<Vec<u8>, BridgeError> {
        let disk = lock(&self.disk);
        let bytes = disk.segments.get(&first).ok_or_else(gone)?;
        let whole = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let start = whole(offset).min(bytes.len());
        let end = start.saturating_add(whole(length)).min(bytes.len());
        Ok(bytes.get(start..end).unwrap_or_default().to_vec())
    }

    fn lock(&self) -> Result<Box<dyn AuditAppender + '_>, BridgeError> {
        Ok(Box::new(Held { _writing: lock(&self.writing), disk: &self.disk }))
    }

    fn sync(&self, first: u64) -> Result<(), BridgeError> {
        let mut disk = lock(&self.disk);
        if disk.fault == DiskFault::SyncFails {
            return Err(unavailable("the disk cannot make sure of what was written"));
        }
        disk.changeable()?;
        disk.syncs += 1;
        let length = disk.segments.get(&first).ok_or_else(gone)?.len();
        disk.sure.insert(first, length);
        Ok(())
    }
}

impl AuditAppender for Held<'_> {
    fn create(&mut self, first: u64) -> Result<(), BridgeError> {
        let mut disk = lock(self.disk);
        disk.changeable()?;
        if disk.segments.contains_key(&first) {
            return Err(unavailable("the segment is there already"));
        }
        disk.segments.insert(first, Vec::new());
        Ok(())
    }

    fn append(&mut self, first: u64, bytes: &[u8]) -> Result<(), BridgeError> {
        let mut disk = lock(self.disk);
        disk.changeable()?;
        disk.appends += 1;
        let most = match &mut disk.fault {
            DiskFault::Room(room) | DiskFault::Killed(room) => {
                let most = usize::try_from(*room).unwrap_or(usize::MAX).min(bytes.len());
                *room -= most as u64;
                most
            }
            _ => bytes.len(),
        };
        let segment = disk.segments.get_mut(&first).ok_or_else(gone)?;
        segment.extend_from_slice(bytes.get(..most).unwrap_or_default());
        if most < bytes.len() { Err(unavailable("the disk is full")) } else { Ok(()) }
    }

    fn truncate(&mut self, first: u64, length: u64) -> Result<(), BridgeError> {
        let mut disk = lock(self.disk);
        disk.changeable()?;
        disk.segments.get_mut(&first).ok_or_else(gone)?.truncate(usize::try_from(length).unwrap_or(usize::MAX));
        Ok(())
    }

    fn remove(&mut self, first: u64) -> Result<(), BridgeError> {
        let mut disk = lock(self.disk);
        disk.changeable()?;
        disk.segments.remove(&first).map(drop).ok_or_else(gone)
    }
}

fn gone() -> BridgeError {
    unavailable("there is no such segment")
}

fn unavailable(why: &str) -> BridgeError {
    BridgeError::new(ErrorCode::AuditUnavailable, format!("the audit log in memory: {why}"))
}
