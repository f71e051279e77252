//! Files in memory: what a disk does, and nothing that leads out.

#![expect(clippy::unwrap_used, reason = "a test that meets an unexpected error must fail loudly")]

use cofferdam_bridge::call::CallContext;
use cofferdam_bridge::clock::Timestamp;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::filesystem::{
    ChmodRequest, CreateDirectoryRequest, FileChange, FileKind, FilesystemBridge, PathRequest, ReadRangeRequest,
    SetTimesRequest, SymlinkRequest, TruncateRequest, TwoPathsRequest, UnwatchRequest, WatchRequest, WatchSink,
    WriteFileRequest, WriteRangeRequest,
};
use cofferdam_bridge::ids::VmId;
use cofferdam_bridge::in_memory::{MemoryFilesystem, StorageLimits};
use std::sync::{Arc, Mutex};

struct Files(MemoryFilesystem);

type Outcome<T> = Result<T, ErrorCode>;

impl Files {
    fn new() -> Self {
        let files = Self(MemoryFilesystem::default());
        files.dir("/a").unwrap();
        files.write("/a/f", b"words").unwrap();
        files
    }
    fn call() -> CallContext {
        CallContext::unbounded()
    }
    fn vm() -> VmId {
        VmId::new("v")
    }
    fn at(path: &str) -> PathRequest {
        PathRequest::new(Self::vm(), path)
    }
    fn two(from: &str, to: &str) -> TwoPathsRequest {
        TwoPathsRequest::new(Self::vm(), from, to)
    }
    fn write(&self, path: &str, contents: &[u8]) -> Outcome<()> {
        self.0.write_file(&Self::call(), WriteFileRequest::new(Self::vm(), path, contents)).map_err(|e| e.code)
    }
    fn read(&self, path: &str) -> Outcome<Vec<u8>> {
        self.0.read_file(&Self::call(), Self::at(path)).map_err(|e| e.code)
    }
    fn dir(&self, path: &str) -> Outcome<()> {
        self.0.create_dir(&Self::call(), CreateDirectoryRequest::new(Self::vm(), path, true)).map_err(|e| e.code)
    }
    fn link(&self, target: &str, path: &str) -> Outcome<()> {
        self.0.symlink(&Self::call(), SymlinkRequest::new(Self::vm(), target, path)).map_err(|e| e.code)
    }
    fn rename(&self, from: &str, to: &str) -> Outcome<()> {
        self.0.rename(&Self::call(), Self::two(from, to)).map_err(|e| e.code)
    }
    fn canonical(&self, path: &str) -> Outcome<String> {
        self.0.canonicalize(&Self::call(), Self::at(path)).map_err(|e| e.code)
    }
    fn names(&self, path: &str) -> Vec<String> {
        self.0.read_dir(&Self::call(), Self::at(path)).unwrap().into_iter().map(|entry| entry.name).collect()
    }
}

#[test]
fn b8_ranges_appending_copies_hard_links_and_times() {
    let (files, call, vm) = (Files::new(), Files::call(), Files::vm);
    let range = |offset: u64, length: u64| {
        files.0.read_range(&call, ReadRangeRequest::new(vm(), "/a/f", offset, length)).unwrap()
    };
    assert_eq!((range(1, 2), range(3, 100), range(9, 1)), (b"or".to_vec(), b"ds".to_vec(), vec![]));
    files.0.append_file(&call, WriteFileRequest::new(vm(), "/a/f", *b"!")).unwrap();
    files.0.write_range(&call, WriteRangeRequest::new(vm(), "/a/f", 8_u64, *b"x")).unwrap();
    assert_eq!(files.read("/a/f").unwrap(), b"words!\0\0x");
    files.0.truncate(&call, TruncateRequest::new(vm(), "/a/f", 2_u64)).unwrap();
    files.0.chmod(&call, ChmodRequest::new(vm(), "/a/f", 0o600_u32)).unwrap();
    files.0.copy(&call, Files::two("/a/f", "/copy")).unwrap();
    files.0.hard_link(&call, Files::two("/a/f", "/hard")).unwrap();
    files.write("/hard", b"through the other name").unwrap();
    assert_eq!(files.read("/a/f").unwrap(), b"through the other name");
    assert_eq!(files.read("/copy").unwrap(), b"wo");
    let when = Timestamp { seconds: 5, nanoseconds: 6 };
    files.0.set_times(&call, SetTimesRequest::new(vm(), "/hard", None, when)).unwrap();
    let metadata = files.0.stat(&call, Files::at("/a/f")).unwrap();
    assert_eq!((metadata.kind, metadata.mode, metadata.size, metadata.links), (FileKind::File, 0o600, 22, 2));
    assert_eq!((metadata.modified, metadata.accessed), (when, Timestamp::default()));
    assert!(files.0.chmod(&call, ChmodRequest::new(vm(), "/a/f", 0o4755_u32)).is_err(), "set-id bits");
}

#[derive(Default)]
struct Seen(Mutex<Vec<(String, FileChange)>>);

