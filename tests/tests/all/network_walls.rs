//! What is shut where names are allowed is what is shut where nothing is: services and supervisors of the host, addresses in whatever
//! spelling, first messages of TLS that say two things, data ahead of a connection. In both tiers, wherever the attack is one.

use cofferdam_tests::attack::{Answers, Attack, TIERS, Tier, WAY};
use cofferdam_tests::command::text;
use cofferdam_tests::host::Host;
use cofferdam_tests::observe::within;
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::session_host::HostedSession;
use cofferdam_tests::skip;
use std::io::Read;
use std::net::TcpStream;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Makes the attempts with `ok.test` allowed, which leads to `host`, whose port is in `PORT`.
#[track_caller]
fn inside(tier: Tier, attack: &Attack, host: &Host, more: &[&str]) -> Answers {
    let mut options = host.named("ok.test");
    options.extend(["--env".to_owned(), format!("PORT={}", host.port())]);
    let options: Vec<&str> = options.iter().map(String::as_str).chain(more.iter().copied()).collect();
    attack.inside(tier, Scratch::new().path(), &options)
}

/// No attempt succeeded, and there were `count`.
#[track_caller]
fn assert_none(tier: Tier, answers: &Answers, count: usize) {
    let lines: Vec<_> = answers.printed.lines().filter(|line| !line.starts_with('>')).collect();
    assert_eq!(lines.len(), count, "{tier:?}: {answers:?}");
    let refused =
        |line: &&&str| !line.ends_with(" ok") && !line.contains("TimeoutError") && !line.contains("timed out");
    assert_eq!(lines.iter().filter(refused).count(), count, "{tier:?}: {answers:?}");
}

#[test]
fn ipc_01_02_services_of_the_host_are_no_nearer_where_names_are_allowed() {
    let (host, service) = (Host::http(), Scratch::new());
    let name = format!("cofferdam-walls-{}", std::process::id());
    let path = service.join("docker.sock");
    let listeners = [
        UnixListener::bind(&path).unwrap(),
        UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap(),
    ];
    let arrived = || {
        let each = listeners.iter().map(|listener| {
            listener.set_nonblocking(true).unwrap();
            std::iter::from_fn(|| listener.accept().ok()).count()
        });
        each.sum::<usize>()
    };
    let Some(attack) = Attack::new(&format!(
        "
for kind in [socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM]:
    for where in [{:?}, '\\0{name}']: attempt('service', lambda: socket.socket(socket.AF_UNIX, kind).connect(where))
attempt('datagram', lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].sendto(b'x', '\\0{name}'))
",
        path.display().to_string()
    )) else {
        return;
    };
    for tier in TIERS {
        for options in [&[][..], &["--read", &service.path().display().to_string()][..]] {
            let answers = inside(tier, &attack, &host, options);
            assert_none(tier, &answers, 7);
            assert_eq!(arrived(), 0, "{tier:?}: {answers:?}");
        }
    }
    let control = attack.outside(Scratch::new().path());
    assert_eq!(arrived(), 2, "control: {control:?}");
}

#[test]
fn net_11_sockets_of_the_supervisor_are_nobody_s_inside() {
    let Some(python) = skip::python() else { return };
    let host = Host::http();
    // The socket by which a session is ruled, from a run beside it and from a command of its own; and whatever pid 1 and those
    // that are not seen have open, by each way to another's descriptors.
    let session = HostedSession::declared(&format!(
        "policy = \"policy.toml\"\n[commands.attack]\nargv = [{python:?}, \"attack.py\"]\n[commands.one]\nargv = [\"echo\", \"works\"]\n"
    ));
    let socket = session.state.join("cofferdam/sessions/s.sock");
    let body = format!(
        "
def rule():
    s = socket.socket(socket.AF_UNIX); s.connect({:?}); s.sendall(b'{{\"verb\": \"close\"}}\\n'); s.recv(100)
attempt('session', rule)
def taken(pid, number):
    descriptor = call(434, pid, 0)
    try: return call(438, descriptor, number, 0)
    finally: os.close(descriptor)
try: names = os.listdir('/proc')
except OSError: names = [str(pid) for pid in range(max(1, os.getppid() - 20), os.getpid() + 5)]
others = [int(name) for name in names if name.isdigit() and int(name) != os.getpid()] + [1, os.getppid()]
got = []
for pid in others:
    for number in range(3, 40):
        for way in [lambda: taken(pid, number), lambda: os.open('/proc/%d/fd/%d' % (pid, number), os.O_RDWR)]:
            try: got.append((pid, number, way()))
            except OSError: pass
show(got)
own = [number for number in range(3, 40) if os.path.exists('/proc/self/fd/%d' % number) and stat.S_ISSOCK(os.stat('/proc/self/fd/%d' % number).st_mode)]
show(own)
",
        socket.display().to_string()
    );
    let Some(attack) = Attack::new(&body) else { return };
    session.workspace.write("attack.py", attack.text());
    let policy = "version = 1\nextends = \"dev\"\n[network]\nmode = \"allowlist\"\nallow = [\"ok.test:443\"]\n";
    session.workspace.write("policy.toml", policy);
    session.opened(&[]);
    assert!(std::os::unix::net::UnixStream::connect(&socket).is_ok(), "control: it is there, and answers");
    let told = text(&session.ask(&["run", "s", "attack"]).stdout);
    let untouched = |told: &str| told.contains("session E") && told.matches("> []").count() == 2;
    assert!(untouched(&told), "{told}");
    for tier in TIERS {
        let answers = inside(tier, &attack, &host, &[]);
        assert!(untouched(&answers.printed), "{tier:?}: {answers:?}");
    }
    assert_eq!(text(&session.ask(&["run", "s", "one"]).stdout), "works\n", "the session was not closed");
}

