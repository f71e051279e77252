//! `network.mode = "allowlist"` where no namespace can be made: a proxy of the run's own is all that it can connect to, and ordinary
//! programs find it. The servers are the witness.

use cofferdam_tests::attack::{Attack, Tier};
use cofferdam_tests::host::Host;
use cofferdam_tests::https::Https;
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;
use serde_json::Value;

#[track_caller]
fn shell(scratch: &Scratch, options: &[String], line: &str) -> Value {
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    Tier::Landlock.shell(scratch.path(), &options, line)
}

fn stdout(result: &Value) -> &str {
    result["stdout"].as_str().unwrap_or_default()
}

fn denial<'a>(result: &'a Value, subject: &str) -> Option<&'a Value> {
    result["denials"].as_array()?.iter().find(|denial| denial["subject"] == subject)
}

#[test]
fn p6_curl_python_and_node_reach_what_is_named_and_are_counted() {
    let host = Host::http();
    let url = format!("http://api.test:{}/", host.port());
    for (program, line) in [
        ("curl", format!("curl -sS {url}")),
        ("curl", format!("curl -sS -x socks5h://${{ALL_PROXY#http://}} {url}")),
        (
            "python3",
            format!("python3 -c 'import urllib.request as u; print(u.urlopen(\"{url}\").read().decode(), end=\"\")'"),
        ),
        ("node", format!("node -e 'fetch(\"{url}\").then(r => r.text()).then(t => process.stdout.write(t))'")),
    ] {
        if skip::program(program).is_none() || (program == "node" && !node_takes_proxies()) {
            continue;
        }
        let before = host.arrived();
        let result = shell(&Scratch::new(), &host.named("api.test"), &line);
        assert_eq!(stdout(&result), format!("hello api.test:{}\n", host.port()), "{line}: {result}");
        assert_eq!(host.arrived(), before + 1, "{line}");
        let counted = &result["network"][0];
        assert_eq!(
            (&counted["host"], &counted["port"]),
            (&Value::from("api.test"), &Value::from(host.port())),
            "{result}"
        );
        assert_eq!(counted["connections"], 1, "{result}");
        assert!(counted["received_bytes"].as_u64().unwrap() > 60 && counted["sent_bytes"].as_u64().unwrap() > 30);
    }
}

/// Node.js looks for a proxy of the environment since its versions 22.21 and 24.
pub(crate) fn node_takes_proxies() -> bool {
    let told = std::process::Command::new("node").arg("--help").output();
    let takes = told.is_ok_and(|told| String::from_utf8_lossy(&told.stdout).contains("NODE_USE_ENV_PROXY"));
    if !takes {
        skip::skipped("this Node.js uses no proxy of the environment");
    }
    takes
}

