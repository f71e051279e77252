//! With `network.mode = "deny"` nothing is reached and nothing answers, by any protocol; the listeners of the host are the witness.

use cofferdam_tests::attack::{Attack, TIERS, Tier};
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

/// Listeners of the host on loopback, IPv4 and IPv6, for connections and datagrams.
struct Host {
    connections: Vec<TcpListener>,
    datagrams: Vec<UdpSocket>,
}

impl Host {
    fn new() -> Self {
        let six = TcpListener::bind("[::1]:0");
        let connections: Vec<_> = [TcpListener::bind("127.0.0.1:0"), six].into_iter().flatten().collect();
        let datagrams: Vec<_> =
            [UdpSocket::bind("127.0.0.1:0"), UdpSocket::bind("[::1]:0")].into_iter().flatten().collect();
        for listener in &connections {
            listener.set_nonblocking(true).unwrap();
        }
        for socket in &datagrams {
            socket.set_nonblocking(true).unwrap();
        }
        Self { connections, datagrams }
    }

    /// What a script needs to find them.
    fn prelude(&self) -> String {
        format!(
            "tcp = {}; udp = {}; tcp6 = {}\nAF = {{'4': (socket.AF_INET, '127.0.0.1'), '6': (socket.AF_INET6, '::1')}}\n",
            self.connections[0].local_addr().unwrap().port(),
            self.datagrams[0].local_addr().unwrap().port(),
            self.connections.last().unwrap().local_addr().unwrap().port()
        )
    }

    /// How many connections and datagrams arrived since it was last asked.
    fn arrived(&self) -> usize {
        let connections = self.connections.iter().map(|listener| std::iter::from_fn(|| listener.accept().ok()).count());
        let mut buffer = [0; 64];
        let mut count = connections.sum();
        for socket in &self.datagrams {
            while socket.recv(&mut buffer).is_ok() {
                count += 1;
            }
        }
        count
    }
}

/// Refusals of a network that is not there, by either wall: no route, no listener of its own, no such socket.
const REFUSED: [&str; 8] = [
    "ENETUNREACH",
    "ECONNREFUSED",
    "EPERM",
    "EACCES",
    "EAFNOSUPPORT",
    "EPROTONOSUPPORT",
    "EADDRNOTAVAIL",
    "ENOPROTOOPT",
];

/// Outside each attempt succeeds and something arrives; inside each is refused, and nothing arrives.
#[track_caller]
fn assert_unreached(count: usize, attempts: &str) {
    let host = Host::new();
    let Some(attack) = Attack::new(&format!("{}{attempts}", host.prelude())) else { return };
    let place = Scratch::new();
    attack.outside(place.path()).assert_control(count);
    std::thread::sleep(Duration::from_millis(20));
    assert!(host.arrived() > 0, "control: nothing arrived");
    for tier in TIERS {
        let answers = attack.inside(tier, place.path(), &[]);
        answers.assert_each(count, &REFUSED);
        assert_eq!(host.arrived(), 0, "{tier:?}: {answers:?}");
    }
}

#[test]
fn net_01_no_connection_leaves() {
    assert_unreached(
        3,
        "
attempt('four', lambda: socket.create_connection(('127.0.0.1', tcp), 1))
attempt('six', lambda: socket.create_connection(('::1', tcp6), 1) if tcp6 != tcp else socket.create_connection(('127.0.0.1', tcp), 1))
attempt('later', lambda: (lambda s: (s.settimeout(1), s.connect(('127.0.0.1', tcp)), s.send(b'x')))(socket.socket()))
",
    );
    // Beyond this machine there is nothing to be a control: only that the answer comes at once.
    let Some(attack) = Attack::new(
        "for name, address in [('unlisted', ('192.0.2.1', 80)), ('metadata', ('169.254.169.254', 80)), ('broadcast', ('255.255.255.255', 9))]:\n\
         \tattempt(name, lambda: socket.create_connection(address, 5))\n\
         attempt('multicast', lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('224.0.0.1', 9)))\n",
    ) else {
        return;
    };
    for tier in TIERS {
        attack.inside(tier, Scratch::new().path(), &[]).assert_each(4, &REFUSED);
    }
}

