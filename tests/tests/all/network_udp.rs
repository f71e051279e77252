//! Datagrams where an entry with `udp://` names the host: they arrive, by name and by address, from any program; all others are refused at
//! once, and told. The server is the witness.

use cofferdam_tests::attack::{Answers, Attack, TIERS, Tier};
use cofferdam_tests::datagrams::DatagramHost;
use cofferdam_tests::scratch::Scratch;
use cofferdam_tests::skip;
use serde_json::Value;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Sends and waits for the same to come back; `to` is looked up.
const ECHO: &str = "
port = int(os.environ['PORT'])
def echo(to, family, text=b'hello', port=port, wait=20):
    address = socket.getaddrinfo(to, port, family, socket.SOCK_DGRAM)[0][4]
    s = socket.socket(family, socket.SOCK_DGRAM); s.settimeout(wait)
    s.connect(address); s.send(text)
    got = s.recv(65536)
    if got != text: raise Exception('other: %r' % got[:20])
four, six = socket.AF_INET, socket.AF_INET6
";

/// Runs `body` after `ECHO`; `options` beside the port.
fn inside(host: &DatagramHost, options: &[String], body: &str) -> Option<Answers> {
    let attack = Attack::new(&format!("{ECHO}{body}"))?;
    let port = format!("PORT={}", host.port());
    let options: Vec<&str> = options.iter().map(String::as_str).chain(["--env", &port]).collect();
    Some(attack.inside(Tier::Full, Scratch::new().path(), &options))
}

fn told<'a>(answers: &'a Answers, name: &str) -> &'a Value {
    let told = answers.result["network"].as_array().and_then(|all| all.iter().find(|one| one["host"] == name));
    told.unwrap_or_else(|| panic!("{name} is not told of: {answers:?}"))
}

fn denial<'a>(answers: &'a Answers, subject: &str) -> &'a Value {
    let denials = answers.result["denials"].as_array();
    let denial = denials.and_then(|all| all.iter().find(|one| one["subject"] == subject));
    denial.unwrap_or_else(|| panic!("{subject} is not told of: {answers:?}"))
}

#[test]
fn net_02_what_an_entry_names_is_sent_to_by_name_and_by_address_and_counted() {
    let host = DatagramHost::echo();
    let Some(answers) = inside(
        &host,
        &host.named("quic.test"),
        "
attempt('name', lambda: echo('quic.test', four))
attempt('address', lambda: echo('127.0.0.1', four))
attempt('large', lambda: echo('quic.test', four, b'x' * 20000))
def unconnected():
    s = socket.socket(four, socket.SOCK_DGRAM); s.settimeout(20)
    to = (socket.gethostbyname('quic.test'), port); s.sendto(b'one', to); s.sendto(b'two', to)
    if {s.recvfrom(9), s.recvfrom(9)} != {(b'one', to), (b'two', to)}: raise Exception('other')
attempt('unconnected', unconnected)
import asyncio
class Protocol(asyncio.DatagramProtocol):
    def __init__(self, done): self.done = done
    def connection_made(self, transport): transport.sendto(b'async')
    def datagram_received(self, data, address): self.done.done() or self.done.set_result(data)
async def go():
    loop = asyncio.get_running_loop(); done = loop.create_future()
    await loop.create_datagram_endpoint(lambda: Protocol(done), remote_addr=('quic.test', port))
    if await asyncio.wait_for(done, 20) != b'async': raise Exception('other')
attempt('asyncio', lambda: asyncio.run(go()))
",
    ) else {
        return;
    };
    answers.assert_each(5, &["ok"]);
    let told = told(&answers, "quic.test");
    let counts = ["connections", "failed", "sent_bytes", "received_bytes"].map(|name| told[name].as_u64().unwrap());
    assert_eq!((&told["datagrams"], counts), (&Value::Bool(true), [4, 0, 20_016, 20_016]), "{told}");
    assert_eq!(host.arrived().0, 6);
}

#[test]
fn net_02_both_families_of_a_name_and_of_loopback_are_sent_to() {
    let host = DatagramHost::echo();
    if !host.has_v6() {
        return skip::skipped("this machine has no IPv6");
    }
    let body = "
attempt('name', lambda: echo('quic.test', six))
attempt('address', lambda: echo('::1', six))
attempt('other', lambda: echo('2001:db8::9', six, wait=5))
";
    let Some(answers) = inside(&host, &host.named("quic.test"), body) else { return };
    answers.assert("name", &["ok"]);
    answers.assert("address", &["ok"]);
    answers.assert("other", &["ECONNREFUSED"]);
    assert_eq!(host.arrived().0, 2);
}