#[test]
fn p6_https_is_reached_by_its_name() {
    let Some(host) = Https::new(&["secure.test"]) else { return };
    let place = Scratch::new();
    place.write("ca.pem", &host.certificate());
    for (program, line) in [
        ("curl", "curl -sS --cacert ca.pem https://secure.test/"),
        (
            "python3",
            "python3 -c 'import ssl, urllib.request as u
print(u.urlopen(\"https://secure.test/\", context=ssl.create_default_context(cafile=\"ca.pem\")).read().decode(), end=\"\")'",
        ),
        (
            "node",
            "NODE_EXTRA_CA_CERTS=ca.pem node -e 'fetch(\"https://secure.test/\").then(r => r.text()).then(t => process.stdout.write(t))'",
        ),
    ] {
        if skip::program(program).is_none() || (program == "node" && !node_takes_proxies()) {
            continue;
        }
        let result = shell(&place, &host.named("secure.test"), line);
        assert_eq!(stdout(&result), "hello secure.test\n", "{line}: {result}");
    }
}

#[test]
fn p6_git_clones_over_http() {
    if skip::program("git").is_none() || skip::python().is_none() {
        return;
    }
    let (served, place) = (Scratch::new(), Scratch::new());
    let made = std::process::Command::new("sh")
        .args([
            "-c",
            "git init -q a && cd a && git -c user.email=a@b -c user.name=n commit -q --allow-empty -m first && \
                      cd .. && git clone -q --bare a r.git && cd r.git && git update-server-info",
        ])
        .current_dir(served.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let folder = served.path().to_owned();
    let host = Host::new(move |stream| files(stream, &folder));
    let line = format!("git clone -q http://git.test:{}/r.git b && git -C b log --format=%s", host.port());
    let result = shell(&place, &host.named("git.test"), &line);
    assert_eq!(stdout(&result), "first\n", "{result}");
}

fn files(mut stream: std::net::TcpStream, folder: &std::path::Path) -> std::io::Result<()> {
    use std::io::{Read, Write};
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte)? == 0 {
            return Ok(());
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split([' ', '?']).nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
    let (status, bytes) = match std::fs::read(folder.join(path)) {
        Ok(bytes) => ("200 OK", bytes),
        Err(_) => ("404 Not Found", Vec::new()),
    };
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", bytes.len())?;
    stream.write_all(&bytes)
}

#[test]
fn p6_what_no_rule_names_is_refused_and_told_by_name() {
    if skip::program("curl").is_none() {
        return;
    }
    let (host, other) = (Host::http(), Host::http());
    let (port, closed) = (host.port(), other.port());
    let mut options = host.named("api.test");
    options.extend(other.leads("other.test"));
    let line = format!(
        "for url in other.test:{port} 192.0.2.7:{port} api.test:{closed} 127.0.0.1:{closed}; do \
           curl -sS -o /dev/null -w '%{{http_code}}\n' http://$url/; done; curl -sS https://other.test/; echo $?"
    );
    let result = shell(&Scratch::new(), &options, &line);
    assert_eq!(stdout(&result), "403\n403\n403\n403\n56\n", "{result}");
    for subject in [
        format!("other.test:{port}"),
        format!("192.0.2.7:{port}"),
        format!("api.test:{closed}"),
        format!("127.0.0.1:{closed}"),
        "other.test:443".to_owned(),
    ] {
        let denial = denial(&result, &subject).unwrap_or_else(|| panic!("{subject} is not told of: {result}"));
        assert_eq!(
            (&denial["access"], &denial["program"]),
            (&Value::from("network.connect"), &Value::from("curl")),
            "{denial}"
        );
        assert!(denial["remedy"].as_str().is_some_and(|remedy| remedy.contains("network.allow")), "{denial}");
    }
    assert_eq!((host.arrived(), other.arrived()), (0, 0));
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let run = ["curl", "-fsS", &format!("http://other.test:{port}/")].map(str::to_owned);
    let run: Vec<&str> = run.iter().map(String::as_str).collect();
    let output = Tier::Landlock.run(Scratch::new().path(), &options, &run).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains(&format!("network.connect of other.test:{port} for curl")), "{told}");
    assert!(told.contains(&format!("network.allow = [\"other.test:{port}\"]")), "{told}");
}

#[test]
fn net_14_a_name_that_leads_to_this_machine_is_refused_unless_that_is_named() {
    if skip::program("curl").is_none() {
        return;
    }
    let host = Host::http();
    let port = host.port();
    for address in ["127.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "0.0.0.0", "64:ff9b::a9fe:a9fe"] {
        let options = ["--resolve", &format!("sly.test={address}"), "--allow-net", &format!("sly.test:{port}")]
            .map(str::to_owned);
        let result =
            shell(&Scratch::new(), &options, &format!("curl -sS -m 5 -w '%{{http_code}}' http://sly.test:{port}/"));
        assert!(stdout(&result).ends_with("403"), "{address}: {result}");
        let denial = denial(&result, &format!("sly.test:{port}")).unwrap_or_else(|| panic!("{address}: {result}"));
        assert!(denial["resolved"].is_string(), "{denial}");
        assert_eq!(host.arrived(), 0, "{address}: {result}");
    }
}

/// Attempts to get past the proxy. Outside, where nobody forbids them, each reaches the host's own servers.
const PAST_IT: &str = "
port = int(os.environ['PORT'])
def arrives(s): s.settimeout(10); s.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n'); s.recv(9) or 1/0
def tcp(family, address):
    s = socket.socket(family, socket.SOCK_STREAM); s.settimeout(10); s.connect(address); arrives(s)
def fast_open(send):
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM); send(s); s.recv(9)
def listens():
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM); s.listen(1)
    socket.create_connection(('127.0.0.1', s.getsockname()[1]), 5)
