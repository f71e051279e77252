//! The audit log on disk: a directory of files, which any number of processes of one user append to in turn.

use super::audit_directory::{AuditDirectory, number, refusal};
use super::directory_watch::DirectoryWatch;
use cofferdam_bridge::audit::{AuditAppender, AuditSegment, AuditStore};
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use nix::fcntl::OFlag;
use std::fs::{File, TryLockError};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// As long is waited for other writers, each of which has the log for some microseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// Shortest and longest pause between two attempts to take the log.
const SHORTEST: Duration = Duration::from_micros(20);
const LONGEST: Duration = Duration::from_millis(1);

/// A log in a directory of its user's own (mode 0700), one file (0600) a segment, named after its first record.
///
/// Writers take turns by a lock on the directory (flock(2)), which the kernel takes back from a process that is killed. Nothing in the
/// directory is reached through a link.
#[derive(Debug)]
pub struct HostAudit {
    directory: AuditDirectory,
    writer: String,
    turn: Mutex<()>,
    /// The file that was written to last.
    open: Mutex<Option<(u64, Arc<File>)>>,
    watch: Mutex<Option<DirectoryWatch>>,
}

/// A log that this process has the turn of.
struct Turn<'a> {
    store: &'a HostAudit,
    _own: MutexGuard<'a, ()>,
}

impl HostAudit {
    /// The log in `directory`, which is made where it is not there.
    ///
    /// # Errors
    /// `audit_unavailable` where it cannot be had, or somebody else could write there.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, BridgeError> {
        let directory = AuditDirectory::open(directory.as_ref())?;
        let mut random = [0; 4];
        getrandom::fill(&mut random)
            .map_err(|_| BridgeError::new(ErrorCode::AuditUnavailable, "the system has no random numbers"))?;
        let writer = format!("{}-{:08x}", std::process::id(), u32::from_le_bytes(random));
        Ok(Self::of(directory, writer))
    }

    fn of(directory: AuditDirectory, writer: String) -> Self {
        Self { directory, writer, turn: Mutex::default(), open: Mutex::default(), watch: Mutex::default() }
    }

    /// The log in `directory`, to be read: whoever it belongs to, and never made.
    ///
    /// # Errors
    /// `audit_unavailable` where there is none, or it cannot be read.
    pub fn read_only(directory: impl AsRef<Path>) -> Result<Self, BridgeError> {
        Ok(Self::of(AuditDirectory::read_only(directory.as_ref())?, String::new()))
    }

    /// Where the user's own log lies: `cofferdam/audit` in `$XDG_STATE_HOME`, or in `~/.local/state` (XDG Base Directory Specification).
    /// `None`: the environment does not tell.
    pub fn of_user() -> Option<PathBuf> {
        let set = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")));
        state.map(|state| state.join("cofferdam/audit"))
    }

    /// Waits until something is written, or for `longest`; answers whether it was. The first call begins to look, and answers at once.
    ///
    /// # Errors
    /// `audit_unavailable` where the system does not tell (inotify(7), kqueue(2)).
    pub fn wait_for_change(&self, longest: Duration) -> Result<bool, BridgeError> {
        let failed = |error: std::io::Error| self.directory.failed("", "cannot be watched", &error);
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(watch) = watch.as_ref() else {
            *watch = Some(DirectoryWatch::new(self.directory.path()).map_err(failed)?);
            return Ok(true);
        };
        watch.wait(longest).map_err(failed)
    }

    /// The file of a segment, open for appending.
    fn appending(&self, first: u64, more: OFlag) -> Result<Arc<File>, BridgeError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        match &*open {
            Some((own, file)) if *own == first && more.is_empty() => Ok(file.clone()),
            _ => {
                let file = Arc::new(self.directory.file(&name(first), OFlag::O_WRONLY | OFlag::O_APPEND | more)?);
                *open = Some((first, file.clone()));
                Ok(file)
            }
        }
    }

    fn failed(&self, first: u64, what: &str, error: &std::io::Error) -> BridgeError {
        self.directory.failed(&name(first), what, error)
    }
}

fn name(first: u64) -> String {
    format!("{first:020}.jsonl")
}

impl AuditStore for HostAudit {
    fn writer(&self) -> String {
        self.writer.clone()
    }

    fn place(&self) -> Option<String> {
        Some(self.directory.path().to_string_lossy().into_owned())
    }

    fn segments(&self) -> Result<Vec<AuditSegment>, BridgeError> {
        let found = self.directory.list()?.into_iter();
        let mut segments: Vec<_> =
            found.filter_map(|(name, length)| Some(AuditSegment::new(number(&name)?, length))).collect();
        segments.sort_by_key(|segment| segment.first);
        Ok(segments)
    }

    fn read(&self, first: u64, offset: u64, length: u64) -> Result<Vec<u8>, BridgeError> {
        let file = self.directory.file(&name(first), OFlag::O_RDONLY)?;
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(first, "cannot be read", &error)),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    fn lock(&self) -> Result<Box<dyn AuditAppender + '_>, BridgeError> {
        let own = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let (start, mut pause) = (Instant::now(), SHORTEST);
        loop {
            match self.directory.handle().try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if start.elapsed() < PATIENCE => {
                    thread::sleep(pause);
                    pause = (pause * 2).min(LONGEST);
                }
                Err(TryLockError::WouldBlock) => {
                    let place = self.directory.path().display();
                    return Err(refusal(format!(
                        "another process has held the audit log `{place}` for {} seconds; end it, or let it go on",
                        PATIENCE.as_secs()
                    )));
                }
                Err(TryLockError::Error(error)) => return Err(self.directory.failed("", "cannot be locked", &error)),
            }
        }
        let turn = Turn { store: self, _own: own };
        self.directory.is_in_place()?;
        Ok(Box::new(turn))
    }

    fn sync(&self, first: u64) -> Result<(), BridgeError> {
        let file = self.appending(first, OFlag::empty())?;
        file.sync_data().map_err(|error| self.failed(first, "cannot be made sure of", &error))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // It does not fail for a descriptor that is locked (flock(2)), and the end of this process would do it, too.
        let _ = self.store.directory.handle().unlock();
    }
}

impl AuditAppender for Turn<'_> {
    fn create(&mut self, first: u64) -> Result<(), BridgeError> {
        self.store.appending(first, OFlag::O_CREAT | OFlag::O_EXCL)?;
        self.store.directory.sync()
    }

    fn append(&mut self, first: u64, bytes: &[u8]) -> Result<(), BridgeError> {
        let file = self.store.appending(first, OFlag::empty())?;
        (&*file).write_all(bytes).map_err(|error| self.store.failed(first, "cannot be written", &error))
    }

    fn truncate(&mut self, first: u64, length: u64) -> Result<(), BridgeError> {
        let file = self.store.appending(first, OFlag::empty())?;
        file.set_len(length).map_err(|error| self.store.failed(first, "cannot be cut", &error))
    }

    fn remove(&mut self, first: u64) -> Result<(), BridgeError> {
        self.store.directory.remove(&name(first))
    }
}