#[test]
fn net_02_09_what_nobody_answers_is_told_in_both_versions_of_ip() {
    let host = DatagramHost::echo();
    if !host.has_v6() {
        return skip::skipped("this machine has no IPv6");
    }
    let body = "
def stream(to, family, port=81):
    s = socket.socket(family); s.settimeout(20); s.connect((to, port))
attempt('datagram-4', lambda: echo('192.0.2.9', four, port=81))
attempt('datagram-6', lambda: echo('2001:db8::9', six, port=81))
attempt('stream-4', lambda: stream('192.0.2.9', four))
attempt('stream-6', lambda: stream('2001:db8::9', six))
attempt('own-4', lambda: stream('127.0.0.2', four))
attempt('own-6', lambda: stream('::1', six))
";
    let Some(answers) = inside(&host, &host.named("quic.test"), body) else { return };
    answers.assert_each(6, &["ECONNREFUSED"]);
    for (access, subject) in [
        ("network.send", "192.0.2.9:81/udp"),
        ("network.send", "[2001:db8::9]:81/udp"),
        ("network.connect", "192.0.2.9:81"),
        ("network.connect", "[2001:db8::9]:81"),
    ] {
        assert_eq!(denial(&answers, subject)["access"], access, "{answers:?}");
    }
    // What a run tries on its own loopback is nobody else's matter.
    let all = answers.result["denials"].as_array().map(Vec::len);
    assert_eq!(all, Some(4), "{answers:?}");
}

#[test]
fn net_02_a_program_in_c_sends_and_hears() {
    let Some(compiler) = skip::program("gcc") else { return };
    let (host, place) = (DatagramHost::echo(), Scratch::new());
    let source = r#"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <sys/socket.h>
int main(int count, char **words) {
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(atoi(words[1])) }, from;
    socklen_t length = sizeof from;
    char got[64] = { 0 };
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    if (sendto(s, "raw", 3, 0, (void *)&to, sizeof to) != 3) return 1;
    if (recvfrom(s, got, 63, 0, (void *)&from, &length) != 3) return 2;
    puts(from.sin_port == to.sin_port && from.sin_addr.s_addr == to.sin_addr.s_addr ? got : "another");
    return 0;
}
"#;
    std::fs::write(place.join("send.c"), source).unwrap();
    let built = Command::new(compiler).args(["-static", "-o", "send", "send.c"]).current_dir(place.path()).output();
    if !built.unwrap().status.success() {
        return skip::skipped("gcc cannot link static programs");
    }
    let options = host.named("quic.test");
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let result = Tier::Full.shell(place.path(), &options, &format!("./send {}", host.port()));
    assert_eq!(result["stdout"], "raw\n", "{result}");
}

#[test]
fn net_02_what_no_entry_names_is_refused_at_once_told_and_does_not_arrive() {
    let (host, other) = (DatagramHost::echo(), DatagramHost::echo());
    let mut options = host.named("quic.test");
    options.extend(host.leads("other.test"));
    options.extend(["--allow-net".to_owned(), "other.test:1".to_owned()]);
    let body = format!(
        "
attempt('another-name', lambda: echo('other.test', four, wait=20))
attempt('another-address', lambda: echo('192.0.2.9', four, wait=20))
attempt('another-port', lambda: echo('quic.test', four, port={closed}, wait=20))
attempt('another-port-of-loopback', lambda: echo('127.0.0.1', four, port={closed}, wait=20))
def stream():
    socket.create_connection(('quic.test', port), 20).recv(1)
attempt('a-connection', stream)
attempt('control', lambda: echo('quic.test', four))
",
        closed = other.port()
    );
    let Some(answers) = inside(&host, &options, &body) else { return };
    for refused in ["another-name", "another-address", "another-port", "another-port-of-loopback", "a-connection"] {
        answers.assert(refused, &["ECONNREFUSED"]);
    }
    answers.assert("control", &["ok"]);
    assert_eq!((host.arrived().0, other.arrived().0), (1, 0));
    let port = host.port();
    let denial = denial(&answers, &format!("other.test:{port}/udp"));
    assert_eq!(denial["access"], "network.send");
    assert_eq!(denial["program"], "python3", "{denial}");
    assert_eq!(denial["remedy"], format!("network.allow = [\"udp://other.test:{port}\"]"));
    assert!(answers.is_recorded(&format!("192.0.2.9:{port}/udp")), "{answers:?}");
    assert!(answers.is_recorded(&format!("quic.test:{}/udp", other.port())), "{answers:?}");
}

#[test]
fn net_02_an_answer_from_another_socket_does_not_come_in() {
    let host = DatagramHost::echo();
    let body = "
attempt('control', lambda: echo('quic.test', four, b'plain'))
attempt('spoofed', lambda: echo('quic.test', four, b'spoof'))
def all():
    s = socket.socket(four, socket.SOCK_DGRAM); s.settimeout(20); s.connect((socket.gethostbyname('quic.test'), port))
    s.send(b'spoof'); s.send(b'last'); got = []
    while got[-1:] != [b'last']: got.append(s.recv(99))
    if got != [b'spoof', b'last']: raise Exception('%r' % got)
attempt('all-that-came', all)
";
    let Some(answers) = inside(&host, &host.named("quic.test"), body) else { return };
    answers.assert_each(3, &["ok"]);
}

