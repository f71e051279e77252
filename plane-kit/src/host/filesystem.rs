//! A directory of the host as a file system that nothing leads out of.

use cap_std::ambient_authority;
use cap_std::fs::{Dir, File, FileExt, Metadata, MetadataExt, OpenOptions, Permissions, PermissionsExt};
use cofferdam_bridge::call::CallContext;
use cofferdam_bridge::clock::Timestamp;
use cofferdam_bridge::error::BridgeError;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::execution::BridgeTypes;
use cofferdam_bridge::filesystem::{
    ChmodRequest, CreateDirectoryRequest, DirectoryEntry, FileChange, FileKind, FileMetadata, FilesystemBridge,
    PathRequest, ReadRangeRequest, SetTimesRequest, SymlinkRequest, TruncateRequest, TwoPathsRequest, UnwatchRequest,
    WatchRequest, WatchSink, WriteFileRequest, WriteRangeRequest,
};
use cofferdam_bridge::ids::VmId;
use notify::event::{EventKind, ModifyKind, RenameMode};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use std::collections::HashMap;
use std::fs::FileTimes;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// As many watches as are kept.
const MOST_WATCHES: usize = 1_000;

/// Most bytes of one answer: larger files are read in parts.
const MOST_BYTES: u64 = 64 << 20;

/// Files beneath one directory. Every path is resolved beneath it by the kernel where it can (openat2(2)), and by hand where it cannot:
/// no `..`, no link and no rename in between leads out. A link to an absolute path leads nowhere.
pub struct HostFilesystem {
    root: Dir,
    /// Where that is, for watches.
    place: PathBuf,
    watches: Mutex<Watches>,
}

#[derive(Default)]
struct Watches {
    last: u64,
    kept: HashMap<u64, (VmId, RecommendedWatcher)>,
}

impl std::fmt::Debug for HostFilesystem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostFilesystem").field("place", &self.place).finish_non_exhaustive()
    }
}

