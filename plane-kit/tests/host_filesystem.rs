//! A directory of the host as a guest's files: what a disk does, and no way out.

#![cfg(feature = "host")]
#![expect(clippy::unwrap_used, reason = "a test that meets an unexpected error must fail loudly")]

use cofferdam_bridge::call::CallContext;
use cofferdam_bridge::clock::Timestamp;
use cofferdam_bridge::error_code::ErrorCode;
use cofferdam_bridge::filesystem::*;
use cofferdam_bridge::ids::VmId;
use cofferdam_plane_kit::host::HostFilesystem;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

static NEXT: AtomicU32 = AtomicU32::new(1);

/// A root for the guest, and beside it a file that is none of its business.
struct Place {
    folder: PathBuf,
    files: HostFilesystem,
}

impl Place {
    fn new() -> Self {
        let name = format!("cofferdam-host-files-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(folder.join("root/inner")).unwrap();
        fs::write(folder.join("secret"), "SECRET").unwrap();
        fs::write(folder.join("root/inner/file"), "words").unwrap();
        let files = HostFilesystem::open(folder.join("root")).unwrap();
        Self { folder, files }
    }
    fn root(&self, name: &str) -> PathBuf {
        self.folder.join("root").join(name)
    }
    fn read(&self, path: &str) -> Result<Vec<u8>, ErrorCode> {
        self.files.read_file(&call(), at(path)).map_err(|error| error.code)
    }
    fn write(&self, path: &str, contents: &[u8]) -> Result<(), ErrorCode> {
        self.files.write_file(&call(), WriteFileRequest::new(vm(), path, contents)).map_err(|error| error.code)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn call() -> CallContext {
    CallContext::unbounded()
}

fn vm() -> VmId {
    VmId::new("v")
}

fn at(path: &str) -> PathRequest {
    PathRequest::new(vm(), path)
}

fn two(from: &str, to: &str) -> TwoPathsRequest {
    TwoPathsRequest::new(vm(), from, to)
}

#[test]
fn nothing_leads_out() {
    let place = Place::new();
    let secret = place.folder.join("secret");
    symlink(&secret, place.root("absolute")).unwrap();
    symlink("../secret", place.root("relative")).unwrap();
    symlink("..", place.root("up")).unwrap();
    symlink("inner/../../secret", place.root("around")).unwrap();
    let outside = secret.to_str().unwrap().to_owned();
    for path in ["/absolute", "/relative", "/up/secret", "/around", "/../secret", "/inner/../../secret", &outside] {
        assert!(place.read(path).is_err(), "{path}");
        let _ = place.write(path, b"changed");
        let _ = place.files.remove_file(&call(), at(path));
        let _ = place.files.chmod(&call(), ChmodRequest::new(vm(), path, 0o777_u32));
        let _ = place.files.rename(&call(), two("/inner/file", path));
        let _ = place.write("/inner/file", b"words");
        let _ = place.files.hard_link(&call(), two(path, "/inner/link"));
        assert!(!place.read("/inner/link").is_ok_and(|bytes| bytes == b"SECRET"), "{path}");
    }
    assert_eq!(fs::read_to_string(&secret).unwrap(), "SECRET");
    assert_eq!(fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o644);
    assert!(place.files.canonicalize(&call(), at("/up/new")).is_err());
}

#[test]
fn a_link_that_is_exchanged_all_the_time_never_leads_out() {
    let place = Place::new();
    let (stop, link, other) = (Arc::new(AtomicBool::new(false)), place.root("swap"), place.root("swap.new"));
    let stopped = stop.clone();
    let swapper = std::thread::spawn(move || {
        let mut out = false;
        while !stopped.load(Ordering::Relaxed) {
            let _ = fs::remove_file(&other);
            symlink(if out { ".." } else { "inner" }, &other).unwrap();
            fs::rename(&other, &link).unwrap();
            out = !out;
        }
    });
    let mut inside = 0;
    for _ in 0..5_000 {
        assert_ne!(place.read("/swap/secret"), Ok(b"SECRET".to_vec()));
        inside += usize::from(place.read("/swap/file") == Ok(b"words".to_vec()));
    }
    stop.store(true, Ordering::Relaxed);
    swapper.join().unwrap();
    assert!(inside > 0, "the link never led anywhere");
}

#[test]
fn fs_30_what_would_hold_up_a_reader_is_not_read() {
    let place = Place::new();
    nix::unistd::mkfifo(&place.root("fifo"), nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    assert_eq!(place.read("/fifo"), Err(ErrorCode::IoFailed));
    fs::File::create(place.root("huge")).unwrap().set_len(1 << 40).unwrap();
    assert_eq!(place.read("/huge"), Err(ErrorCode::OutputLimitExceeded));
    let range = ReadRangeRequest::new(vm(), "/huge", 1_u64 << 39, 4_u64);
    assert_eq!(place.files.read_range(&call(), range).unwrap(), [0; 4]);
}

#[test]
fn b8_files_do_what_they_do_on_a_disk() {
    let place = Place::new();
    let files = &place.files;
    files.create_dir(&call(), CreateDirectoryRequest::new(vm(), "/a/b", true)).unwrap();
    place.write("/a/f", b"words").unwrap();
    files.append_file(&call(), WriteFileRequest::new(vm(), "/a/f", *b"!")).unwrap();
    files.write_range(&call(), WriteRangeRequest::new(vm(), "/a/f", 1_u64, *b"O")).unwrap();
    files.truncate(&call(), TruncateRequest::new(vm(), "/a/f", 4_u64)).unwrap();
    files.hard_link(&call(), two("/a/f", "/a/g")).unwrap();
    files.copy(&call(), two("/a/f", "/a/copy")).unwrap();
    files.rename(&call(), two("/a/copy", "/a/b/moved")).unwrap();
    files.symlink(&call(), SymlinkRequest::new(vm(), "f", "/a/link")).unwrap();
    files.chmod(&call(), ChmodRequest::new(vm(), "/a/f", 0o600_u32)).unwrap();
    let when = Timestamp { seconds: 5, nanoseconds: 0 };
    files.set_times(&call(), SetTimesRequest::new(vm(), "/a/f", None, when)).unwrap();
    let facts = files.stat(&call(), at("/a/link")).unwrap();
    assert_eq!((facts.kind, facts.mode, facts.size, facts.links, facts.modified), (FileKind::File, 0o600, 4, 2, when));
    assert_eq!(files.lstat(&call(), at("/a/link")).unwrap().kind, FileKind::SymbolicLink);
    assert_eq!(files.read_link(&call(), at("/a/link")).unwrap(), "f");
    assert_eq!(place.read("/a/b/moved").unwrap(), b"wOrd");
    let names: Vec<_> = files.read_dir(&call(), at("/a")).unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, ["b", "f", "g", "link"]);
    assert_eq!(files.canonicalize(&call(), at("/a/../a/link")).unwrap(), "/a/f");
    assert_eq!(files.canonicalize(&call(), at("/a/new/er")).unwrap(), "/a/new/er");
    assert_eq!(files.canonicalize(&call(), at("/")).unwrap(), "/");
    let refused = files.remove_dir(&call(), at("/a")).unwrap_err();
    assert_eq!(refused.code, ErrorCode::DirectoryNotEmpty);
    assert!(!refused.to_string().contains(place.folder.to_str().unwrap()), "the host's paths stay out of errors");
    files.remove_file(&call(), at("/a/g")).unwrap();
    assert!(!files.exists(&call(), at("/a/g")).unwrap());
    assert!(files.chmod(&call(), ChmodRequest::new(vm(), "/a/f", 0o4755_u32)).is_err());
}

struct Tell(std::sync::Mutex<mpsc::Sender<(String, FileChange)>>);

impl WatchSink for Tell {
    fn changed(&self, _: u64, path: &str, change: FileChange) -> bool {
        self.0.lock().unwrap().send((path.to_owned(), change)).is_ok()
    }
}

#[test]
fn b8_a_watch_tells_what_changes() {
    let place = Place::new();
    let (send, receive) = mpsc::channel();
    let sink = Arc::new(Tell(std::sync::Mutex::new(send)));
    let watch = place.files.watch(&call(), WatchRequest::new(vm(), "/inner", true), sink).unwrap();
    fs::write(place.root("elsewhere"), "x").unwrap();
    fs::write(place.root("inner/new"), "x").unwrap();
    fs::remove_file(place.root("inner/new")).unwrap();
    let mut seen = Vec::new();
    while seen.last() != Some(&("/inner/new".to_owned(), FileChange::Removed)) {
        seen.push(receive.recv_timeout(Duration::from_secs(10)).unwrap());
    }
    assert_eq!(seen[0], ("/inner/new".to_owned(), FileChange::Created));
    assert!(seen.iter().all(|(path, _)| path == "/inner/new"), "{seen:?}");
    place.files.unwatch(&call(), UnwatchRequest::new(vm(), watch)).unwrap();
    assert!(receive.recv_timeout(Duration::from_secs(10)).is_err(), "nobody tells any more");
}
