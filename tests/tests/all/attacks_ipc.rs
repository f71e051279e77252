//! Other ways to talk to the host: its buses, shared memory, queues, keys, and descriptors sent over sockets.

use cofferdam_tests::attack::{Attack, TIERS, Tier};
use cofferdam_tests::observe::within;
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;
use std::fs;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::time::Duration;

/// A service of the host's that waits at a path and counts who comes.
struct Service {
    folder: Scratch,
    listeners: Vec<UnixListener>,
}

impl Service {
    /// A runtime directory with the sockets by which a user's daemons are told to do something.
    fn new() -> Self {
        let folder = Scratch::new();
        fs::create_dir_all(folder.join("systemd")).unwrap();
        fs::create_dir_all(folder.join("WSL")).unwrap();
        let listeners: Vec<_> = ["bus", "systemd/private", "WSL/1_interop"]
            .iter()
            .map(|name| UnixListener::bind(folder.join(name)).unwrap())
            .collect();
        for listener in &listeners {
            listener.set_nonblocking(true).unwrap();
        }
        Self { folder, listeners }
    }

    fn arrived(&self) -> usize {
        self.listeners.iter().map(|listener| std::iter::from_fn(|| listener.accept().ok()).count()).sum()
    }
}

#[test]
fn ipc_03_no_daemon_is_told_to_run_something() {
    let service = Service::new();
    let place = service.folder.path().display();
    let canary = service.folder.join("canary");
    // What they would run if they were reached. None waits for longer than a moment.
    let line = format!(
        "export XDG_RUNTIME_DIR={place} DBUS_SESSION_BUS_ADDRESS=unix:path={place}/bus\n\
         timeout 1 dbus-send --session --dest=org.freedesktop.systemd1 / org.x.Y\n\
         timeout 1 systemd-run --user touch {0}\n\
         echo 'touch {0}' | at now; echo '* * * * * touch {0}' | crontab -; loginctl enable-linger; \
         mkdir -p ~/.config/systemd/user ~/.config/autostart; echo x > ~/.config/autostart/cofferdam.desktop; \
         echo '* * * * * root touch {0}' > /etc/cron.d/cofferdam; echo x > /var/spool/cron/crontabs/root; true",
        canary.display()
    );
    for tier in TIERS {
        let inside = Scratch::new();
        let seen = tier.run(inside.path(), &[], &["sh", "-c", &line]).output().unwrap();
        assert_eq!(seen.status.code(), Some(0), "{seen:?}");
        assert_eq!(service.arrived(), 0, "{tier:?}: a daemon was reached: {seen:?}");
        let home = std::path::PathBuf::from(std::env::var("HOME").unwrap_or_default());
        for left in [canary.clone(), home.join(".config/autostart/cofferdam.desktop"), "/etc/cron.d/cofferdam".into()] {
            assert!(!left.exists(), "{tier:?}: {}", left.display());
        }
    }
    if skip::program("dbus-send").is_none() {
        return;
    }
    let only_bus = line.lines().take(2).collect::<Vec<_>>().join("\n");
    Command::new("sh").args(["-c", &only_bus]).output().unwrap();
    assert!(service.arrived() > 0, "control");
}

#[test]
fn ipc_04_descriptors_sent_in_floods_stay_with_the_guest() {
    // Each message carries as many descriptors as one may (253), over and over; the connections through the broker carry some, too.
    let body = "
import array
fds = array.array('i', [0] * 253)
server = socket.socket(socket.AF_UNIX); server.bind('own'); server.listen(50)
a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
open('begun', 'w').close()
sent = 0
while not os.path.exists('stop'):
    for _ in range(20):
        try: a.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)], socket.MSG_DONTWAIT); sent += 1
        except OSError: a.close(); b.close(); a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    c = socket.socket(socket.AF_UNIX); c.connect('own'); c.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)]); c.close(); server.accept()[0].close()
