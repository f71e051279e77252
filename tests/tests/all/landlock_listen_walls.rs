//! What a run must not listen on, bind to or connect to where no namespace can be made and ports of it are published: each way is tried
//! outside, where it succeeds, and inside.

use cofferdam_tests::attack::{Attack, Tier};
use cofferdam_tests::command::text;
use cofferdam_tests::host::Host;
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::visitor;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, sendmsg, socket};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader, IoSlice};
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// A port on which nobody listens now.
fn free() -> u16 {
    visitor::free_port(true)
}

/// Ways to listen somewhere else. Outside each of them succeeds.
const ELSEWHERE: &str = "
port, P = int(os.environ['PORT']), int(os.environ.get('OWN', 8000))
def tcp(family=socket.AF_INET): return socket.socket(family, socket.SOCK_STREAM)
def listens(s): s.listen(1); socket.create_connection(('127.0.0.1', s.getsockname()[1]), 5)
def bound(address, port, family=socket.AF_INET): s = tcp(family); s.setsockopt(1, 2, 1); s.bind((address, port)); return s
def shared():
    s = tcp(); s.setsockopt(1, 15, 1); s.bind(('127.0.0.1', free())); s.listen(1)
def free(): s = socket.socket(); os.environ.get('FREE') or s.bind(('127.0.0.1', 0)); return int(os.environ.get('FREE') or s.getsockname()[1])
def no_family():
    s = tcp()
    if libc.bind(s.fileno(), bytes(2) + struct.pack('>H', free()) + bytes(12), 16): raise OSError(ctypes.get_errno(), 'bind')
def disconnect(s): libc.connect(s.fileno(), bytes(16), 16)
def accepted():
    server = bound('0.0.0.0', P); server.listen(8); client = socket.create_connection(('127.0.0.1', P), 5); one, _ = server.accept()
    disconnect(one); server.close(); one.listen(1)
def connected():
    s = tcp(); s.connect(('127.0.0.1', port)); disconnect(s); s.listen(1)
def second(): pid = os.fork(); code = 0; pid or wrong(); _, code = os.waitpid(pid, 0); raise_for(code)
def wrong():
    try: bound('0.0.0.0', free()).listen(1); os._exit(0)
    except OSError as error: os._exit(error.errno)
def raise_for(code):
    if code: raise OSError(code >> 8, 'second')
attempt('listen', lambda: listens(tcp()))
attempt('listen_6', lambda: tcp(socket.AF_INET6).listen(1))
attempt('any_port', lambda: bound('0.0.0.0', 0).listen(1))
attempt('any_port_6', lambda: bound('::', 0, socket.AF_INET6).listen(1))
attempt('another', lambda: bound('127.0.0.1', free()))
attempt('another_any', lambda: bound('0.0.0.0', free()))
attempt('another_6', lambda: bound('::', free(), socket.AF_INET6))
attempt('shared', shared)
attempt('no_family', no_family)
attempt('accepted', accepted)
attempt('second', second)
attempt('connected', connected)
attempt('host', lambda: socket.create_connection(('127.0.0.1', port), 5))
attempt('datagram', lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).bind(('127.0.0.1', 0)))
";

#[test]
fn net_30_nothing_is_listened_on_but_what_is_published() {
    let (host, place) = (Host::http(), Scratch::new());
    let (port, unused) = (host.port(), free());
    let set = format!("os.environ.update(PORT='{port}', OWN='{unused}')\n{ELSEWHERE}");
    let Some(control) = Attack::new(&set) else { return };
    control.outside(place.path()).assert_control(14);
    let before = host.arrived();
    let (told, unused) = (format!("PORT={port}"), format!("FREE={unused}"));
    let options = ["--listen", "*:8000", "--env", &told, "--env", &unused];
    let attack = Attack::new(ELSEWHERE).unwrap();
    let answers = attack.inside(Tier::Landlock, place.path(), &options);
    answers.assert_each(14, &["EACCES", "EPERM"]);
    assert_eq!(host.arrived(), before, "{answers:?}");
}