impl WatchSink for Seen {
    fn changed(&self, _: u64, path: &str, change: FileChange) -> bool {
        self.0.lock().unwrap().push((path.to_owned(), change));
        true
    }
}

#[test]
fn b8_a_watch_tells_what_changes_and_ends() {
    let (files, seen, call) = (Files::new(), Arc::new(Seen::default()), Files::call());
    let watch = files.0.watch(&call, WatchRequest::new(Files::vm(), "/a", false), seen.clone()).unwrap();
    files.write("/a/g", b"1").unwrap();
    files.write("/a/g", b"2").unwrap();
    files.dir("/a/deep/er").unwrap();
    files.rename("/a/g", "/elsewhere").unwrap();
    files.0.unwatch(&call, UnwatchRequest::new(VmId::new("another"), watch)).unwrap();
    files.0.remove_file(&call, Files::at("/a/f")).unwrap();
    files.0.unwatch(&call, UnwatchRequest::new(Files::vm(), watch)).unwrap();
    files.write("/a/h", b"unseen").unwrap();
    let expected = [
        ("/a/g", FileChange::Created),
        ("/a/g", FileChange::Modified),
        ("/a/deep", FileChange::Created),
        ("/a/g", FileChange::Removed),
        ("/a/f", FileChange::Removed),
    ];
    assert_eq!(*seen.0.lock().unwrap(), expected.map(|(path, change)| (path.to_owned(), change)));
}

#[test]
fn links_and_dots_lead_where_they_should_and_never_out() {
    let files = Files::new();
    files.link("/a", "/link").unwrap();
    files.link("../../../../a/f", "/a/up").unwrap();
    files.link("round", "/round").unwrap();
    assert_eq!(files.read("/link/f").unwrap(), b"words");
    assert_eq!(files.read("/a/up").unwrap(), b"words");
    assert_eq!(files.read("/../../a/./f").unwrap(), b"words");
    assert_eq!(files.read("/round"), Err(ErrorCode::TooManySymbolicLinks));
    assert_eq!(files.read("/a/f/x"), Err(ErrorCode::NotADirectory));
    assert_eq!(files.read("/a"), Err(ErrorCode::IsADirectory));
    assert_eq!(files.read(""), Err(ErrorCode::PathInvalid));
    assert_eq!(files.canonical("/link/../link/f").unwrap(), "/a/f");
    assert_eq!(files.canonical("/link/new").unwrap(), "/a/new");
    assert_eq!(files.canonical("/link/new/er").unwrap(), "/a/new/er");
    assert_eq!(files.canonical("/link/new/../f"), Err(ErrorCode::NotFound));
    assert_eq!(files.canonical("/a/..").unwrap(), "/");
    files.write("/link/made", b"").unwrap();
    assert_eq!(files.names("/a"), ["f", "made", "up"]);
}

#[test]
fn a_rename_replaces_what_may_be_replaced_and_nothing_else() {
    let files = Files::new();
    files.dir("/full/inner").unwrap();
    files.dir("/empty").unwrap();
    files.write("/g", b"g").unwrap();
    assert_eq!(files.rename("/a", "/a/inside"), Err(ErrorCode::PathInvalid));
    assert_eq!(files.rename("/a", "/full"), Err(ErrorCode::DirectoryNotEmpty));
    assert_eq!(files.rename("/g", "/empty"), Err(ErrorCode::IsADirectory));
    assert_eq!(files.rename("/empty", "/g"), Err(ErrorCode::NotADirectory));
    assert_eq!(files.rename("/missing", "/x"), Err(ErrorCode::NotFound));
    assert_eq!(files.rename("/", "/x"), Err(ErrorCode::PathInvalid));
    files.rename("/g", "/a/f").unwrap();
    files.rename("/a", "/empty").unwrap();
    assert_eq!(files.read("/empty/f").unwrap(), b"g");
    assert_eq!(files.names("/"), ["empty", "full"]);
}

#[test]
fn a_full_file_system_refuses_and_has_changed_nothing() {
    let small = Files(MemoryFilesystem::new(StorageLimits::new(10, 4)));
    small.write("/f", b"12345678").unwrap();
    assert_eq!(small.write("/f", b"12345678901"), Err(ErrorCode::DiskLimitExceeded));
    assert_eq!(small.read("/f").unwrap(), b"12345678");
    let huge = WriteRangeRequest::new(Files::vm(), "/f", u64::MAX - 1, *b"x");
    assert_eq!(small.0.write_range(&Files::call(), huge).unwrap_err().code, ErrorCode::DiskLimitExceeded);
    let huge = TruncateRequest::new(Files::vm(), "/f", u64::MAX);
    assert_eq!(small.0.truncate(&Files::call(), huge).unwrap_err().code, ErrorCode::DiskLimitExceeded);
    small.dir("/d/e").unwrap();
    assert_eq!(small.dir("/g"), Err(ErrorCode::DiskLimitExceeded));
    small.0.remove_dir(&Files::call(), Files::at("/d/e")).unwrap();
    small.dir("/g").unwrap();
}