def bound():
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM); s.bind(('127.0.0.1', 0)); s.listen(1)
def fixed():
    probe = socket.socket(socket.AF_INET, socket.SOCK_STREAM); probe.bind(('127.0.0.1', 0)); free = probe.getsockname()[1]; probe.close()
    socket.socket(socket.AF_INET, socket.SOCK_STREAM).bind(('127.0.0.1', free))
def no_family():
    probe = socket.socket(socket.AF_INET, socket.SOCK_STREAM); probe.bind(('127.0.0.1', 0)); free = probe.getsockname()[1]; probe.close()
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if libc.bind(s.fileno(), bytes(2) + struct.pack('>H', free) + bytes(12), 16): raise OSError(ctypes.get_errno(), 'bind')
def twice():
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM); s.settimeout(10)
    if 'MINE' in os.environ: s.connect(('127.0.0.1', int(os.environ['ALL_PROXY'].rsplit(':', 1)[1]))); libc.connect(s.fileno(), bytes(16), 16)
    s.connect(('127.0.0.1', port)); arrives(s)
def datagram(family, address): s = socket.socket(family, socket.SOCK_DGRAM); s.sendto(b'x', address)
def deferred():
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM); s.setsockopt(socket.IPPROTO_TCP, 30, 1); s.connect(('127.0.0.1', port)); arrives(s)
attempt('direct', lambda: tcp(socket.AF_INET, ('127.0.0.1', port)))
attempt('mapped', lambda: tcp(socket.AF_INET6, ('::ffff:127.0.0.1', port)))
attempt('any', lambda: tcp(socket.AF_INET, ('0.0.0.0', port)))
attempt('again', twice)
attempt('deferred', deferred)
attempt('fast_open_sendto', lambda: fast_open(lambda s: s.sendto(b'GET / HTTP/1.0\\r\\n\\r\\n', 0x20000000, ('127.0.0.1', port))))
attempt('fast_open_sendmsg', lambda: fast_open(lambda s: s.sendmsg([b'GET / HTTP/1.0\\r\\n\\r\\n'], [], 0x20000000, ('127.0.0.1', port))))
attempt('listen', listens)
attempt('bound', bound)
attempt('fixed', fixed)
attempt('no_family', no_family)
attempt('datagram', lambda: datagram(socket.AF_INET, ('127.0.0.1', port)))
attempt('name_server', lambda: datagram(socket.AF_INET, ('127.0.0.53', 53)))
attempt('datagram_6', lambda: datagram(socket.AF_INET6, ('::1', port)))
attempt('netlink', lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0))
";

#[test]
fn net_01_02_03_05_11_25_nothing_but_the_proxy_is_reached() {
    let (host, named) = (Host::http(), Host::http());
    let Some(attack) = Attack::new(PAST_IT) else { return };
    let port = host.port().to_string();
    let control = Attack::outside(
        &Attack::new(&format!("os.environ['PORT'] = '{port}'\n{PAST_IT}")).unwrap(),
        Scratch::new().path(),
    );
    control.assert_control(15);
    let before = host.arrived();
    let options =
        [named.named("api.test"), ["--env", &format!("PORT={port}"), "--env", "MINE=1"].map(str::to_owned).to_vec()]
            .concat();
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let answers = attack.inside(Tier::Landlock, Scratch::new().path(), &options);
    answers.assert_each(15, &["EACCES", "EPERM", "ENOTSUP", "EOPNOTSUPP"]);
    assert_eq!(host.arrived(), before, "{answers:?}");
    assert!(answers.is_recorded(&format!("127.0.0.1:{port}")), "{answers:?}");
}