/// Threads that change what a number stands for while others bind and listen by it. Every socket that listens then is told.
const SWAPPED: &str = "
P, made, stop = 8000, [], threading.Event()
def new(): s = socket.socket(); s.setsockopt(1, 2, 1); s.setsockopt(1, 15, 1); made.append(s); return s
def chosen(): s = new(); s.bind(('0.0.0.0', 0)); return s
def plain(): return new()
def published(): s = new(); s.bind(('0.0.0.0', P)); return s
slot = os.dup(new().fileno())
def swap():
    while not stop.is_set():
        for make in (published, plain, chosen): os.dup2(make().fileno(), slot)
        if len(made) > 300: stop.set()
def listen():
    while not stop.is_set(): libc.listen(slot, 4)
def bind(number):
    while not stop.is_set(): libc.bind(slot, struct.pack('<H', 2) + struct.pack('>H', number) + bytes(12), 16)
def disconnect():
    while not stop.is_set(): libc.connect(slot, bytes(16), 16)
threads = [threading.Thread(target=run, args=arguments) for run, arguments in
    [(swap, ()), (listen, ()), (listen, ()), (bind, (P,)), (bind, (P + 1,)), (bind, (0,)), (disconnect, ())]]
for one in threads: one.start()
for one in threads: one.join(120)
def accepted():
    server = published(); server.listen(64)
    for _ in range(100):
        client = socket.create_connection(('127.0.0.1', P), 5); one, _ = server.accept(); made.append(one)
        racer = threading.Thread(target=lambda: libc.connect(one.fileno(), bytes(16), 16)); racer.start()
        for _ in range(20): libc.listen(one.fileno(), 4)
        racer.join(); client.close()
def where(): return [s.getsockname() for s in made if s.fileno() >= 0 and s.getsockopt(1, 30)]
listening = where()
for s in made: s.close()
os.close(slot)
attempt('race', accepted)
listening += where()
wrong = [at for at in listening if at[1] != P or not at[0].startswith('127.') or at[0] == '127.0.0.1']
show((len(made), len(listening), wrong))
attempt('only_there', lambda: len(made) > 300 and listening and not wrong or 1 / 0)
";

#[test]
fn net_30_whatever_is_put_in_the_place_of_a_socket_meanwhile_listens_nowhere_else() {
    let Some(attack) = Attack::new(SWAPPED) else { return };
    let answers = attack.inside(Tier::Landlock, Scratch::new().path(), &["--listen", "*:8000"]);
    answers.assert_each(2, &["ok"]);
}

/// A socket that is sent to the run over its standard input takes the place of that.
const TAKEN: &str = "
local = socket.socket(fileno=os.dup(0)); os.dup2(socket.recv_fds(local, 1, 1)[1][0], 0); local.close()
";

/// What a socket can be used for that the run was given by whoever started it.
const GIVEN: &str = "
def again(): s = socket.socket(fileno=os.dup(0)); libc.connect(0, bytes(16), 16); s.connect(('127.0.0.1', int(os.environ['PORT'])))
def listens(): s = socket.socket(fileno=os.dup(0)); libc.connect(0, bytes(16), 16); s.listen(1)
def bound(): s = socket.socket(fileno=os.dup(0)); libc.connect(0, bytes(16), 16); s.bind(('0.0.0.0', int(os.environ['FREE'])))
attempt('listens', listens)
attempt('bound', bound)
attempt('again', again)
";

#[test]
fn net_30_a_socket_that_was_there_before_is_bound_and_connected_to_nothing_else() {
    let Some(attack) = Attack::new(&[TAKEN, GIVEN].concat()) else { return };
    let (host, place) = (Host::http(), Scratch::new());
    let port = host.port();
    let (told, unused) = (format!("PORT={port}"), format!("FREE={}", free()));
    for listen in [&[][..], &["--listen", "*:8000"]] {
        let before = host.arrived();
        let given = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let options = [&["--env", &told, "--env", &unused][..], listen].concat();
        let mut command = Tier::Landlock.run(place.path(), &options, &["python3", "-c", attack.text()]);
        let output = command.stdin(sending(&given)).output().unwrap();
        let printed = text(&output.stdout);
        assert_eq!(printed, "listens EACCES\nbound EACCES\nagain EACCES\n", "{output:?}");
        assert_eq!(host.arrived(), before + 1, "only the connection that was there");
    }
}