#[test]
fn net_02_no_datagram_leaves() {
    let host = Host::new();
    let body = format!(
        "{}
def send(s, *rest): return s.sendto(b'x', *rest)
def pair(): s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(('127.0.0.1', udp)); s.send(b'x')
attempt('sendto', lambda: send(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), ('127.0.0.1', udp)))
attempt('connected', pair)
attempt('message', lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendmsg([b'x'], [], 0, ('127.0.0.1', udp)))
attempt('lite', lambda: send(socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 136), ('127.0.0.1', udp)))
",
        host.prelude()
    );
    let Some(attack) = Attack::new(&body) else { return };
    let place = Scratch::new();
    attack.outside(place.path()).assert("sendto", &["ok"]);
    std::thread::sleep(Duration::from_millis(20));
    assert!(host.arrived() >= 3, "control");
    for tier in TIERS {
        let answers = attack.inside(tier, place.path(), &[]);
        for name in ["sendto", "connected", "message", "lite"] {
            // In a network of its own a datagram to loopback goes to that loopback, and there it ends.
            answers.assert(
                name,
                if tier == Tier::Full { &["ok", "ECONNREFUSED", "EPROTONOSUPPORT", "EPERM"] } else { &REFUSED },
            );
        }
        assert_eq!(host.arrived(), 0, "{tier:?}: {answers:?}");
    }
}

#[test]
fn net_03_data_in_the_opening_of_a_connection_does_not_arrive() {
    assert_unreached(
        2,
        "
FAST = 0x20000000
attempt('sendto', lambda: socket.socket().sendto(b'SECRET', FAST, ('127.0.0.1', tcp)))
attempt('sendmsg', lambda: socket.socket().sendmsg([b'SECRET'], [], FAST, ('127.0.0.1', tcp)))
",
    );
}

#[test]
fn net_04_multipath_is_no_way_around() {
    assert_unreached(
        1,
        "attempt('mptcp', lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262).connect(('127.0.0.1', tcp)))\n",
    );
    // Programs that try it first fall back to TCP, which must work where there is a loopback of one's own.
    let Some(attack) = Attack::new(
        "
def listen():
    try: s = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
    except OSError: s = socket.socket()
    s.bind(('127.0.0.1', 0)); s.listen(); c = socket.create_connection(s.getsockname()); c.send(b'x'); s.accept()[0].recv(1)
attempt('fallback', listen)
",
    ) else {
        return;
    };
    let inside = Scratch::new();
    attack.inside(Tier::Full, inside.path(), &[]).assert("fallback", &["ok"]);
    attack.inside(Tier::Landlock, inside.path(), &[]).assert("fallback", &REFUSED);
}

#[test]
fn net_05_whatever_the_guest_listens_on_is_not_reached_from_outside() {
    let body = "
s = socket.socket()
attempt('listen', s.listen)
try: port = s.getsockname()[1]
except OSError: port = 0
n = socket.socket(); attempt('bind', lambda: (n.bind(('0.0.0.0', 0)), n.listen()))
other = n.getsockname()[1]
with open('ports.new', 'w') as f: f.write('%d %d' % (port, other))
os.rename('ports.new', 'ports')
end = time.monotonic() + 10
while not os.path.exists('go') and time.monotonic() < end: time.sleep(0.01)
";
    let Some(attack) = Attack::new(body) else { return };
    let reach = |place: &Scratch| {
        let found = cofferdam_tests::observe::within(Duration::from_secs(10), || place.join("ports").exists());
        assert!(found, "no ports were told");
        let ports = std::fs::read_to_string(place.join("ports")).unwrap();
        let ports: Vec<u16> = ports.split(' ').map(|port| port.parse().unwrap()).filter(|port| *port != 0).collect();
        let reached = ports.iter().filter(|port| TcpStream::connect(("127.0.0.1", **port)).is_ok()).count();
        place.write("go", "");
        reached
    };
    for tier in TIERS {
        let inside = Scratch::new();
        std::thread::scope(|scope| {
            let guest = scope.spawn(|| attack.inside(tier, inside.path(), &[]));
            if tier == Tier::Landlock {
                // There is no socket to listen with: the script ends before it tells a port.
                let answers = guest.join().unwrap();
                return assert!(answers.of("listen").is_none() && !inside.join("ports").exists(), "{answers:?}");
            }
            let reached = reach(&inside);
            let answers = guest.join().unwrap();
            assert_eq!(reached, 0, "{tier:?}: {answers:?}");
        });
    }
    let outside = Scratch::new();
    let reached = std::thread::scope(|scope| {
        let guest = scope.spawn(|| attack.outside(outside.path()));
        let reached = reach(&outside);
        guest.join().unwrap();
        reached
    });
    assert_eq!(reached, 2, "control");
}