print(sent > 0)
";
    let Some(attack) = Attack::new(body) else { return };
    for tier in TIERS {
        let inside = Scratch::new();
        let mut run = tier.run(inside.path(), &["--no-tty"], &["python3", "-c", attack.text()]);
        let child = run.stdout(Stdio::piped()).spawn().unwrap();
        let descriptors = || fs::read_dir(format!("/proc/{}/fd", child.id())).map_or(0, Iterator::count);
        assert!(within(Duration::from_secs(10), || inside.join("begun").exists()), "{tier:?} did not begin");
        let before = descriptors();
        let most = (0..30).map(|_| (std::thread::sleep(Duration::from_millis(10)), descriptors()).1).max().unwrap_or(0);
        // What is in flight counts for the whole user: other runs must still be able to start.
        let other = Scratch::new();
        let beside: Vec<_> =
            TIERS.iter().map(|tier| tier.run(other.path(), &[], &["true"]).output().unwrap()).collect();
        inside.write("stop", "");
        assert!(beside.iter().all(|run| run.status.success()), "{tier:?}: {beside:?}");
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.stdout, b"True\n", "{tier:?}: {output:?}");
        assert!(before > 0 && most <= before + 8, "{tier:?}: from {before} to {most} descriptors");
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn ipc_05_no_other_door_gives_a_path_socket() {
    // What a filter that looks at connect(2) alone would miss: io_uring, and the old combined call, which 64-bit programs have not got.
    let body = "
attempt('io_uring', lambda: call(425, 8, bytes(128)))
attempt('enter', lambda: call(426, 0, 1, 0, 0, 0, 0))
attempt('register', lambda: call(427, 0, 0, 0, 0))
attempt('x32-socket', lambda: call(0x40000000 | 41, 1, 1, 0))
attempt('x32-connect', lambda: call(0x40000000 | 42, 0, 0, 0))
";
    let Some(attack) = Attack::new(body) else { return };
    for tier in TIERS {
        attack.inside(tier, Scratch::new().path(), &[]).assert_each(5, &["ENOSYS", "EPERM"]);
    }
    let control = attack.outside(Scratch::new().path());
    assert!(control.of("register") != Some("ENOSYS"), "control: {control:?}");
}

