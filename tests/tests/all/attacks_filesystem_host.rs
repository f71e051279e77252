//! The host at work in a workspace, while a guest puts traps there: its own file API leads nowhere else and waits for nobody.

use cofferdam_bridge::call::CallContext;
use cofferdam_bridge::filesystem::*;
use cofferdam_bridge::ids::VmId;
use cofferdam_plane_kit::host::HostFilesystem;
use cofferdam_tests::attack::{Attack, TIERS};
use cofferdam_tests::command;
use cofferdam_tests::observe::within;
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;
use std::fs;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

const CANARY: &[u8] = b"SECRET-CANARY";

/// The file API of a host, on a workspace.
struct Files(HostFilesystem);

impl Files {
    fn new(place: &Path) -> Self {
        Self(HostFilesystem::open(place).unwrap())
    }

    fn read(&self, path: &str) -> Option<Vec<u8>> {
        self.0.read_file(&CallContext::unbounded(), at(path)).ok()
    }

    fn write(&self, path: &str, contents: &[u8]) -> bool {
        let request = WriteFileRequest::new(VmId::new("v"), path, contents);
        self.0.write_file(&CallContext::unbounded(), request).is_ok()
    }

    fn append(&self, path: &str) -> bool {
        let request = WriteFileRequest::new(VmId::new("v"), path, *b"x");
        self.0.append_file(&CallContext::unbounded(), request).is_ok()
    }

    fn copy(&self, from: &str, to: &str) -> bool {
        self.0.copy(&CallContext::unbounded(), TwoPathsRequest::new(VmId::new("v"), from, to)).is_ok()
    }

    fn mode(&self, path: &str) -> bool {
        self.0.chmod(&CallContext::unbounded(), ChmodRequest::new(VmId::new("v"), path, 0o600_u32)).is_ok()
    }

    fn truncate(&self, path: &str) -> bool {
        self.0.truncate(&CallContext::unbounded(), TruncateRequest::new(VmId::new("v"), path, 1_u64)).is_ok()
    }

    fn list(&self, path: &str) -> Vec<String> {
        let listed = self.0.read_dir(&CallContext::unbounded(), at(path)).unwrap_or_default();
        listed.into_iter().map(|entry| entry.name).collect()
    }
}

fn at(path: &str) -> PathRequest {
    PathRequest::new(VmId::new("v"), path)
}

/// A directory of somebody else's with a secret, and what may not change in it.
fn outside() -> Scratch {
    let outside = Scratch::new();
    outside.write("file", "SECRET-CANARY");
    outside
}

#[track_caller]
fn assert_untouched(outside: &Scratch) {
    assert_eq!(fs::read(outside.join("file")).unwrap(), CANARY);
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
}

#[test]
fn fs_03_the_host_s_file_api_follows_no_planted_link() {
    let (outside, inside) = (outside(), Scratch::new());
    symlink(outside.join("file"), inside.join("ln")).unwrap();
    symlink(outside.path(), inside.join("folder")).unwrap();
    assert_eq!(fs::read(inside.join("ln")).unwrap(), CANARY, "control");
    let files = Files::new(inside.path());
    for path in ["/ln", "/folder/file"] {
        assert_eq!(files.read(path), None, "{path}");
        assert!(
            !files.write(path, b"x") && !files.append(path) && !files.truncate(path) && !files.mode(path),
            "{path}"
        );
        assert!(!files.copy(path, "/copy") && !files.copy("/ln", path), "{path}");
    }
    assert!(files.list("/folder").is_empty() && !files.write("/folder/made", b"x"));
    assert_untouched(&outside);
}

#[test]
#[cfg(target_arch = "x86_64")]
fn fs_05_a_folder_that_flips_to_a_link_leads_the_host_nowhere() {
    if skip::program("python3").is_none() {
        return;
    }
    let (outside, inside) = (outside(), Scratch::new());
    inside.write("own/file", "harmless");
    symlink("own", inside.join("swap")).unwrap();
    symlink(outside.path(), inside.join("link")).unwrap();
    let script = "import ctypes, os\nrename = ctypes.CDLL(None).renameat2\nopen('begun', 'w').close()\n\
                  while not os.path.exists('stop'):\n\tfor _ in range(50): rename(-100, b'swap', -100, b'link', 2)\n";
    let mut guest =
        command::run(inside.path(), &["--no-tty"], &["python3", "-c", script]).stdout(Stdio::null()).spawn().unwrap();
    assert!(within(Duration::from_secs(20), || inside.join("begun").exists()), "the guest did not start");
    let (files, end) = (Files::new(inside.path()), Instant::now() + Duration::from_millis(900));
    let (mut harmless, mut followed) = (0, 0);
    while Instant::now() < end {
        let seen = files.read("/swap/file");
        assert_ne!(seen.as_deref(), Some(CANARY));
        harmless += usize::from(seen.as_deref() == Some(b"harmless"));
        files.write("/swap/file", b"harmless");
        files.write("/swap/uploaded", b"x");
        files.append("/swap/uploaded");
        files.copy("/swap/file", "/swap/other");
        files.mode("/swap/file");
        assert!(files.list("/swap").iter().all(|name| ["file", "uploaded", "other"].contains(&name.as_str())));
        followed += usize::from(fs::read(inside.join("swap/file")).is_ok_and(|bytes| bytes == CANARY));
    }
    inside.write("stop", "");
    assert!(guest.wait().unwrap().success());
    assert!(harmless > 0, "the race was not run");
    assert!(followed > 0, "control: an ordinary open never followed the link");
    assert_untouched(&outside);
}