#[test]
fn net_30_a_datagram_socket_that_was_there_before_gets_no_published_port() {
    let body = "
def bound(port): socket.socket(fileno=os.dup(0)).bind(('127.0.0.1', port))
attempt('published', lambda: bound(8000))
attempt('any', lambda: bound(0))
attempt('listens', lambda: socket.socket(fileno=os.dup(0)).listen(1))
";
    let Some(attack) = Attack::new(&[TAKEN, body].concat()) else { return };
    let place = Scratch::new();
    let given = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None).unwrap();
    let mut command = Tier::Landlock.run(place.path(), &["--listen", "*:8000"], &["python3", "-c", attack.text()]);
    let output = command.stdin(sending(&given)).output().unwrap();
    assert_eq!(text(&output.stdout), "published EACCES\nany EACCES\nlistens EACCES\n", "{output:?}");
}

/// A local connection over which `given` is sent.
fn sending(given: &impl AsFd) -> OwnedFd {
    let (ours, its) = UnixStream::pair().unwrap();
    let rights = [given.as_fd().as_raw_fd()];
    let rights = [ControlMessage::ScmRights(&rights)];
    sendmsg::<()>(ours.as_raw_fd(), &[IoSlice::new(b"x")], &rights, MsgFlags::empty(), None).unwrap();
    its.into()
}

/// Options that lead a connection out of this machine, whatever address it is to.
const AROUND: &str = "
def option(level, name, value): s = socket.socket(); s.setsockopt(level, name, value); return s
attempt('device', lambda: option(1, 25, b'lo'))
attempt('index', lambda: option(1, 62, 1))
attempt('ahead', lambda: option(6, 30, 1))
attempt('no_cookie', lambda: option(6, 34, 1))
";

#[test]
fn net_01_a_connection_is_led_past_loopback_by_no_option() {
    let Some(attack) = Attack::new(AROUND) else { return };
    let place = Scratch::new();
    attack.outside(place.path()).assert_control(4);
    for options in [["--listen", "*:8000"], ["--allow-net", "api.test:80"]] {
        attack.inside(Tier::Landlock, place.path(), &options).assert_each(4, &["EPERM", "ENOTSUP", "EOPNOTSUPP"]);
    }
}

/// Closes connections with more to say than anybody reads while listen(2) of them is answered, so that the broker may be the last who closes one.
const LINGERS: &str = "
server = socket.socket(); server.setsockopt(1, 2, 1); server.bind(('127.0.0.1', 8000)); server.listen(64); server.settimeout(5)
print('ready', flush=True)
def listens(number):
    while not (libc.listen(number, 1) and ctypes.get_errno() == errno.EBADF): pass
def closes(number): time.sleep(0.003); os.close(number)
for _ in range(60):
    try: one, _ = server.accept()
    except OSError: break
    one.setsockopt(1, 13, struct.pack('ii', 1, 30000)); one.setblocking(False)
    try:
        while True: one.send(bytes(1 << 16))
    except BlockingIOError: pass
    number = one.detach()
    first = threading.Thread(target=listens, args=(number,), daemon=True); first.start()
    threading.Thread(target=closes, args=(number,), daemon=True).start(); first.join(0.1)
os._exit(0)
";

#[test]
fn net_30_a_run_ends_whatever_connections_it_leaves_and_its_ports_with_it() {
    let Some(attack) = Attack::new(LINGERS) else { return };
    let (place, port) = (Scratch::new(), free());
    let listen = format!("{port}:8000");
    let mut command = Tier::Landlock.run(place.path(), &["--listen", &listen], &["python3", "-c", attack.text()]);
    let mut run = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(run.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    // They say nothing and read nothing, and stay.
    let visitors: Vec<_> = (0..60).map(|_| TcpStream::connect(("127.0.0.1", port))).collect();
    let ended = |run: &mut Child, within: u64| {
        let end = Instant::now() + Duration::from_secs(within);
        while run.try_wait().unwrap().is_none() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
        run.try_wait().unwrap().is_some()
    };
    // It may wait for an answer of the broker's that it keeps itself from getting; then it is ended from outside.
    if !ended(&mut run, 10) {
        kill(Pid::from_raw(i32::try_from(run.id()).unwrap()), Signal::SIGTERM).unwrap();
    }
    let ended = ended(&mut run, 60);
    let _ = run.kill();
    run.wait().unwrap();
    assert!(ended, "the run waits for its visitors");
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    drop(visitors);
}