impl HostFilesystem {
    /// The files beneath `directory`, which is the root of all paths.
    ///
    /// # Errors
    /// `not_found`, `not_a_directory` or `io_failed`.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, BridgeError> {
        let place = directory.as_ref().canonicalize().map_err(|error| told(&error))?;
        let root = Dir::open_ambient_dir(&place, ambient_authority()).map_err(|error| told(&error))?;
        Ok(Self { root, place, watches: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, Watches> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a regular file, and nothing else that a guest may have put in its place.
    fn regular(&self, path: &str, options: &mut OpenOptions) -> Result<(File, Metadata), BridgeError> {
        let file = self.root.open_with(beneath(path)?, &patient(options)).map_err(|error| told(&error))?;
        let metadata = file.metadata().map_err(|error| told(&error))?;
        if metadata.is_dir() {
            return Err(told(&io::ErrorKind::IsADirectory.into()));
        }
        if !metadata.is_file() {
            let message = "what is there is no regular file, so it is neither read nor written";
            return Err(BridgeError::new(ErrorCode::IoFailed, message));
        }
        Ok((file, metadata))
    }

    fn metadata(&self, path: &str, follow: bool) -> Result<FileMetadata, BridgeError> {
        let path = beneath(path)?;
        let found = if follow { self.root.metadata(path) } else { self.root.symlink_metadata(path) };
        found.map(|found| facts(&found)).map_err(|error| told(&error))
    }
}

/// The same options, with which a FIFO or a terminal in the guest's hands holds nobody up and gives no terminal away.
fn patient(options: &mut OpenOptions) -> OpenOptions {
    cap_std::fs::OpenOptionsExt::custom_flags(options, libc::O_NONBLOCK | libc::O_NOCTTY).clone()
}

/// A path as it stands beneath the root.
fn beneath(path: &str) -> Result<&Path, BridgeError> {
    if !path.starts_with('/') || path.contains('\0') {
        return Err(BridgeError::new(ErrorCode::PathInvalid, "a path must be absolute and hold no NUL byte"));
    }
    let relative = path.trim_start_matches('/');
    Ok(Path::new(if relative.is_empty() { "." } else { relative }))
}

/// An error of the system, without the host's paths.
fn told(error: &io::Error) -> BridgeError {
    let (code, message) = match error.kind() {
        io::ErrorKind::NotFound => (ErrorCode::NotFound, "there is nothing at that path"),
        io::ErrorKind::AlreadyExists => (ErrorCode::AlreadyExists, "something of that name is there already"),
        io::ErrorKind::NotADirectory => (ErrorCode::NotADirectory, "something on the way is no directory"),
        io::ErrorKind::IsADirectory => (ErrorCode::IsADirectory, "a file was needed where a directory is"),
        io::ErrorKind::DirectoryNotEmpty => (ErrorCode::DirectoryNotEmpty, "the directory holds something"),
        io::ErrorKind::PermissionDenied => {
            (ErrorCode::DeniedByPolicy, "the host does not allow it, or the path leads out of the files that are shown")
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            (ErrorCode::DiskLimitExceeded, "there is no room for it")
        }
        _ if error.raw_os_error() == Some(libc::ELOOP) => {
            (ErrorCode::TooManySymbolicLinks, "the path follows too many symbolic links")
        }
        io::ErrorKind::InvalidInput => (ErrorCode::PathInvalid, "the system does not take that path or value"),
        _ => (ErrorCode::IoFailed, "the system could not do it"),
    };
    BridgeError::new(code, message).with("kind", error.kind().to_string())
}

fn facts(metadata: &Metadata) -> FileMetadata {
    let kind = match metadata.file_type() {
        kind if kind.is_symlink() => FileKind::SymbolicLink,
        kind if kind.is_dir() => FileKind::Directory,
        kind if kind.is_file() => FileKind::File,
        _ => FileKind::Other,
    };
    let time =
        |seconds: i64, nanoseconds: i64| Timestamp { seconds, nanoseconds: u32::try_from(nanoseconds).unwrap_or(0) };
    let mut facts = FileMetadata::new(kind, metadata.mode() & 0o7777, metadata.len());
    facts.links = metadata.nlink();
    facts.accessed = time(metadata.atime(), metadata.atime_nsec());
    facts.modified = time(metadata.mtime(), metadata.mtime_nsec());
    facts
}

fn system_time(time: Timestamp) -> Option<SystemTime> {
    let whole = Duration::new(time.seconds.unsigned_abs(), 0);
    let second = if time.seconds < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
    second?.checked_add(Duration::from_nanos(u64::from(time.nanoseconds)))
}

impl BridgeTypes for HostFilesystem {
    type Error = BridgeError;
}

impl FilesystemBridge for HostFilesystem {
    fn read_file(&self, call: &CallContext, request: PathRequest) -> Result<Vec<u8>, BridgeError> {
        let size = self.metadata(&request.path, true)?.size;
        if size > MOST_BYTES {
            let message = "the file is too large to be read at once; read ranges of it";
            return Err(BridgeError::new(ErrorCode::OutputLimitExceeded, message).with("limit_bytes", MOST_BYTES));
        }
        self.read_range(call, ReadRangeRequest::new(request.vm_id, request.path, 0_u64, MOST_BYTES))
    }

    fn read_range(&self, _: &CallContext, request: ReadRangeRequest) -> Result<Vec<u8>, BridgeError> {
        let (file, metadata) = self.regular(&request.path, OpenOptions::new().read(true))?;
        let left = metadata.len().saturating_sub(request.offset);
        let mut bytes = vec![0; usize::try_from(left.min(request.length).min(MOST_BYTES)).unwrap_or(0)];
        let (mut filled, mut at) = (0, request.offset);
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, at) {
                Ok(0) => break,
                Ok(got) => (filled, at) = (filled + got, at + got as u64),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(told(&error)),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    fn write_file(&self, _: &CallContext, request: WriteFileRequest) -> Result<(), BridgeError> {
        let (mut file, _) = self.regular(&request.path, OpenOptions::new().write(true).create(true))?;
        // Emptied only once it is known to be a file.
        file.set_len(0).and_then(|()| file.write_all(&request.contents)).map_err(|error| told(&error))
    }

    fn write_range(&self, _: &CallContext, request: WriteRangeRequest) -> Result<(), BridgeError> {
        let (file, _) = self.regular(&request.path, OpenOptions::new().write(true))?;
        file.write_all_at(&request.contents, request.offset).map_err(|error| told(&error))
    }

    fn append_file(&self, _: &CallContext, request: WriteFileRequest) -> Result<(), BridgeError> {
        let (mut file, _) = self.regular(&request.path, OpenOptions::new().append(true).create(true))?;
        file.write_all(&request.contents).map_err(|error| told(&error))
    }

    fn stat(&self, _: &CallContext, request: PathRequest) -> Result<FileMetadata, BridgeError> {
        self.metadata(&request.path, true)
    }

    fn lstat(&self, _: &CallContext, request: PathRequest) -> Result<FileMetadata, BridgeError> {
        self.metadata(&request.path, false)
    }

    fn read_dir(&self, _: &CallContext, request: PathRequest) -> Result<Vec<DirectoryEntry>, BridgeError> {
        let entries = self.root.read_dir(beneath(&request.path)?).map_err(|error| told(&error))?;
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| told(&error))?;
            let directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
            // A name that is no text has no path here, so it is not listed.
            names.extend(entry.file_name().into_string().ok().map(|name| DirectoryEntry::new(name, directory)));
        }
        names.sort();
        Ok(names)
    }

    fn create_dir(&self, _: &CallContext, request: CreateDirectoryRequest) -> Result<(), BridgeError> {
        let path = beneath(&request.path)?;
        let made = if request.recursive { self.root.create_dir_all(path) } else { self.root.create_dir(path) };
        made.map_err(|error| told(&error))
    }

    fn remove_file(&self, _: &CallContext, request: PathRequest) -> Result<(), BridgeError> {
        self.root.remove_file(beneath(&request.path)?).map_err(|error| told(&error))
    }

    fn remove_dir(&self, _: &CallContext, request: PathRequest) -> Result<(), BridgeError> {
        self.root.remove_dir(beneath(&request.path)?).map_err(|error| told(&error))
    }

    fn rename(&self, _: &CallContext, request: TwoPathsRequest) -> Result<(), BridgeError> {
        self.root.rename(beneath(&request.from)?, &self.root, beneath(&request.to)?).map_err(|error| told(&error))
    }

    fn copy(&self, _: &CallContext, request: TwoPathsRequest) -> Result<(), BridgeError> {
        let (mut from, metadata) = self.regular(&request.from, OpenOptions::new().read(true))?;
        let (mut to, already) = self.regular(&request.to, OpenOptions::new().write(true).create(true))?;
        if (already.dev(), already.ino()) == (metadata.dev(), metadata.ino()) {
            return Err(BridgeError::new(ErrorCode::PathInvalid, "a file cannot be copied to itself"));
        }
        to.set_len(0).and_then(|()| io::copy(&mut from, &mut to)).map_err(|error| told(&error))?;
        // Set-id bits are given to nobody.
        to.set_permissions(Permissions::from_mode(metadata.mode() & 0o777)).map_err(|error| told(&error))
    }

    fn hard_link(&self, _: &CallContext, request: TwoPathsRequest) -> Result<(), BridgeError> {
        self.root.hard_link(beneath(&request.from)?, &self.root, beneath(&request.to)?).map_err(|error| told(&error))
    }

    fn symlink(&self, _: &CallContext, request: SymlinkRequest) -> Result<(), BridgeError> {
        // Its text is kept as it is; where it leads is looked at whenever it is followed.
        self.root.symlink_contents(&request.target, beneath(&request.path)?).map_err(|error| told(&error))
    }

    fn read_link(&self, _: &CallContext, request: PathRequest) -> Result<String, BridgeError> {
        let target = self.root.read_link_contents(beneath(&request.path)?).map_err(|error| told(&error))?;
        let no_text = |_| BridgeError::new(ErrorCode::PathInvalid, "the link's target is no UTF-8");
        target.into_os_string().into_string().map_err(no_text)
    }

    fn chmod(&self, _: &CallContext, request: ChmodRequest) -> Result<(), BridgeError> {
        if request.mode & 0o7000 != 0 {
            return Err(BridgeError::new(ErrorCode::DeniedByPolicy, "set-id and sticky bits are not given"));
        }
        let permissions = Permissions::from_mode(request.mode & 0o777);
        self.root.set_permissions(beneath(&request.path)?, permissions).map_err(|error| told(&error))
    }

    fn truncate(&self, _: &CallContext, request: TruncateRequest) -> Result<(), BridgeError> {
        let (file, _) = self.regular(&request.path, OpenOptions::new().write(true))?;
        file.set_len(request.length).map_err(|error| told(&error))
    }

    fn set_times(&self, _: &CallContext, request: SetTimesRequest) -> Result<(), BridgeError> {
        let invalid = || BridgeError::new(ErrorCode::RequestInvalid, "a time is beyond what the system keeps");
        let time = |time: Option<Timestamp>| time.map(|time| system_time(time).ok_or_else(invalid)).transpose();
        let (accessed, modified) = (time(request.accessed)?, time(request.modified)?);
        let mut times = FileTimes::new();
        times = accessed.map_or(times, |time| times.set_accessed(time));
        times = modified.map_or(times, |time| times.set_modified(time));
        let options = patient(OpenOptions::new().read(true));
        let file = self.root.open_with(beneath(&request.path)?, &options).map_err(|error| told(&error))?;
        file.into_std().set_times(times).map_err(|error| told(&error))
    }

    fn canonicalize(&self, _: &CallContext, request: PathRequest) -> Result<String, BridgeError> {
        let path = beneath(&request.path)?;
        let (mut known, mut missing) = (path, Vec::new());
        loop {
            match self.root.canonicalize(known) {
                Ok(canonical) => {
                    let whole = missing.iter().rev().fold(canonical, |path, name| path.join(name));
                    let text = whole.to_str().ok_or_else(|| {
                        BridgeError::new(ErrorCode::PathInvalid, "the path leads to a name that is no UTF-8")
                    })?;
                    return Ok(if text == "." {
                        "/".to_owned()
                    } else {
                        format!("/{}", text.trim_start_matches("./"))
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    // A link to nothing would be followed by whoever makes the file: it must lead somewhere first.
                    if self.root.symlink_metadata(known).is_ok() {
                        return Err(told(&error));
                    }
                    let name = known.file_name().ok_or_else(|| told(&error))?;
                    missing.push(name);
                    known = known.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
                }
                Err(error) => return Err(told(&error)),
            }
        }
    }

    fn exists(&self, _: &CallContext, request: PathRequest) -> Result<bool, BridgeError> {
        match self.metadata(&request.path, true) {
            Ok(_) => Ok(true),
            Err(error) if error.code == ErrorCode::PathInvalid => Err(error),
            Err(_) => Ok(false),
        }
    }

    fn watch(&self, call: &CallContext, request: WatchRequest, sink: Arc<dyn WatchSink>) -> Result<u64, BridgeError> {
        let path = self.canonicalize(call, PathRequest::new(request.vm_id.clone(), request.path))?;
        let mut watches = self.lock();
        if watches.kept.len() >= MOST_WATCHES {
            let message = "too many files are watched; end a watch first";
            return Err(BridgeError::new(ErrorCode::QueueFull, message).with("limit", MOST_WATCHES));
        }
        watches.last += 1;
        let (number, root) = (watches.last, self.place.clone());
        let failed = |error: notify::Error| match error.kind {
            notify::ErrorKind::Io(error) => told(&error),
            _ => BridgeError::new(ErrorCode::IoFailed, "the system cannot watch that path"),
        };
        let tell = move |event: notify::Result<notify::Event>| {
            let Ok(event) = event else {
                let _ = sink.changed(number, "/", FileChange::Overflow);
                return;
            };
            for (path, change) in changes(&event) {
                let inside = path.strip_prefix(&root).ok().and_then(Path::to_str);
                if let Some(inside) = inside {
                    let _ = sink.changed(number, &format!("/{inside}"), change);
                }
            }
        };
        // What a link leads to is none of these files, and names there are nobody's business.
        let config = notify::Config::default().with_follow_symlinks(false);
        let mut watcher = RecommendedWatcher::new(tell, config).map_err(failed)?;
        let mode = if request.recursive { RecursiveMode::Recursive } else { RecursiveMode::NonRecursive };
        watcher.watch(&self.place.join(path.trim_start_matches('/')), mode).map_err(failed)?;
        watches.kept.insert(number, (request.vm_id, watcher));
        Ok(number)
    }

    fn unwatch(&self, _: &CallContext, request: UnwatchRequest) -> Result<(), BridgeError> {
        self.lock().kept.retain(|number, (vm_id, _)| *number != request.watch_id || *vm_id != request.vm_id);
        Ok(())
    }
}

/// What an event of the system means, path by path.
fn changes(event: &notify::Event) -> Vec<(&Path, FileChange)> {
    if event.need_rescan() {
        return vec![(Path::new(""), FileChange::Overflow)];
    }
    let change = match event.kind {
        EventKind::Create(_) | EventKind::Modify(ModifyKind::Name(RenameMode::To)) => FileChange::Created,
        EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(RenameMode::From)) => FileChange::Removed,
        // Told already, half by half.
        EventKind::Modify(ModifyKind::Name(_)) | EventKind::Access(_) => return Vec::new(),
        _ => FileChange::Modified,
    };
    event.paths.iter().map(|path| (path.as_path(), change)).collect()
}