#[test]
fn fs_07_no_trap_in_place_of_a_file_of_the_host_s_is_written_through() {
    let body = "
import sys
out = sys.argv[1]
for name in ['stdout', 'run.sh', 'metadata.json']:
    os.symlink(out + '/file', name)
try: os.link(out + '/file', 'hard')
except OSError: pass
os.symlink(out, 'box'); os.symlink(out + '/new', 'cofferdam.toml')
";
    if Attack::new(body).is_none() {
        return;
    }
    for tier in TIERS {
        let (outside, inside) = (outside(), Scratch::new());
        let script = Attack::new(body).unwrap();
        let path = outside.path().display().to_string();
        let planted = tier.run(inside.path(), &[], &["python3", "-c", script.text(), &path]).output().unwrap();
        assert!(planted.status.success() && inside.join("box").is_symlink(), "{planted:?}");
        let files = Files::new(inside.path());
        for name in ["/stdout", "/run.sh", "/metadata.json", "/box/file"] {
            assert!(!files.write(name, b"result") && !files.append(name) && !files.mode(name), "{name}");
        }
        // A hard link to somebody else's file was not made; were it there, it would be one inode.
        assert!(!inside.join("hard").exists());
        // The command's own file, too.
        let mut init = command::cofferdam();
        let written = init.args(["policy", "init", "cofferdam.toml"]).current_dir(inside.path()).output().unwrap();
        assert!(!written.status.success(), "{written:?}");
        assert_untouched(&outside);
    }
}

#[test]
fn fs_30_what_is_no_file_holds_up_nobody() {
    let body = "
os.mkfifo('fifo')
attempt('device', lambda: os.mknod('device', 0o600 | stat.S_IFCHR, os.makedev(1, 3)))
attempt('block', lambda: os.mknod('block', 0o600 | stat.S_IFBLK, os.makedev(7, 0)))
attempt('sparse', lambda: os.truncate(os.open('sparse', os.O_CREAT | os.O_WRONLY), 1 << 62))
socket.socket(socket.AF_UNIX).bind('socket')
";
    for tier in TIERS {
        let inside = Scratch::new();
        let Some(attack) = Attack::new(body) else { return };
        let answers = attack.inside(tier, inside.path(), &[]);
        answers.assert("device", &["EPERM", "EACCES"]);
        answers.assert("block", &["EPERM", "EACCES"]);
        // The limit on disk holds for holes, too.
        assert!(answers.of("sparse") != Some("ok"), "{answers:?}");
        assert!(fs::metadata(inside.join("fifo")).unwrap().file_type().is_fifo(), "{answers:?}");
        let _ = fs::File::create(inside.join("sparse")).and_then(|file| file.set_len(1 << 42));
        inside.write("plain", "x");
        let place = inside.path().to_owned();
        let (send, done) = mpsc::channel();
        std::thread::spawn(move || {
            let files = Files::new(&place);
            for path in ["/fifo", "/socket"] {
                let refused = files.read(path).is_none()
                    && !files.write(path, b"x")
                    && !files.append(path)
                    && !files.truncate(path)
                    && !files.copy(path, "/copy")
                    && !files.copy("/plain", path);
                let _ = send.send((path, refused));
            }
            let _ =
                files.0.set_times(&CallContext::unbounded(), SetTimesRequest::new(VmId::new("v"), "/fifo", None, None));
            let _ = send.send(("/sparse", files.read("/sparse").is_none()));
        });
        for _ in 0..3 {
            let answer = done.recv_timeout(Duration::from_secs(1));
            assert!(answer.is_ok_and(|(_, refused)| refused), "the host waits for the guest, or took it: {answer:?}");
        }
    }
}

struct Tell(Mutex<mpsc::Sender<String>>);

impl WatchSink for Tell {
    fn changed(&self, _: u64, path: &str, _: FileChange) -> bool {
        self.0.lock().unwrap().send(path.to_owned()).is_ok()
    }
}

#[test]
fn fs_05_a_watch_tells_no_name_from_beyond_a_link() {
    let (outside, inside) = (outside(), Scratch::new());
    symlink(outside.path(), inside.join("ln")).unwrap();
    let files = Files::new(inside.path());
    let (send, told) = mpsc::channel();
    let sink = Arc::new(Tell(Mutex::new(send)));
    files.0.watch(&CallContext::unbounded(), WatchRequest::new(VmId::new("v"), "/", true), sink).unwrap();
    fs::create_dir(inside.join("later")).unwrap();
    symlink(outside.path(), inside.join("later/ln")).unwrap();
    outside.write("SECRET-NAME", "x");
    fs::remove_file(outside.join("SECRET-NAME")).unwrap();
    inside.write("last", "x");
    let mut seen = Vec::new();
    while !seen.iter().any(|path| path == "/last") {
        seen.push(told.recv_timeout(Duration::from_secs(10)).unwrap());
    }
    assert!(!seen.iter().any(|path| path.contains("SECRET")), "{seen:?}");
}