#[test]
fn net_14_datagrams_follow_no_name_to_this_machine_or_a_private_network() {
    let host = DatagramHost::echo();
    let port = host.port();
    for address in ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "fd00:ec2::254", "64:ff9b::a9fe:a9fe"] {
        if address.contains(':') && !host.has_v6() {
            continue;
        }
        // Connections may go there, so the name is answered: where it leads for datagrams is looked at when one is sent.
        let named = if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") };
        let options = [
            "--resolve".to_owned(),
            format!("sly.wild.test={address}"),
            "--allow-net".to_owned(),
            format!("udp://*.wild.test:{port}"),
            "--allow-net".to_owned(),
            named,
        ];
        let family = if address.contains(':') { "six" } else { "four" };
        let body = format!("attempt('sent', lambda: echo('sly.wild.test', {family}))\n");
        let Some(answers) = inside(&host, &options, &body) else { return };
        answers.assert("sent", &["ECONNREFUSED"]);
        let denial = denial(&answers, &format!("sly.wild.test:{port}/udp"));
        assert!(denial["remedy"].as_str().unwrap().contains("udp://"), "{denial}");
        assert!(denial["note"].as_str().unwrap().contains("the name leads to"), "{denial}");
    }
    assert_eq!(host.arrived().0, 0);
}

#[test]
fn net_12_a_thousand_flows_are_bounded_and_nothing_stays_behind() {
    let host = DatagramHost::echo();
    let body = "
to = (socket.gethostbyname('quic.test'), port)
def flows():
    for number in range(1000):
        with socket.socket(four, socket.SOCK_DGRAM) as s:
            s.settimeout(20); s.connect(to); s.send(b'%d' % number)
            if s.recv(9) != b'%d' % number: raise Exception(number)
attempt('one-after-another', flows)
def at_once():
    all = [socket.socket(four, socket.SOCK_DGRAM) for _ in range(900)]
    for s in all: s.sendto(b'x', to)
attempt('at-once', at_once)
def afterwards():
    # What came with so many others may have been lost.
    for _ in range(20):
        try: return echo('quic.test', four, wait=1)
        except TimeoutError: pass
    raise Exception('nothing came back')
attempt('afterwards', afterwards)
print('> open', len(os.listdir('/proc/self/fd')))
";
    let (options, over) = (host.named("quic.test"), AtomicBool::new(false));
    let (answers, most) = std::thread::scope(|scope| {
        let most = scope.spawn(|| {
            let mut most = 0;
            while !over.load(Ordering::SeqCst) {
                most = most.max(flows(host.port()));
                std::thread::sleep(Duration::from_millis(5));
            }
            most
        });
        let answers = inside(&host, &options, body);
        over.store(true, Ordering::SeqCst);
        (answers, most.join().unwrap())
    });
    let Some(answers) = answers else { return };
    // One that ends while the kernel lists them can stand there beside the one that takes its place.
    assert!((1..=128 + 16).contains(&most), "{most} flows at once");
    assert_eq!(flows(host.port()), 0, "sockets were left behind");
    for name in ["one-after-another", "afterwards"] {
        answers.assert(name, &["ok"]);
    }
    answers.assert("at-once", &["ok", "EMFILE"]);
    // A socket of the program's may get the number of one before it, whose flow is there still.
    let told = told(&answers, "quic.test");
    assert!(told["connections"].as_u64().unwrap() > 800, "{told}");
    assert!(host.arrived().0 >= 1001, "{:?}", host.arrived());
}

/// Sockets of this machine that are connected to `port` of loopback (proc_net_udp: the third word is the other end).
fn flows(port: u16) -> usize {
    let tables = ["/proc/net/udp", "/proc/net/udp6"].map(|path| std::fs::read_to_string(path).unwrap_or_default());
    let end = format!(":{port:04X}");
    let is = |line: &&str| line.split_whitespace().nth(2).is_some_and(|other| other.ends_with(&end));
    tables.iter().flat_map(|table| table.lines()).filter(is).count()
}

#[test]
fn what_cannot_carry_datagrams_refuses_the_policy_in_words() {
    let place = Scratch::new();
    let options = ["--allow-net", "udp://quic.test:443"];
    let output = TIERS[1].run(place.path(), &options, &["true"]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && told.contains("udp://"), "{told}");
    for (entry, why) in [("udp://quic.test:53", "name server"), ("udp://quic.test", "network entry")] {
        let output = Tier::Full.run(place.path(), &["--allow-net", entry], &["true"]).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && told.contains(why), "{told}");
    }
}