#[test]
fn net_09_10_11_15_19_what_no_rule_names_is_refused_in_every_spelling() {
    let (host, other) = (Host::http(), Host::http());
    let Some(attack) = Attack::new(&format!(
        "{WAY}
port = int(os.environ['OTHER'])
for name in ['169.254.169.254', '100.100.100.200', '[fd00:ec2::254]', '[::ffff:169.254.169.254]', '[64:ff9b::a9fe:a9fe]', '[2002:a9fe:a9fe::1]',
        '[::]', '0.0.0.0', '[::1]', '127.0.0.1', '[::ffff:127.0.0.1]', '[64:ff9b::7f00:1]', '[2002:7f00:1::]', '[::127.0.0.1]', '10.0.0.1', '224.0.0.1', '[ff02::1]',
        'localhost', 'a.localhost', 'metadata.test', 'notok.test', 'ok.test.evil', 'xok.test', 'ok.tes', 'ok.test..', '2130706433', '0177.1', '0x7f.1', '[fe80::1%lo]']:
    attempt(name, lambda: get(name, port))
"
    )) else {
        return;
    };
    let port = other.port().to_string();
    // Every name is allowed on that port, and what one leads to is not.
    let leads = ["metadata.test=169.254.169.254", "notok.test=127.0.0.1", "ok.test.evil=::1", "xok.test=10.0.0.1"];
    let leads: Vec<&str> = leads.iter().flat_map(|lead| ["--resolve", *lead]).collect();
    let (every, env) = (format!("*:{port}"), format!("OTHER={port}"));
    for tier in TIERS {
        let answers = inside(tier, &attack, &host, &[&["--allow-net", &every, "--env", &env], &leads[..]].concat());
        assert_none(tier, &answers, 29);
        assert_eq!(other.arrived(), 0, "{tier:?}: {answers:?}");
        for subject in ["169.254.169.254:", "[fd00:ec2::254]:", "100.100.100.200:", "127.0.0.1:"] {
            assert!(answers.is_recorded(&format!("{subject}{port}")), "{tier:?}: {subject}: {answers:?}");
        }
    }
    // Where a rule names this machine's loopback, its spellings do lead there.
    let loopback = format!("localhost:{port}");
    for tier in TIERS {
        let options = ["--allow-net", &every, "--env", &env, "--allow-net", &loopback];
        let answers = inside(tier, &attack, &host, &options);
        assert_eq!(answers.of("127.0.0.1"), Some("ok"), "control: {answers:?}");
    }
    assert!(other.arrived() >= 2, "control");
}

/// Makes first messages of TLS by hand: `hello(names, *more)` has these names, and these extensions beside them.
const HELLO: &str = r"
def sized(width, data): return len(data).to_bytes(width, 'big') + data
def extension(kind, data): return struct.pack('>H', kind) + sized(2, data)
def names(*all): return extension(0, sized(2, b''.join(b'\0' + sized(2, one.encode()) for one in all)))
def hello(*extensions):
    body = b'\3\3' + bytes(32) + b'\0' + sized(2, b'\x13\x01') + sized(1, b'\0') + sized(2, b''.join(extensions))
    return b'\1' + sized(3, body)
