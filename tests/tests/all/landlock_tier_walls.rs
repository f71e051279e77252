//! What Landlock alone lets through, line by line: each is tried for real where there are no namespaces, and works outside.

use cofferdam_tests::command::{binary, run_without_namespaces, text};
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;
use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::process::{Command, Output};

const BEFORE: &str = "
import ctypes, errno, os, socket, struct
libc = ctypes.CDLL(None, use_errno=True)
def raw(number, *arguments):
    words = [one if isinstance(one, (bytes, ctypes.Array)) else ctypes.c_long(one) for one in arguments]
    result = libc.syscall(ctypes.c_long(number), *words)
    if result < 0: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
def tried(what):
    try: what(); return 'HAPPENED'
    except OSError as error: return errno.errorcode[error.errno].replace('ENOTSUP', 'EOPNOTSUPP')
";

fn inside(python: &str, options: &[&str], script: &str) -> Output {
    let scratch = Scratch::new();
    let script = format!("{BEFORE}{script}");
    let options = [&["--isolation", "landlock"], options].concat();
    run_without_namespaces(scratch.path(), &options, &[python, "-c", &script]).output().unwrap()
}

/// The expression answers `refused` inside and, as the control, something else outside.
#[track_caller]
fn assert_refused(python: &str, options: &[&str], expression: &str, refused: &str) {
    let script = format!("print(tried(lambda: {expression}))");
    let outside = Command::new(python).args(["-c", &format!("{BEFORE}{script}")]).output().unwrap();
    assert!(outside.status.success(), "{outside:?}");
    assert_ne!(text(&outside.stdout).trim(), refused, "control: {expression}");
    let seen = inside(python, options, &script);
    assert_eq!(text(&seen.stdout).trim(), refused, "{expression}: {seen:?}");
}

/// A policy that lets the run use the host's network, so that sockets can be made at all.
fn with_network(scratch: &Scratch) -> String {
    let lines = "version = 1\nextends = \"dev\"\n[network]\nmode = \"inherit\"\n[isolation]\nrequire = \"landlock\"\n";
    scratch.write("network.toml", lines).display().to_string()
}

#[test]
fn net_02_to_07_no_packet_leaves_by_a_way_that_landlock_does_not_look_at() {
    let Some(python) = skip::python() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    // Where the network is denied there is no socket of any kind that leads anywhere.
    for (family, kind, protocol) in [(2, 1, 0), (2, 2, 0), (10, 1, 0), (10, 2, 0), (2, 1, 262), (16, 3, 0)] {
        let expected = if protocol == 262 { "EPROTONOSUPPORT" } else { "EPERM" };
        assert_refused(&python, &[], &format!("socket.socket({family}, {kind}, {protocol})"), expected);
    }
    assert_refused(&python, &[], "socket.socket(2, 1).listen()", "EPERM");
    for family in [38, 17] {
        let seen =
            inside(&python, &[], &format!("print(tried(lambda: socket.socket({family}, 3 if {family} == 17 else 5)))"));
        assert_ne!(text(&seen.stdout).trim(), "HAPPENED", "{family}: {seen:?}");
    }
    let vsock = inside(&python, &[], "print(tried(lambda: raw(41, 40, 1, 0)))");
    assert_eq!(text(&vsock.stdout).trim(), "EAFNOSUPPORT", "{vsock:?}");
    // With the host's network TCP works, and data in the first packet, which no rule about ports sees, does not.
    let scratch = Scratch::new();
    let policy = with_network(&scratch);
    let fast = format!(
        "s = socket.socket(); a = struct.pack('!HH4s8x', 0, {port}, bytes([127, 0, 0, 1])); a = struct.pack('H', 2) + a[2:]
print(tried(lambda: raw(44, s.fileno(), b'SECRET', 6, 0x20000000, ctypes.create_string_buffer(a, 16), 16)))
print(tried(lambda: socket.create_connection(('127.0.0.1', {port}))), tried(lambda: socket.socket(2, 1, 262)), tried(lambda: socket.socket(2, 3, 1)))"
    );
    let seen = inside(&python, &["--policy", &policy], &fast);
    assert_eq!(text(&seen.stdout), "EOPNOTSUPP\nHAPPENED EPROTONOSUPPORT EPERM\n", "{seen:?}");
    let (mut plain, _) = listener.accept().unwrap();
    let mut received = Vec::new();
    plain.set_nonblocking(false).unwrap();
    plain.read_to_end(&mut received).unwrap();
    assert!(received.is_empty() && listener.accept().is_err(), "one connection came, without data");
}