/// Sockets that could reach something past what is looked at.
const OTHER_KINDS: &str =
    "datagram datagram_6 icmp raw packet mptcp sctp smc seqpacket vsock netlink alg xdp high_bits";

#[test]
fn net_04_06_07_ipc_08_no_other_kind_of_socket_can_be_made() {
    let Some(attack) = Attack::new(
        "
for name, family, kind, protocol in [
    ('datagram', 2, 2, 0), ('datagram_6', 10, 2, 0), ('icmp', 2, 2, 1), ('raw', 2, 3, 1), ('packet', 17, 3, 0), ('mptcp', 2, 1, 262),
    ('sctp', 2, 1, 132), ('smc', 2, 1, 256), ('seqpacket', 2, 5, 132), ('vsock', 40, 1, 0), ('netlink', 16, 3, 0), ('alg', 38, 5, 0),
    ('xdp', 44, 3, 0), ('high_bits', 2 | 1 << 32, 2, 0)]:
    attempt(name, lambda: os.close(call(41 if os.uname().machine == 'x86_64' else 198, family, kind, protocol)))
attempt('tcp', lambda: socket.socket(2, 1, 0))
attempt('tcp_by_number', lambda: socket.socket(10, 1, 6))
",
    ) else {
        return;
    };
    let host = Host::http();
    let named = host.named("api.test");
    let named: Vec<&str> = named.iter().map(String::as_str).collect();
    let listen = ["--listen", "*:8000"];
    for options in [named.clone(), listen.to_vec(), [&named[..], &listen].concat()] {
        let answers = attack.inside(Tier::Landlock, Scratch::new().path(), &options);
        answers.assert("tcp", &["ok"]);
        answers.assert("tcp_by_number", &["ok"]);
        for name in OTHER_KINDS.split(' ') {
            answers.assert(name, &["EPERM", "EPROTONOSUPPORT", "EAFNOSUPPORT", "EACCES"]);
        }
    }
}