def record(data): return b'\x16\3\1' + sized(2, data)
def say(pieces, wait=0.0):
    s = way('ok.test', 443); s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for piece in pieces: s.sendall(piece); time.sleep(wait)
    s.settimeout(20); answer = s.recv(64)
    if answer != b'reached': raise ConnectionResetError(errno.ECONNRESET, 'ended')
fine = hello(names('ok.test'))
ways = {
    'other': [record(hello(names('evil.test')))], 'none': [record(hello())], 'two': [record(hello(names('ok.test', 'evil.test')))],
    'two-extensions': [record(hello(names('ok.test'), names('evil.test')))], 'encrypted': [record(hello(names('ok.test'), extension(0xfe0d, b'\0' + bytes(40))))],
    'address': [record(hello(names('127.0.0.1')))], 'nul': [record(hello(names('ok.test\0.evil.test')))], 'below': [record(hello(names('x.ok.test')))],
    'split-other': [record(hello(names('evil.test'))[:20]), record(hello(names('evil.test'))[20:])], 'empty-record': [record(b''), record(fine)],
    'plain': [b'GET / HTTP/1.0\r\n\r\n'], 'old': [b'\x80\x2e\1\3\1' + bytes(43)], 'in-front': [b'\x15\3\1\0\2\1\0', record(fine)]}
";

#[test]
fn net_20_no_first_message_of_tls_is_read_in_two_ways() {
    let seen: Arc<Mutex<Vec<u8>>> = Arc::default();
    let own = seen.clone();
    let host = Host::new(move |mut stream| {
        let mut buffer = [0; 4096];
        let count = stream.read(&mut buffer)?;
        own.lock().unwrap().extend_from_slice(&buffer[..count]);
        std::io::Write::write_all(&mut stream, b"reached")
    });
    let Some(attack) = Attack::new(&format!(
        "{WAY}{HELLO}
attempt('fine', lambda: say([record(fine)]))
attempt('split', lambda: say([record(fine[:9]), record(fine[9:])]))
attempt('bytewise', lambda: say([bytes([byte]) for byte in record(fine)], 0.001))
for name in ways: attempt(name, lambda: say(ways[name]))
"
    )) else {
        return;
    };
    let lead = format!("ok.test:443=127.0.0.1:{}", host.port());
    let dialled = host.dialled();
    let mut options: Vec<&str> = dialled.iter().map(String::as_str).collect();
    options.extend(["--allow-net", "ok.test:443", "--resolve", &lead]);
    for tier in TIERS {
        let answers = attack.inside(tier, Scratch::new().path(), &options);
        for name in ["fine", "split", "bytewise"] {
            answers.assert(name, &["ok"]);
        }
        assert_eq!(answers.printed.lines().filter(|line| line.ends_with(" ok")).count(), 3, "{tier:?}: {answers:?}");
        assert_eq!(answers.printed.lines().count(), 16, "{tier:?}: {answers:?}");
        let seen = std::mem::take(&mut *seen.lock().unwrap());
        assert!(seen.windows(7).any(|part| part == b"ok.test"), "control");
        for never in [&b"evil"[..], b"127.0", b"x.ok", b"GET", b"\xfe\x0d"] {
            assert!(!seen.windows(never.len()).any(|part| part == never), "{tier:?}: {never:?} arrived: {answers:?}");
        }
    }
    let place = Scratch::new();
    let opaque = place.write("opaque.toml", "version = 1\nextends = \"dev\"\n[network]\ntls = \"opaque\"\n");
    let opaque = opaque.display().to_string();
    options.extend(["--policy", &opaque]);
    let control = attack.inside(Tier::Full, Scratch::new().path(), &options);
    assert!(control.of("two") == Some("ok") && control.of("plain") == Some("ok"), "control: {control:?}");
}

#[test]
fn net_03_data_ahead_of_a_connection_goes_where_the_connection_may_and_nowhere_else() {
    let (host, other) = (Host::http(), Host::http());
    let Some(attack) = Attack::new(
        "
def ahead(host, port):
    s = socket.socket(); s.sendto(b'GET / HTTP/1.0\\r\\nHost: S3CR3T\\r\\n\\r\\n', 0x20000000, (host, port)); s.settimeout(20)
    if b'hello' not in s.recv(200): raise ConnectionResetError(errno.ECONNRESET, 'ended')
named, other = int(os.environ['PORT']), int(os.environ['OTHER'])
for host, port in [('127.0.0.1', other), ('192.0.2.1', named), ('192.0.2.1', other), ('8.8.8.8', 53)]: attempt(host, lambda: ahead(host, port))
",
    ) else {
        return;
    };
    let env = format!("OTHER={}", other.port());
    for tier in TIERS {
        let answers = inside(tier, &attack, &host, &["--env", &env]);
        assert_none(tier, &answers, 4);
        assert_eq!((host.arrived(), other.arrived()), (0, 0), "{tier:?}: {answers:?}");
    }
}