#[test]
fn net_06_07_unusual_sockets_are_not_made() {
    let body = "
for name, family, kind, protocol in [('sctp', 2, 1, 132), ('sctp-seq', 2, 5, 132), ('dccp', 2, 6, 33), ('smc', 43, 1, 0), ('rds', 21, 5, 0),
        ('tipc', 30, 1, 0), ('ax25', 3, 5, 0), ('alg', 38, 5, 0), ('vsock', 40, 1, 0), ('xdp', 44, 3, 0), ('packet', 17, 3, 0), ('raw', 2, 3, 1),
        ('ping', 2, 2, 1), ('can', 29, 3, 1), ('bluetooth', 31, 3, 0), ('key', 15, 3, 2), ('nfc', 39, 5, 0), ('qipcrtr', 42, 2, 0), ('mctp', 45, 2, 0)]:
    attempt(name, lambda: socket.socket(family, kind, protocol))
";
    let Some(attack) = Attack::new(body) else { return };
    for tier in TIERS {
        let answers = attack.inside(tier, Scratch::new().path(), &[]);
        answers.assert_each(19, &["EPERM", "EACCES", "EAFNOSUPPORT", "EPROTONOSUPPORT", "ESOCKTNOSUPPORT", "EINVAL"]);
    }
    // Those that this kernel has work outside; without them there is nothing to be refused.
    let control = attack.outside(Scratch::new().path());
    assert!(["vsock", "alg"].iter().any(|name| control.of(name) == Some("ok")), "control: {control:?}");
    if nix::unistd::geteuid().is_root() {
        control.assert("packet", &["ok"]);
        control.assert("raw", &["ok"]);
    } else {
        skip::skipped("the control of raw sockets needs root");
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn net_06_other_ways_to_a_socket_are_shut_too() {
    // The 32-bit forms answer as calls that do not exist; a pair of sockets is no way out.
    let body = "
attempt('x32', lambda: call(0x40000000 | 41, 2, 1, 0))
attempt('mptcp-pair', lambda: call(53, 2, 1, 262, bytes(8)))
attempt('inet-pair', lambda: call(53, 2, 1, 0, bytes(8)))
attempt('io_uring', lambda: call(425, 8, bytes(128)))
";
    let Some(attack) = Attack::new(body) else { return };
    for tier in TIERS {
        let refused = ["ENOSYS", "EPERM", "EOPNOTSUPP", "ENOTSUP", "EAFNOSUPPORT", "EPROTONOSUPPORT", "EACCES"];
        attack.inside(tier, Scratch::new().path(), &[]).assert_each(4, &refused);
    }
    attack.outside(Scratch::new().path()).assert("io_uring", &["ok", "EPERM"]);
}

#[test]
fn net_08_no_address_route_or_link_is_made() {
    let body = "
def netlink(kind, flags, payload):
    s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0); s.settimeout(2)
    s.send(struct.pack('IHHII', 16 + len(payload), kind, flags | 5, 1, 0) + payload)
    answer = s.recv(4096); code = struct.unpack_from('i', answer, 16)[0]
    if struct.unpack_from('H', answer, 4)[0] == 2 and code: raise OSError(-code, 'netlink')
attempt('link', lambda: netlink(16, 0x600, struct.pack('BBHiII', 0, 0, 0, 0, 0, 0) + struct.pack('HH', 20, 18) + struct.pack('HH', 10, 1) + b'dummy\\0\\0\\0' + bytes(4)))
attempt('address', lambda: netlink(20, 0x600, struct.pack('BBBBI', 2, 24, 0, 0, 1) + struct.pack('HH', 8, 2) + bytes([10, 9, 9, 9])))
attempt('route', lambda: netlink(24, 0x600, struct.pack('BBBBBBBBI', 2, 0, 0, 0, 254, 3, 0, 1, 0) + struct.pack('HHI', 8, 4, 1)))
attempt('filter', lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12).send(struct.pack('IHHII', 20, 16, 5, 1, 0) + bytes(4)))
";
    let Some(attack) = Attack::new(body) else { return };
    for tier in TIERS {
        let answers = attack.inside(tier, Scratch::new().path(), &[]);
        for name in ["link", "address", "route"] {
            answers.assert(name, &["EPERM", "EACCES", "EAFNOSUPPORT", "EOPNOTSUPP"]);
        }
        // The filter's answer is read by nobody here, so it is its socket that must not be made.
        answers.assert("filter", &["EPERM", "EACCES", "EAFNOSUPPORT", "EPROTONOSUPPORT"]);
    }
    let place = Scratch::new();
    std::fs::write(place.join("attack.py"), attack.text()).unwrap();
    let mut unshare = std::process::Command::new("unshare");
    let control = unshare.args(["-Urn", "python3", "attack.py"]).current_dir(place.path()).output().unwrap();
    assert!(String::from_utf8_lossy(&control.stdout).contains("address ok"), "control: {control:?}");
}