#[test]
fn net_26_a_run_reaches_no_proxy_but_its_own_and_others_get_nothing_of_it() {
    use std::io::{Read, Write};
    let (mine, theirs) = (Host::http(), Host::http());
    let Some(waits) = Attack::new(
        "
write('proxy', os.environ['ALL_PROXY'])
end = time.monotonic() + 60
while not os.path.exists('go') and time.monotonic() < end: time.sleep(0.01)
import urllib.request
print(urllib.request.urlopen('http://theirs.test:' + os.environ['PORT'] + '/').read().decode(), end='')
attempt('waited', lambda: None)
",
    ) else {
        return;
    };
    let place = Scratch::new();
    let env = |port: u16| ["--env".to_owned(), format!("PORT={port}")].to_vec();
    let options = [theirs.named("theirs.test"), env(theirs.port())].concat();
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    std::thread::scope(|scope| {
        let other = scope.spawn(|| waits.inside(Tier::Landlock, place.path(), &options));
        let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
        let url = loop {
            assert!(std::time::Instant::now() < end, "the other run did not begin");
            match std::fs::read_to_string(place.join("proxy")) {
                Ok(url) if url.starts_with("http://") => break url,
                _ => std::thread::sleep(std::time::Duration::from_millis(10)),
            }
        };
        let (_, address) = url.rsplit_once('@').unwrap();
        for head in
            ["CONNECT theirs.test:1 HTTP/1.1\r\n\r\n", "GET http://theirs.test/ HTTP/1.1\r\nHost: theirs.test\r\n\r\n"]
        {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            stream.write_all(head.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 407 "), "{answer}");
        }
        let attack = Attack::new(
            "
url = os.environ['STOLEN']
def steal():
    host, port = url.rsplit('@', 1)[1].split(':'); socket.create_connection((host, int(port)), 10)
attempt('stolen', steal)
",
        );
        let options = [mine.named("mine.test"), ["--env".to_owned(), format!("STOLEN={url}")].to_vec()].concat();
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        attack.unwrap().inside(Tier::Landlock, Scratch::new().path(), &options).assert("stolen", &["EACCES"]);
        place.write("go", "");
        let answers = other.join().unwrap();
        assert!(answers.printed.contains(&format!("hello theirs.test:{}", theirs.port())), "{answers:?}");
        assert_eq!((mine.arrived(), theirs.arrived()), (0, 1));
    });
}

#[test]
fn net_16_17_18_22_what_is_smuggled_into_a_request_reaches_nobody() {
    let (host, other) = (Host::http(), Host::http());
    let Some(attack) = Attack::new(
        "
import base64
host, other = os.environ['HOST'], os.environ['OTHER']
user, _, place = os.environ['ALL_PROXY'][len('http://'):].rpartition('@')
own = 'Proxy-Authorization: Basic ' + base64.b64encode(user.encode()).decode() + '\\r\\n'
def ask(text):
    s = socket.create_connection(('127.0.0.1', int(place.split(':')[1])), 10); s.sendall(text.encode('latin-1'))
    answer = b''
    try:
        while part := s.recv(4096): answer += part
    except OSError: pass
    return answer.split(b'\\r\\n')[0].decode('latin-1')
def socks(name):
    s = socket.create_connection(('127.0.0.1', int(place.split(':')[1])), 10); name = name.encode('latin-1')
    who, secret = [part.encode() for part in user.split(':')]
    s.sendall(b'\\x05\\x01\\x02'); s.recv(2); s.sendall(bytes([1, len(who)]) + who + bytes([len(secret)]) + secret); s.recv(2)
    s.sendall(bytes([5, 1, 0, 3, len(name)]) + name + int(other).to_bytes(2, 'big')); return s.recv(10)[1]
ways = ['other.test:' + other, 'api.test:' + other, 'api.test@other.test:' + other, 'user:pw@api.test:' + host, '127.0.0.1:' + other,
    '2130706433:' + other, '0177.0.0.1:' + other, '0x7f.1:' + other, '127.1:' + other, '[::1]:' + other, '[::ffff:127.0.0.1]:' + other,
    '[::ffff:7f00:1]:' + other, '[::1%25lo]:' + other, '%31%32%37.0.0.1:' + other, 'api.test%00.other.test:' + other, '\u{ef}pi.test:' + other,
    'api.test:' + host + '/../' + other, 'api.test:' + host + '#' + other, 'api.test:0', 'api.test:65536', 'api.test:' + host + 'x', 'api.test',
    'api.test:' + host + '\\r\\nX: y', 'x' * 40000 + ':' + other]
for way in ways: print('#', ask('CONNECT ' + way + ' HTTP/1.1\\r\\n' + own + '\\r\\n'), way[:40].encode())
for text in ['CONNECT api.test:' + host + ' HTTP/1.1\\r\\nHost: api.test\\r\\n other\\r\\n' + own + '\\r\\n',
    'GET http://api.test:' + host + '/ HTTP/1.1\\r\\nHost: other.test:' + other + '\\r\\n' + own + '\\r\\n',
    'GET http://api.test:' + host + '/ HTTP/1.1\\r\\nHost: api.test:' + host + '\\r\\nContent-Length: 0\\r\\nTransfer-Encoding: chunked\\r\\n' + own + '\\r\\n',
    'GET http://api.test:' + host + '/\\r\\nHost: x\\r\\n\\r\\n', 'GET http://api.test:' + host + '/ HTTP/1.1\\n' + own + '\\n',
    'GET https://api.test:' + host + '/ HTTP/1.1\\r\\nHost: api.test:' + host + '\\r\\n' + own + '\\r\\n']:
    print('#', ask(text), text[:60].encode())
for name in ['other.test', 'evil\\0.api.test', 'api.test\\r\\nX: y', '', 'a' * 255, '127.0.0.1', '::1', '2130706433']: print('%', socks(name), name[:40].encode())
print('!', ask('CONNECT api.test:' + host + ' HTTP/1.1\\r\\n' + own + '\\r\\nGET / HTTP/1.0\\r\\n\\r\\n'))
attempt('done', lambda: None)
",
    ) else {
        return;
    };
    let ports =
        ["--env".to_owned(), format!("HOST={}", host.port()), "--env".to_owned(), format!("OTHER={}", other.port())];
    let options = [host.named("api.test"), other.leads("other.test"), ports.to_vec()].concat();
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let answers = attack.inside(Tier::Landlock, Scratch::new().path(), &options);
    answers.assert("done", &["ok"]);
    let lines = |mark: char| answers.printed.lines().filter(move |line| line.starts_with(mark)).collect::<Vec<_>>();
    assert_eq!((lines('#').len(), lines('%').len()), (30, 8), "{answers:?}");
    for line in lines('#') {
        assert!(
            ["# HTTP/1.1 400 ", "# HTTP/1.1 403 ", "# HTTP/1.1 431 "].iter().any(|one| line.starts_with(one)),
            "{line}"
        );
    }
    assert!(lines('%').iter().all(|line| line.starts_with("% 2 ")), "{answers:?}");
    assert_eq!(lines('!'), ["! HTTP/1.1 200 Connection established"], "control");
    assert_eq!((host.arrived(), other.arrived()), (1, 0), "{answers:?}");
}

#[test]
fn p6_what_cannot_be_held_without_namespaces_is_refused_beforehand() {
    let place = Scratch::new();
    place.write(
        "policy.toml",
        "version = 1\nextends = \"dev\"\nisolation.require = \"landlock\"\n[network]\nmode = \"allowlist\"\nallow = [\"api.test:443\", \"udp://api.test:443\"]\n",
    );
    let policy = place.join("policy.toml").display().to_string();
    let output = Tier::Landlock.run(place.path(), &["--policy", &policy], &["true"]).output().unwrap();
    assert!(!output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("udp://"), "{output:?}");
}

#[test]
fn p6_much_data_arrives_whole_both_ways_through_the_proxy() {
    if skip::program("curl").is_none() {
        return;
    }
    const BYTES: usize = 32 << 20;
    let (host, place) = (Host::http(), Scratch::new());
    let expected: Vec<u8> = (0..BYTES / 65_536).flat_map(cofferdam_tests::host::block).collect();
    std::fs::write(place.join("expected"), expected).unwrap();
    let port = host.port();
    let line = format!(
        "url=http://big.test:{port}; curl -sS $url/bytes/{BYTES} | cmp - expected && echo same; \
         curl -sS -p $url/bytes/{BYTES} | cmp - expected && echo same; \
         curl -sS --data-binary @expected $url/post; echo; curl -sS -p --data-binary @expected $url/post"
    );
    let result = shell(&place, &host.named("big.test"), &line);
    assert_eq!(stdout(&result), format!("same\nsame\n{BYTES}\n{BYTES}"), "{result}");
    let bytes = |key: &str| result["network"][0][key].as_u64().unwrap();
    let both = 2 * BYTES as u64;
    assert!((both..both + 8192).contains(&bytes("received_bytes")), "{result}");
    assert!((both..both + 8192).contains(&bytes("sent_bytes")), "{result}");
}