#[test]
fn net_05_30_what_the_guest_listens_on_is_reached_by_nobody_outside_where_names_are_allowed() {
    let host = Host::http();
    let Some(attack) = Attack::new(
        "
ports = []
for family, address in [(socket.AF_INET, '0.0.0.0'), (socket.AF_INET6, '::')]:
    s = socket.socket(family); s.bind((address, 0)); s.listen(); ports.append(s.getsockname()[1]); keep.append(s)
n = socket.socket(); n.listen(); ports.append(n.getsockname()[1])
def own(): socket.create_connection(('127.0.0.1', ports[0]), 5)
attempt('own', own)
write('ports.new', ' '.join(map(str, ports))); os.rename('ports.new', 'ports')
end = time.monotonic() + 60
while not os.path.exists('go') and time.monotonic() < end: time.sleep(0.01)
s.settimeout(0); n.settimeout(0)
attempt('came', lambda: s.accept()); attempt('came', lambda: n.accept())
",
    ) else {
        return;
    };
    let place = Scratch::new();
    let options = host.named("ok.test");
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    std::thread::scope(|scope| {
        let guest = scope.spawn(|| attack.inside(Tier::Full, place.path(), &options));
        assert!(within(Duration::from_secs(60), || place.join("ports").exists()), "it listens on nothing");
        let ports = std::fs::read_to_string(place.join("ports")).unwrap();
        for port in ports.split(' ').map(|port| port.parse::<u16>().unwrap()) {
            for address in ["127.0.0.1", "127.0.0.2", "::1"] {
                assert!(TcpStream::connect((address, port)).is_err(), "{address}:{port} answers");
            }
        }
        let other = Attack::new(&format!(
            "for port in {:?}.split():\n\tfor address in ['127.0.0.1', '::1', '198.18.0.1']: attempt('other', lambda: socket.create_connection((address, int(port)), 5))\n",
            ports
        ));
        assert_none(Tier::Full, &inside(Tier::Full, &other.unwrap(), &host, &[]), 9);
        place.write("go", "");
        let answers = guest.join().unwrap();
        answers.assert("own", &["ok"]);
        answers.assert("came", &["EAGAIN"]);
        assert_eq!(answers.printed.matches("came EAGAIN").count(), 2, "{answers:?}");
    });
}

#[test]
fn net_24_a_relay_inside_reaches_no_more_than_whoever_asks_it() {
    let (host, other) = (Host::http(), Host::http());
    let Some(attack) = Attack::new(&format!(
        "{WAY}
server = socket.socket(); server.bind(('127.0.0.1', 0)); server.listen()
def relay():
    while True:
        inner = server.accept()[0]; host, port = inner.recv(200).split()[1].decode().rsplit(':', 1)
        try: outer = socket.create_connection((host, int(port)), 10)
        except OSError: inner.sendall(b'HTTP/1.1 403 no\\r\\n\\r\\n'); inner.close(); continue
        inner.sendall(b'HTTP/1.1 200 ok\\r\\n\\r\\n'); part = b'x'
        try:
            outer.sendall(inner.recv(999))
            while part: part = outer.recv(4096); inner.sendall(part)
        except OSError: pass
        inner.close()
threading.Thread(target=relay, daemon=True).start()
os.environ['ALL_PROXY'] = 'http://a:b@127.0.0.1:%d' % server.getsockname()[1]
named, other = int(os.environ['PORT']), int(os.environ['OTHER'])
attempt('named', lambda: get('ok.test', named))
for host, port in [('other.test', other), ('127.0.0.1', other), ('192.0.2.1', named), ('ok.test', other)]: attempt('refused', lambda: get(host, port))
"
    )) else {
        return;
    };
    let env = format!("OTHER={}", other.port());
    let answers = inside(Tier::Full, &attack, &host, &["--env", &env, "--resolve", "other.test=127.0.0.1"]);
    answers.assert("named", &["ok"]);
    assert_eq!(answers.printed.lines().filter(|line| line.starts_with("refused E")).count(), 4, "{answers:?}");
    assert_eq!((host.arrived(), other.arrived()), (1, 0), "{answers:?}");
}