#[test]
fn ipc_08_the_hypervisor_is_not_reached() {
    let body = "
for name, cid in [('host', 2), ('local', 1), ('hypervisor', 0)]:
    def go():
        s = socket.socket(40, socket.SOCK_STREAM); s.settimeout(1); s.connect((cid, 1024))
    attempt(name, go)
attempt('datagram', lambda: socket.socket(40, socket.SOCK_DGRAM))
";
    let Some(attack) = Attack::new(body) else { return };
    for tier in TIERS {
        attack.inside(tier, Scratch::new().path(), &[]).assert_each(4, &["EPERM", "EAFNOSUPPORT", "EACCES"]);
    }
    // Outside such a socket is made, and whoever is asked answers or does not.
    let control = attack.outside(Scratch::new().path());
    if control.of("host").is_some_and(|answer| answer == "EAFNOSUPPORT") {
        return skip::skipped("this kernel has no vsock");
    }
    assert!(control.of("host").is_some_and(|answer| !["EPERM", "EACCES"].contains(&answer)), "control: {control:?}");
}

#[test]
fn net_28_an_empty_list_and_a_missing_section_allow_nothing() {
    let host = Host::new();
    let Some(attack) = Attack::new(&format!(
        "{}attempt('go', lambda: socket.create_connection(('127.0.0.1', tcp), 1))\n",
        host.prelude()
    )) else {
        return;
    };
    for (lines, starts) in [
        ("", true),
        ("[network]\nallow = []\n", true),
        ("[network]\nmode = \"deny\"\n", true),
        ("[network]\nallow = [\"\"]\n", false),
        ("[network]\nallow = [\"*\"]\n", false),
        ("[network]\nmode = \"\"\n", false),
    ] {
        for tier in TIERS {
            let inside = Scratch::new();
            let policy = inside.write("p.toml", &format!("version = 1\nextends = \"dev\"\n{lines}"));
            let answers = attack.inside(tier, inside.path(), &["--policy", policy.to_str().unwrap()]);
            if starts {
                // The tier of the policy is that of `dev`, which the option lowers.
                answers.assert("go", &REFUSED);
            } else {
                assert_eq!(answers.result["exit_code"], 125, "{lines}: {answers:?}");
            }
            assert_eq!(host.arrived(), 0, "{lines} {tier:?}: {answers:?}");
        }
    }
}