#[test]
fn ipc_01_abstract_sockets_of_the_host_are_not_reached() {
    let Some(python) = skip::python() else { return };
    let name = format!("cofferdam-test-{}", std::process::id());
    let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    listener.set_nonblocking(true).unwrap();
    assert_refused(&python, &[], &format!("socket.socket(socket.AF_UNIX).connect('\\0{name}')"), "EPERM");
    assert!(listener.accept().is_ok() && listener.accept().is_err(), "the control alone connected");
    let scratch = Scratch::new();
    let policy = with_network(&scratch);
    let script = format!("print(tried(lambda: socket.socket(socket.AF_UNIX).connect('\\0{name}')))");
    let seen = inside(&python, &["--policy", &policy], &script);
    assert_eq!(text(&seen.stdout).trim(), "EPERM", "{seen:?}");
    assert!(listener.accept().is_err());
}

#[test]
fn sys_05_09_10_namespaces_keyrings_and_faults_are_nobody_s() {
    let Some(python) = skip::python() else { return };
    for (expression, refused) in [
        // unshare and clone for a user namespace; as a process of one's own, which ends at once.
        ("raw(272, 0x10000000)", "EPERM"),
        ("raw(56, 0x10000000 | 17, 0, 0, 0, 0) or os._exit(0)", "EPERM"),
        ("raw(323, 1)", "EPERM"),
        ("raw(250, 0, -3, 1)", "EPERM"),
        ("raw(248, b'user', b'name', b'value', 5, -3)", "EPERM"),
        ("raw(425, 1, ctypes.create_string_buffer(120))", "ENOSYS"),
        ("raw(298, 0, 0, 0, 0, 0)", "EPERM"),
        ("raw(321, 0, 0, 0)", "EPERM"),
        ("raw(308, 0, 0)", "EPERM"),
    ] {
        let seen = inside(&python, &[], &format!("print(tried(lambda: {expression}))"));
        assert_eq!(text(&seen.stdout).trim(), refused, "{expression}: {seen:?}");
    }
}

#[test]
fn fs_13_descriptors_that_whoever_starts_it_left_open_do_not_come_along() {
    let Some(python) = skip::python() else { return };
    let (scratch, other) = (Scratch::new(), Scratch::new());
    let canary = other.write("canary", "SECRET");
    let (folder, file) =
        (fs::File::open(other.path()).unwrap(), fs::OpenOptions::new().append(true).open(&canary).unwrap());
    let script = format!(
        "{BEFORE}
for number in range(3, 64):
    for way in [lambda: os.fchdir(number), lambda: os.listdir(number), lambda: os.write(number, b'x'), lambda: os.open('canary', 0, dir_fd=number)]:
        if tried(way) == 'HAPPENED': print('HAPPENED', number)
print('looked')"
    );
    // A shell copies both to numbers that are not closed when the command is executed.
    let line = format!(
        "exec 7</proc/{0}/fd/{1} 9>>/proc/{0}/fd/{2}; ls -d /proc/self/fd/7 /proc/self/fd/9 >&2; exec \"$@\"",
        std::process::id(),
        folder.as_raw_fd(),
        file.as_raw_fd()
    );
    let run = run_without_namespaces(scratch.path(), &["--isolation", "landlock"], &[&python, "-c", &script]);
    let output =
        Command::new("bash").args(["-c", &line, "bash"]).arg(run.get_program()).args(run.get_args()).output().unwrap();
    assert!(text(&output.stderr).contains("/proc/self/fd/9"), "control: they were open: {output:?}");
    assert_eq!(text(&output.stdout), "looked\n", "{output:?}");
    assert_eq!(fs::read_to_string(&canary).unwrap(), "SECRET", "{}", binary().display());
}