#[test]
#[cfg(target_arch = "x86_64")]
fn ipc_06_memory_queues_and_semaphores_of_the_host_are_not_found() {
    let key = 0x0cff_0000 + (std::process::id() & 0xffff);
    let body = format!(
        "
key = {key}; name = 'cofferdam-{key}'; rt = ctypes.CDLL('librt.so.1', use_errno=True)
def memory():
    number = call(29, key, 4096, 0o600)
    libc.shmat.restype = ctypes.c_void_p; show(ctypes.string_at(libc.shmat(number, None, 0), 13))
def queue(): call(240, name, 0, 0o600, 0)
attempt('memory', memory)
attempt('messages', lambda: call(68, key, 0o600))
attempt('semaphores', lambda: call(64, key, 1, 0o600))
attempt('queue', queue)
attempt('file', lambda: show(read('/dev/shm/' + name)))
attempt('listed', lambda: show([one for one in os.listdir('/dev/shm') if name in one]))
"
    );
    let Some(attack) = Attack::new(&body) else { return };
    // The host makes one of each, under a key of this test's, and takes them away again.
    let make = format!(
        "
key = {key}; name = 'cofferdam-{key}'
number = call(29, key, 4096, 0o1600); libc.shmat.restype = ctypes.c_void_p; at = libc.shmat(number, None, 0)
ctypes.memmove(at, b'SECRET-CANARY', 13)
queue, semaphores = call(68, key, 0o1600), call(64, key, 1, 0o1600)
call(240, name, 0o100 | 2, 0o600, 0)
write('/dev/shm/' + name, 'SECRET-CANARY')
print('made', flush=True); sys.stdin.read()
call(31, number, 0, 0); call(71, queue, 0, 0); call(66, semaphores, 0, 0); call(241, name); os.unlink('/dev/shm/' + name)
"
    );
    let make = Attack::new(&make).unwrap();
    let mut host = Command::new("python3");
    let mut host = host.args(["-c", make.text()]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(host.stdout.take().unwrap()), &mut line).unwrap();
    let answers: Vec<_> = TIERS.iter().map(|tier| (*tier, attack.inside(*tier, Scratch::new().path(), &[]))).collect();
    let control = attack.outside(Scratch::new().path());
    drop(host.stdin.take());
    assert!(host.wait().unwrap().success());
    assert_eq!(line, "made\n");
    control.assert_control(6);
    assert!(control.printed.contains("SECRET"), "control: {control:?}");
    for (tier, answers) in answers {
        for name in ["memory", "messages", "semaphores", "queue", "file"] {
            answers.assert(name, &["ENOENT", "EPERM", "EACCES", "ENOSYS"]);
        }
        answers.assert("listed", &["ok", "EACCES", "ENOENT"]);
        assert!(
            !answers.printed.contains("SECRET") && !answers.printed.contains("'cofferdam-"),
            "{tier:?}: {answers:?}"
        );
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn ipc_07_keys_of_the_kernel_are_neither_read_nor_kept() {
    let body = "
attempt('add', lambda: call(248, 'user', 'cofferdam-test', 'x', 1, -3))
attempt('request', lambda: call(249, 'user', 'cofferdam-test', 0, -3))
attempt('session', lambda: call(250, 0, -3, 0, 0, 0))
attempt('user', lambda: call(250, 0, -4, 0, 0, 0))
attempt('join', lambda: call(250, 1, 0, 0, 0, 0))
";
    let Some(attack) = Attack::new(body) else { return };
    for tier in TIERS {
        attack.inside(tier, Scratch::new().path(), &[]).assert_each(5, &["EPERM", "ENOSYS"]);
    }
    let control = attack.outside(Scratch::new().path());
    control.assert("add", &["ok"]);
    control.assert("request", &["ok"]);
}

#[test]
fn ipc_09_the_other_side_of_a_subsystem_is_not_reached() {
    // A program of the other system, and the socket that its interpreter would be asked over.
    let service = Service::new();
    let place = service.folder.path().display().to_string();
    let body = format!(
        "
with open('cmd.exe', 'wb') as f: f.write(b'MZ' + bytes(510))
os.chmod('cmd.exe', 0o755)
attempt('exe', lambda: os.execv('./cmd.exe', ['cmd.exe', '/c', 'echo']))
attempt('interop', lambda: socket.socket(socket.AF_UNIX).connect('{place}/WSL/1_interop'))
attempt('known', lambda: os.stat('/run/WSL'))
show(sorted(name for name in os.environ if name.startswith('WSL')))
"
    );
    let Some(attack) = Attack::new(&body) else { return };
    for tier in TIERS {
        let inside = Scratch::new();
        let mut run = tier.run(inside.path(), &["--json"], &["python3", "-c", attack.text()]);
        let output = run.env("WSL_INTEROP", format!("{place}/WSL/1_interop")).env("WSLENV", "X").output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            told.contains("exe ENOEXEC") || told.contains("exe EPERM") || told.contains("exe EACCES"),
            "{tier:?}: {told}"
        );
        assert!(
            told.contains("interop E") && told.contains("known ENOENT") && told.contains("> []"),
            "{tier:?}: {told}"
        );
        assert_eq!(service.arrived(), 0, "{tier:?}: {told}");
    }
    let control = attack.outside(Scratch::new().path());
    control.assert("interop", &["ok"]);
    assert!(service.arrived() > 0, "control");
}

#[test]
fn ipc_02_abstract_sockets_of_the_host_are_not_reached_in_either_tier() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::SocketAddr;
    let name = format!("cofferdam-abstract-{}", std::process::id());
    let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    listener.set_nonblocking(true).unwrap();
    let body = format!(
        "
attempt('stream', lambda: socket.socket(socket.AF_UNIX).connect('\\0{name}'))
attempt('datagram', lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'x', '\\0{name}'))
"
    );
    let Some(attack) = Attack::new(&body) else { return };
    for tier in TIERS {
        let answers = attack.inside(tier, Scratch::new().path(), &[]);
        answers.assert_each(
            2,
            if tier == Tier::Full {
                &["ECONNREFUSED", "EPERM", "EACCES", "EPROTONOSUPPORT"]
            } else {
                &["EPERM", "EACCES", "EPROTONOSUPPORT"]
            },
        );
        assert!(listener.accept().is_err(), "{tier:?}: {answers:?}");
    }
    attack.outside(Scratch::new().path()).assert("stream", &["ok"]);
    assert!(listener.accept().is_ok(), "control");
}