#[test]
fn ipc_objects_without_a_path_are_refused_and_memory_with_one_is_the_run_s_own() {
    let Some(python) = skip::python() else { return };
    for expression in [
        "raw(29, 4711, 4096, 0o1600)",
        "raw(64, 4711, 1, 0o1600)",
        "raw(68, 4711, 0o1600)",
        "raw(240, b'name', 0o102, 0o600, 0)",
    ] {
        let seen = inside(&python, &[], &format!("print(tried(lambda: {expression}))"));
        assert_eq!(text(&seen.stdout).trim(), "EPERM", "{expression}: {seen:?}");
    }
    let name = format!("cofferdam-test-{}", std::process::id());
    let place = format!("/dev/shm/{name}");
    fs::write(&place, "of the host").unwrap();
    let script = format!(
        "print(tried(lambda: open('{place}')), '{name}' in os.listdir('/dev/shm'))
open('{place}', 'w').write('of the run'); print(open('{place}').read(), os.stat('{place}').st_size, os.listdir('/dev/shm') == ['{name}'])
from multiprocessing import shared_memory, Lock, Process, Value
memory = shared_memory.SharedMemory(create=True, size=100); memory.buf[0] = 42
again = shared_memory.SharedMemory(memory.name); print(again.buf[0]); again.close(); memory.close(); memory.unlink()
value, lock = Value('i', 0), Lock()
def count():
    for _ in range(50):
        with lock: value.value += 1
workers = [Process(target=count) for _ in range(3)]; [w.start() for w in workers]; [w.join() for w in workers]; print(value.value)
os.unlink('{place}'); print(os.listdir('/dev/shm'))"
    );
    let seen = inside(&python, &[], &script);
    let host = fs::read_to_string(&place);
    fs::remove_file(&place).unwrap();
    assert_eq!(host.unwrap(), "of the host", "{seen:?}");
    assert_eq!(text(&seen.stdout), "ENOENT False\nof the run 10 True\n42\n150\n[]\n", "{seen:?}");
}

#[test]
fn a_run_makes_terminals_of_its_own_and_opens_nobody_else_s() {
    let Some(python) = skip::python() else { return };
    let foreign = nix::pty::posix_openpt(nix::fcntl::OFlag::O_RDWR | nix::fcntl::OFlag::O_NOCTTY).unwrap();
    nix::pty::grantpt(&foreign).unwrap();
    nix::pty::unlockpt(&foreign).unwrap();
    let name = nix::pty::ptsname_r(&foreign).unwrap();
    let script = format!(
        "import pty, sys
print(tried(lambda: os.open('{name}', os.O_RDWR | os.O_NOCTTY)), tried(lambda: os.stat('{name}')))
master, slave = os.openpty(); print(os.isatty(slave), os.ttyname(slave) == os.ptsname(master) if hasattr(os, 'ptsname') else True)
os.write(master, b'typed\\n'); print(os.read(slave, 100)); os.write(slave, b'shown'); told = b''
while b'shown' not in told: told += os.read(master, 100)
print(told[-5:])
name = os.ttyname(slave); again = os.open(name, os.O_RDWR | os.O_NOCTTY); os.close(again)
os.close(master); os.close(slave); print(tried(lambda: os.open(name, os.O_RDWR | os.O_NOCTTY)))
seen = []
def read(fd):
    data = os.read(fd, 1024); seen.append(data); return data
sys.stdin = None
pid, fd = pty.fork()
if pid == 0:
    os.execvp('sh', ['sh', '-c', 'tty > /dev/null && echo child > /dev/tty'])
told = b''
while True:
    try: data = os.read(fd, 1024)
    except OSError: break
    if not data: break
    told += data
print(told.strip(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"
    );
    let seen = inside(&python, &[], &script);
    assert_eq!(text(&seen.stdout), "ENOENT ENOENT\nTrue True\nb'typed\\n'\nb'shown'\nENOENT\nb'child' 0\n", "{seen:?}");
}
